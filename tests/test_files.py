from __future__ import annotations

import csv
import os
import stat
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest

from maescan import files as outputs
from maescan.errors import ConfigError, DataError
from maescan.method import aggregate
from maescan.records import read_rows
from maescan.scans.montage import check_picture
from maescan.scoring.alerts import passed_on
from maescan.scoring.names import Pseudonyms
from maescan.scoring.options import AlertOptions


def test_file_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError), outputs.atomic_file(tmp_path / "a.csv") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_write_to_a_file_instead_of_a_folder_names_it(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(DataError, match=r"scores\.csv"):
        outputs.write_csv(tmp_path / "out" / "scores.csv", ["a"], [])


def test_csv_has_six_decimals(tmp_path):
    outputs.write_csv(tmp_path / "a.csv", ["scan", "score"], [("x,y", 1 / 3)])
    assert (tmp_path / "a.csv").read_text() == 'scan,score\n"x,y",0.333333\n'


def test_nifti_keeps_affine_and_bytes(tmp_path):
    volume = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    affine = np.array([[0, -2.0, 0, 5], [3, 0, 0, 6], [0, 0, 4, 7], [0, 0, 0, 1]])
    for name in ("a", "b"):
        outputs.write_nifti(tmp_path / f"{name}.nii.gz", volume, affine)
    image = nibabel.load(tmp_path / "a.nii.gz")
    assert np.array_equal(image.get_fdata(), volume) and np.allclose(image.affine, affine)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_scan_score():
    scores = np.array([0.1, 0.9, 0.5, 0.3])
    assert aggregate.scan_score(scores, {"method": "max"}) == 0.9
    assert aggregate.scan_score(scores, {"method": "top", "k": 2}) == pytest.approx(0.7)
    assert aggregate.scan_score(scores, {"method": "area", "threshold": 0.4}) == 0.5
    with pytest.raises(ConfigError, match="median"):
        aggregate.scan_score(scores, {"method": "median"})


def test_p_values_are_conformal():
    reference = np.arange(1, 100) / 100.0
    assert aggregate.p_values(np.array([2.0, 0.0, 0.5]), reference) == pytest.approx([0.01, 1.0, 0.51])


def test_a_folder_is_claimed_for_one_kind_of_output(tmp_path):
    outputs.claim(tmp_path / "new" / "out", "scores")
    outputs.claim(tmp_path / "new" / "out", "scores")
    with pytest.raises(DataError, match="holds scores that maescan wrote"):
        outputs.claim(tmp_path / "new" / "out", "data")
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(DataError, match=r"holds files that maescan did not write \(name an empty or a new folder\)"):
        outputs.claim(tmp_path, "scores")
    assert (tmp_path / "run.json").read_text() == "{}"


def test_a_claim_that_was_killed_does_not_block(tmp_path):
    (tmp_path / ".maescan").mkdir()
    (tmp_path / ".DS_Store").write_text("junk")
    outputs.claim(tmp_path, "scores")
    (tmp_path / "mine.txt").write_text("")
    outputs.claim(tmp_path, "scores")


def test_nor_one_that_was_killed_in_the_midst_of_its_mark(tmp_path):
    """A mark that lies in the folder itself: the same command was refused for ever, for what it had left."""
    (tmp_path / f"{outputs.PARTIAL}x").write_text("phan")
    outputs.claim(tmp_path, "phantom scans", mark=".maescan-phantom")


@pytest.mark.parametrize(("mask", "mode"), [(0o022, None), (0o000, None), (0o022, 0o750), (0o077, 0o755)])
def test_outputs_are_their_users_alone_unless_the_folder_was_opened(tmp_path, mask, mode):
    """A new OUT is 0700 and its files 0600; one that was made with other permissions keeps them; umask counts."""
    out = tmp_path / "out"
    if mode is not None:
        out.mkdir()
        out.chmod(mode)
    before = os.umask(mask)
    try:
        outputs.claim(out, "scores")
        outputs.write_text(out / "maps" / "deep" / "a.txt", "x")
    finally:
        os.umask(before)
    expected = 0o700 if mode is None else mode
    assert stat.S_IMODE(out.stat().st_mode) == expected
    for folder in (out / "maps" / "deep", out / ".maescan"):
        assert stat.S_IMODE(folder.stat().st_mode) == expected & ~mask
    assert stat.S_IMODE((out / ".maescan" / "kind").stat().st_mode) == expected & ~mask & 0o666
    assert stat.S_IMODE((out / "maps" / "deep" / "a.txt").stat().st_mode) == expected & ~mask & 0o666


def test_what_a_run_killed_long_ago_was_writing_goes_when_the_folder_is_taken_again(tmp_path):
    outputs.claim(tmp_path / "out", "an evaluation")
    old, new = (tmp_path / "out" / f"{outputs.PARTIAL}{name}.csv" for name in ("old", "new"))
    for half in (old, new):
        half.write_text("half")
    os.utime(old, (time.time() - 2 * outputs.OLD_S,) * 2)
    outputs.claim(tmp_path / "out", "an evaluation")
    assert new.exists() and not old.exists()


def test_cells_that_another_spreadsheet_would_part_are_quoted(tmp_path):
    cells = ["a;=1+1.nii", "b\t=2", "c,d", 'e"f', "plain", 0.5, 3, None, ""]
    outputs.write_csv(tmp_path / "b.csv", ["scan"], [[" a "]])
    assert read_rows(dict[str, str], tmp_path / "b.csv", remedy="") == [{"scan": " a "}]
    outputs.write_csv(tmp_path / "a.csv", ["x"] * len(cells), [cells])
    text = (tmp_path / "a.csv").read_text()
    assert '"a;=1+1.nii","b\t=2","c,d","e""f",plain,0.500000,3,,' in text
    with (tmp_path / "a.csv").open(newline="") as stream:
        assert list(csv.reader(stream))[1] == [*cells[:5], "0.500000", "3", "", ""]


def test_labels_that_differ_have_paths_that_differ(tmp_path):
    labels = ["x.png/y", "x.png~/y", "x.PNG/y", "a_anomaly.nii.gz/y", "a_anomaly.nii.gz~/y", "a/y"]
    found = [outputs.output_path(tmp_path, "maps", label, ".nii.gz") for label in labels]
    assert len(set(found)) == len(labels)


@pytest.mark.parametrize("mark", [".maescan/kind", ".maescan-demo", "manifest.json"])
def test_what_another_run_is_writing_into_an_output_below_stays(tmp_path, mark):
    inner = tmp_path / "outer" / "maps" / "inner"
    outputs.claim(tmp_path / "outer", "scores")
    for folder in (inner / Path(mark).parent, inner / "maps", tmp_path / "outer" / "maps" / "sub"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{outputs.PARTIAL}x.csv").write_text("half")
        os.utime(folder / f"{outputs.PARTIAL}x.csv", (time.time() + 3600,) * 2)  # another machine's clock
    (inner / mark).write_text("another's")
    outputs.remove_partial(tmp_path / "outer")
    left = {half.parent for half in tmp_path.rglob(f"{outputs.PARTIAL}*")}
    assert left == {inner / Path(mark).parent, inner / "maps"}


@pytest.fixture
def inside(tmp_path):
    """A path in what its names tell is a bundle."""
    (tmp_path / "bundle" / "golden").mkdir(parents=True)
    for name in outputs.BUNDLE:
        (tmp_path / "bundle" / name).write_text("")
    return tmp_path / "bundle" / "new"


@pytest.mark.parametrize("way", ["{0}/new", "{0}/golden/a/b", "{0}/../link/new", "{0}/../no/../bundle/new"])
def test_no_folder_is_taken_in_a_bundle_whichever_way_it_is_come_to(inside, way):
    """A bundle is given to others, and `verify` says of it that it holds nothing of people."""
    (inside.parent.parent / "link").symlink_to(inside.parent)
    before = sorted(inside.parent.rglob("*"))
    for kind, mark in (("scores", ".maescan/kind"), ("demo", ".maescan-demo")):
        with pytest.raises(ConfigError, match="lies inside a bundle, which holds nothing of scans"):
            outputs.claim(Path(way.format(inside.parent)), kind, mark=mark)
    assert sorted(inside.parent.rglob("*")) == before


def test_no_file_of_scans_is_made_in_a_bundle(inside):
    makers = {
        "keep it": Pseudonyms.read,
        "--log": lambda path: passed_on(print, AlertOptions(log=path)).__enter__(),
        "--picture": check_picture,
    }
    for remedy, make in makers.items():
        with pytest.raises(ConfigError, match="lies inside a bundle") as error:
            make(inside)
        assert remedy in str(error.value) and not inside.exists()


@pytest.mark.parametrize("given", ["~/out", "~", "~root/out"])
def test_a_home_that_no_shell_has_read_is_no_folder(given, tmp_path):
    """As from --config and MAESCAN_OUT: who removes a folder of that name removes the home."""
    for check in (lambda path: outputs.check_claim(path, "scores"), outputs.check_outside):
        with pytest.raises(ConfigError, match="begins with ~"):
            check(Path(given))
    outputs.check_outside(tmp_path / "~" / "out")
    outputs.check_outside(Path("~no such user/out"))  # as a shell leaves it
