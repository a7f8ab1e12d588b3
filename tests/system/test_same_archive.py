"""One archive, however it came to be: in one run, scan by scan, by `watch`, in shards. Through the command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from helpers.scan_files import write_series
from helpers.scoring_stub import rows, write_scan
from helpers.series import write_slices
from maescan.cli import app

SAME = ("scans.csv", "scores.csv", "failures.csv")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """DICOM series in folders of their own and two in one, NIfTI and MetaImage of the same stems, names that fold to
    one, a CT among MR, a label map, junk."""
    from maescan.datasets.phantom import write_scan as write_metaimage

    root = tmp_path_factory.mktemp("one") / "inbox"
    write_slices(root / "mr", range(6), uid="1.2.1", patient="A")
    write_slices(root / "both", range(5), uid="1.2.2", patient="B")
    values = np.random.default_rng(7).integers(200, 900, (7, 24, 24)).astype(np.uint16)
    facts = {"Modality": "MR", "PatientID": "B", "SeriesInstanceUID": "1.2.3", "PixelSpacing": [10, 10]}
    write_series(root / "both" / "", values, SeriesNumber=4, SeriesDescription="T1 = odd/name", first=100, **facts)
    write_series(root / "ct", values.astype(np.int16) - 1000, SeriesInstanceUID="1.2.4", PixelSpacing=[10, 10])
    for index, name in enumerate(("x.nii.gz", "sub/x.nii.gz", "Sub2/Y.nii.gz", "sub2/y.nii.gz", "=1+1.nii.gz")):
        write_scan(root / name, index)
    nibabel.save(nibabel.load(write_scan(root / "z.nii.gz", 9)), root / "x.nii")
    image = nibabel.load(write_scan(root / "sub" / "z.nii.gz", 10))
    write_metaimage(root / "x.mhd", np.asarray(image.dataobj), image.affine)
    labels = np.zeros((24, 24, 6), np.uint8)
    labels[4:12, 4:12] = 1
    nibabel.Nifti1Image(labels, np.diag([10.0, 10, 5, 1])).to_filename(root / "labels.nii.gz")
    (root / "junk.nii.gz").write_bytes(b"no gzip")
    return root


@pytest.fixture(scope="module")
def bundle(exported_bundle, tmp_path_factory):
    """Calibrated, so that p-values and alerts are compared too."""
    from maescan.engines.bundle import update

    folder = shutil.copytree(exported_bundle, tmp_path_factory.mktemp("calibrated") / "bundle")
    update(folder, calibration={"scans": [0.3, 0.4, 0.5] * 8, "slices": [0.2, 0.4, 0.6], "scores_sha256": "0" * 64})
    return folder


def maescan(*arguments):
    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code in (0, 3, 5), done.output


def score(paths, bundle, out, *more):
    maescan("score", *paths, "--bundle", bundle, "--out", out, "--maps", "--pictures", "0", "--quiet", *more)
    return out


def archive(out: Path) -> dict[str, bytes]:
    """The bytes that must be equal. Of a scan that cannot be read, the file is said where it lies."""
    maps = {str(path.relative_to(out)): path.read_bytes() for path in sorted((out / "maps").rglob("*.nii.gz"))}
    return maps | {name: (out / name).read_bytes() for name in SAME}


@pytest.fixture(scope="module")
def whole(tree, bundle, tmp_path_factory):
    return score([tree], bundle, tmp_path_factory.mktemp("whole") / "out")


def units(tree):
    """What comes at once: a folder of series, or a file with its voxels."""
    entries = [path for path in sorted(tree.rglob("*")) if path.is_file() and path.suffix != ".raw"]
    series = [path for path in entries if path.parent.name in ("mr", "both", "ct")]
    return [[path] for path in entries if path not in series] + [
        [path for path in series if path.parent.name == name] for name in ("mr", "both", "ct")
    ]


def bring(unit, tree, inbox):
    for path in unit:
        for file in {path, path.with_suffix(".raw")} if path.suffix == ".mhd" else {path}:
            place = inbox / file.relative_to(tree)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)


def test_the_archive_has_a_map_a_row_and_a_fit_a_row(whole):
    found = {row["scan"]: row["fit"] for row in rows(whole / "scans.csv")}
    assert len(found) == 13 and found["ct/3"] == "other", found
    assert len(list((whole / "maps").rglob("*_anomaly.nii.gz"))) == len(found)
    assert {row["file"] for row in rows(whole / "passed_over.csv")} >= {"labels.nii.gz"}
    assert [row["scan"] for row in rows(whole / "failures.csv")] == ["junk.nii.gz"]


def test_scan_by_scan_is_one_run(tree, bundle, whole, tmp_path):
    """The folder is scored each time that something came into it, the last of its files first."""
    inbox, out = tmp_path / "inbox", tmp_path / "out"
    parts = units(tree)[::-1]
    for first in range(0, len(parts), 4):
        for unit in parts[first : first + 4]:
            bring(unit, tree, inbox)
        score([inbox], bundle, out)
    assert same(archive(out), archive(whole), inbox, tree)


def test_scans_named_one_by_one_are_one_run(tree, bundle, whole, tmp_path):
    """Whatever lies in the folder itself, a folder of DICOM too, is called as when the folder is named."""
    flat = [
        path for path in sorted(tree.iterdir()) if path.name not in ("sub", "sub2", "Sub2") and path.suffix != ".raw"
    ]
    for some in (flat[8:], flat[3:8], flat[:3]):
        score(some, bundle, tmp_path / "out")
    mine, theirs = rows(tmp_path / "out" / "scans.csv"), rows(whole / "scans.csv")
    assert mine == [row for row in theirs if not row["scan"].lower().startswith("sub")] and len(mine) == 9
    maps = archive(tmp_path / "out")
    assert all(maps[name] == data for name, data in archive(whole).items() if name in maps and "maps/" in name)


def test_the_way_a_scan_is_named_changes_its_label_alone(tree, bundle, whole, tmp_path):
    """Given alone, its folder given, or the whole tree: all of its row but the label, and its map, are the same."""
    rest = [
        {k: v for k, v in row.items() if k != "scan"} for row in rows(whole / "scans.csv") if "y.nii" in row["scan"]
    ]
    maps = [data for name, data in archive(whole).items() if "y.nii" in name]
    for number, given in enumerate(("sub2/y.nii.gz", "sub2")):
        out = score([tree / given], bundle, tmp_path / str(number))
        (row,) = rows(out / "scans.csv")
        assert row.pop("scan") == "y.nii.gz" and row in rest and archive(out)["maps/y.nii.gz_anomaly.nii.gz"] in maps


def test_watched_is_one_run(tree, bundle, whole, tmp_path):
    inbox, out = tmp_path / "inbox", tmp_path / "out"
    inbox.mkdir()
    typed = ["watch", inbox, "--bundle", bundle, "--out", out, "--maps", "--pictures", "0", "--json"]
    more = ["--settle", "0.5", "--poll", "0.1"]
    watching = subprocess.Popen(
        [sys.executable, "-m", "maescan", *map(str, [*typed, *more])], stdout=subprocess.PIPE, text=True
    )
    try:
        assert watching.stdout is not None
        for unit in units(tree):
            bring(unit, tree, inbox)
        came: set[str] = set()
        while len(came) < 15:  # 13 scans, the junk, the label map
            line = watching.stdout.readline()
            assert line, "watch ended"
            event = json.loads(line)
            came |= {event["scan"]} if event["event"] in ("scored", "failed", "passed_over") else set()
        os.kill(watching.pid, signal.SIGTERM)
        watching.communicate(timeout=60)
    finally:
        watching.kill()
    assert watching.returncode in (0, 5)
    assert same(archive(out), archive(whole), inbox, tree)


def test_merged_shards_are_one_run(tree, bundle, whole, tmp_path):
    parts = [score([tree], bundle, tmp_path / str(i), "--shard", f"{i}/3") for i in (3, 1, 2)]
    maescan("merge", *parts, "--bundle", bundle, "--out", tmp_path / "out")
    assert archive(tmp_path / "out") == archive(whole)


def same(mine, theirs, here, there):
    """Equal bytes; failures name the file, which lies elsewhere."""
    mine = {name: data.replace(os.fsencode(here), os.fsencode(there)) for name, data in mine.items()}
    assert mine.keys() == theirs.keys()
    return all(mine[name] == data for name, data in theirs.items())
