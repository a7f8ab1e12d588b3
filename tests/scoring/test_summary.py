"""An output folder is an archive: its tables cover all that was ever scored into it."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from helpers.inputs import given
from helpers.scan_files import UID, write_series
from helpers.scoring_stub import BUNDLE, Engine, files_of, rows, write_scan
from helpers.stubs import stub_bundle
from maescan.errors import ConfigError, DataError
from maescan.scoring.options import Format, ScoreOptions
from maescan.scoring.pipeline import score_folder


class Counting(Engine):
    """Counts the slices that it was given."""

    def __init__(self):
        super().__init__()
        self.slices = 0

    def classify(self, tokens, token_ids):
        self.slices += len(tokens)
        return super().classify(tokens, token_ids)


@pytest.fixture
def mixed(tmp_path):
    """Two sites of the same layout, a series of DICOM, one stem in two formats, and a file that is no scan."""
    for number, place in enumerate(["A/x.nii.gz", "B/x.nii.gz", "B/x.nii"]):
        write_scan(tmp_path / "in" / place, number)
    values = np.random.default_rng(9).integers(200, 900, (6, 24, 24), dtype=np.int16)
    write_series(tmp_path / "in" / "A" / "ct", values, PixelSpacing=[10, 10])
    (tmp_path / "in" / "junk.nii").write_bytes(b"junk")
    return tmp_path / "in"


def score(paths, out, engine=None, bundle=BUNDLE, **options):
    return score_folder(list(paths), bundle, engine or Engine(), out, ScoreOptions(**{"pictures": 0, **options}))


def labels(out, table="scans.csv"):
    return [row["scan"] for row in rows(out / table)]


def maps(out):
    return sorted(path for path in (out / "maps").rglob("*") if path.is_file())


LABELS = ["A/ct/3", "A/x.nii.gz", "B/x.nii", "B/x.nii.gz"]


@pytest.mark.slow
def test_every_order_folder_split_and_rerun_gives_the_same_names_and_as_many_maps_as_rows(mixed, tmp_path):
    calls = [
        [mixed],
        [mixed / "B", mixed / "A"],
        [mixed / "A"],
        [mixed / "B" / "x.nii"],
        [mixed / "B", mixed / "junk.nii"],
    ]
    for order in (calls, calls[::-1][:3] + calls[:2]):
        out = tmp_path / f"out{len(order)}{order is calls}"
        score([mixed], out, maps=True)
        for paths in order:
            engine = Counting()
            score(paths, out, engine, maps=True)
            assert engine.slices == 0 and labels(out) == LABELS and labels(out, "failures.csv") == ["junk.nii"]
        assert len(maps(out)) == 4


@pytest.mark.slow
def test_scan_by_scan_is_as_all_at_once(mixed, tmp_path):
    whole = score([mixed], tmp_path / "whole", maps=True)
    assert (len(whole.scored), len(whole.failures), whole.archive) == (4, 1, 4)
    for path in (mixed / "B", mixed / "A" / "ct", mixed, mixed / "A"):
        last = score([path], tmp_path / "parts", maps=True)
    assert len(last.scored) == 2 and last.archive == 4
    assert len(labels(tmp_path / "parts")) == len(maps(tmp_path / "parts")) == 4
    first = score([mixed / "A"], tmp_path / "A")
    second = score([mixed / "B"], tmp_path / "A")
    assert (len(first.scored), len(second.scored), second.archive) == (2, 2, 4)
    assert len(labels(tmp_path / "A")) == 4


@pytest.mark.slow
def test_the_same_bytes_however_the_archive_was_made(tmp_path):
    for number in range(3):
        write_scan(tmp_path / "in" / f"p{number}" / f"scan{number}.nii.gz", number)
    score([tmp_path / "in"], tmp_path / "whole", maps=True, pictures=2)
    score([tmp_path / "in"], tmp_path / "again", maps=True, pictures=2, shard=(1, 2))
    score([tmp_path / "in"], tmp_path / "again", maps=True, pictures=2, shard=(2, 2))
    assert files_of(tmp_path / "again") == files_of(tmp_path / "whole")


@pytest.mark.slow
def test_calibration_pictures_and_tables_never_score_again(mixed, tmp_path):
    score([mixed], tmp_path / "out", maps=True)
    reference = {"scans": [0.0] * 30, "slices": [0.0]}
    calibrated = stub_bundle(calibration=reference, aggregation={"method": "max"})
    engine = Counting()
    for options in ({"maps": True}, {}, {"format": Format.parquet}, {"alert_rate": 0.5, "batch": 1, "workers": 1}):
        assert score([mixed], tmp_path / "out", engine, calibrated, pictures=0, **options).skipped == 4
    assert engine.slices == 0 and {row["p_value"] for row in rows(tmp_path / "out" / "scans.csv")} == {"0.032258", ""}
    best = {}
    for row in rows(tmp_path / "out" / "scores.csv"):
        best[row["scan"]] = max(best.get(row["scan"], 0.0), float(row["score"]))
    assert {row["scan"]: float(row["score"]) for row in rows(tmp_path / "out" / "scans.csv")} == best


@pytest.mark.slow
def test_maps_asked_for_later_are_made_for_those_alone(mixed, tmp_path):
    score([mixed / "A"], tmp_path / "out", maps=True)
    engine = Counting()
    score([mixed], tmp_path / "out", engine, maps=True)
    assert engine.slices == 12 and len(maps(tmp_path / "out")) == 4
    plain = Counting()
    score([mixed], tmp_path / "out", plain)
    assert plain.slices == 0 and len(maps(tmp_path / "out")) == 4


def test_scores_that_other_content_takes_the_place_of_are_named(tmp_path):
    """As where every scan that arrives is called alike."""
    scans, out = tmp_path / "scans", tmp_path / "out"
    for seed in (1, 2):
        write_scan(scans / "a.nii.gz", seed=seed)
        write_scan(scans / "b.nii.gz", seed=3)
        notes = score([scans], out).notes
    assert notes == ["files held other content than was scored of them, and the scores of that are gone: a.nii.gz"]
    assert score([scans], out).notes == []


def test_scans_of_a_kind_that_is_not_read_are_named(tmp_path):
    """Who gave ten scans and reads that five are scored is to know of the others."""
    write_scan(tmp_path / "scans" / "a.nii.gz", seed=1)
    for name in ("b.BRIK", "c.gipl", "d.vtk", "e.mif", "notes.txt"):
        (tmp_path / "scans" / name).write_bytes(b"voxels")
    (note,) = score([tmp_path / "scans"], tmp_path / "out").notes
    assert note.startswith(
        "b.BRIK, c.gipl, d.vtk and 1 more: may be scans, and cannot be read or are of no kind that is: not scored"
    )
    assert (
        rows(tmp_path / "out" / "passed_over.csv")[1]["reason"]
        == "is no kind of image that is read: convert it to NIfTI"
    )


def test_a_renamed_scan_is_named_while_its_label_is_not_its_files(tmp_path):
    """A file that comes under its first name has another label: who looks it up by its name is warned."""
    scans, out = tmp_path / "scans", tmp_path / "out"
    file = write_scan(scans / "a.nii.gz", seed=1)
    assert score([scans], out).notes == []
    file.rename(scans / "b.nii.gz")
    for _ in range(2):
        (note,) = score([scans], out).notes
        assert note.endswith("they came with, and files or folders were renamed: a.nii.gz is b.nii.gz now")
        write_scan(scans / "a.nii.gz", seed=2)
    assert sorted(labels(out)) == ["a.nii.gz", "scans/a.nii.gz"]


def test_what_another_bundle_takes_away_is_said_before_anything_is(tmp_path):
    write_scan(tmp_path / "scans" / "a.nii.gz", seed=1)
    other, told = stub_bundle(files={"engines/fake-fp32/engine.bin": "another"}), []

    def tell(name, facts):
        told.append((name, facts.get("reason", ""), len(maps(tmp_path / "out"))))

    for bundle in (BUNDLE, other, other):
        score_folder(
            [tmp_path / "scans"], bundle, Engine(), tmp_path / "out", ScoreOptions(maps=bundle is BUNDLE), tell
        )
    assert [name for name, *_ in told] == ["found", "scored", "replaces", "found", "scored", "found", "skipped"]
    (_, reason, there) = told[2]
    assert reason.startswith(f"{tmp_path / 'out'} holds 1 scan that was scored with another bundle")
    assert "and 1 map of them goes; to keep them, stop it now and use another --out" in reason and there == 1


@pytest.mark.slow
def test_another_bundle_leaves_nothing_of_the_one_before(mixed, tmp_path):
    out = tmp_path / "out"
    score([mixed], out, maps=True, pictures=2)
    other = stub_bundle(files={"engines/fake-fp32/engine.bin": "another"})
    summary = score([mixed / "A"], out, bundle=other)
    assert labels(out) == ["A/ct/3", "A/x.nii.gz"] and maps(out) == [] and not list(out.rglob("*.png"))
    assert (summary.archive, summary.other_jobs) == (2, 2)
    assert [note.partition(" and are")[0] for note in summary.notes] == [
        "the maps of 4 scans were of another bundle, engine or options of reading"
    ]
    assert json.loads((out / "run.json").read_text())["archive"]["other_jobs"] == 2


@pytest.mark.slow
def test_what_the_user_put_into_the_folder_stays(mixed, tmp_path):
    out = tmp_path / "out"
    score([mixed], out, maps=True, pictures=2)
    mine = ["pictures/me.png", ".part-of-my-thesis", "maps/.part-x", "notes.txt", "images.npy"]
    for name in mine:
        (out / name).write_text("mine")
    (mixed / "A" / "x.nii.gz").unlink()
    given(mixed / "A" / "x.nii.gz")
    other = stub_bundle(files={"engines/fake-fp32/engine.bin": "another"})
    score([mixed], out, bundle=other, pictures=1, force=True)
    assert all((out / name).read_text() == "mine" for name in mine)


@pytest.mark.slow
def test_a_scan_that_is_gone_is_named_and_kept(mixed, tmp_path):
    score([mixed], tmp_path / "out", maps=True)
    (mixed / "B" / "x.nii").unlink()
    given(mixed / "B" / "x.nii")
    (mixed / "junk.nii").unlink()
    summary = score([mixed], tmp_path / "out", maps=True)
    assert summary.gone == ["B/x.nii"] and summary.archive == 4 and len(summary.scored) == 3
    assert labels(tmp_path / "out", "failures.csv") == []
    assert json.loads((tmp_path / "out" / "run.json").read_text())["archive"]["gone"] == ["B/x.nii"]


@pytest.mark.slow
def test_a_series_that_grew_is_scored_again_under_its_name(mixed, tmp_path):
    score([mixed / "A"], tmp_path / "out", maps=True)
    values = np.random.default_rng(8).integers(200, 900, (2, 24, 24), dtype=np.int16)
    write_series(mixed / "A" / "ct", values, first=50, depths=[6, 7], PixelSpacing=[10, 10])
    summary = score([mixed / "A"], tmp_path / "out", maps=True)
    assert (summary.skipped, summary.slices) == (1, 8) and labels(tmp_path / "out") == ["ct/3", "x.nii.gz"]
    assert len(labels(tmp_path / "out")) == len(maps(tmp_path / "out")) == 2


@pytest.mark.slow
def test_a_second_series_into_the_same_folder_renames_nothing(mixed, tmp_path):
    score([mixed], tmp_path / "out", maps=True)
    values = np.random.default_rng(8).integers(200, 900, (6, 24, 24), dtype=np.int16)
    write_series(mixed / "A" / "ct", values, first=50, PixelSpacing=[10, 10], SeriesInstanceUID=UID + "2")
    engine = Counting()
    score([mixed], tmp_path / "out", engine, maps=True)
    found = labels(tmp_path / "out")
    assert engine.slices == 6 and len(found) == 5 and set(LABELS) < set(found) and len(maps(tmp_path / "out")) == 5


@pytest.mark.slow
def test_run_json_accounts_for_every_scan(mixed, tmp_path):
    score([mixed], tmp_path / "out")
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (
        run["scans"] == {"found": 5, "scored": 4, "failed": 1, "already_done": 0, "passed_over": 0}
        and run["listing"]["scans"] == 5
    )


@pytest.mark.slow
def test_the_output_folder_is_no_input(mixed, tmp_path):
    out = mixed / "out"
    for _ in range(3):
        score([mixed], out, maps=True)
        assert len(labels(out)) == 4
    with pytest.raises(ConfigError, match="lies inside the output folder"):
        score([out / "maps"], out)
    with pytest.raises(ConfigError, match="lies inside the output folder"):
        score([mixed], mixed)
    with pytest.raises(DataError, match="holds files that maescan did not write"):
        score([mixed / "A"], mixed / "B")
    with pytest.raises(DataError, match="no scans found"):
        score([out], tmp_path / "second")


@pytest.mark.slow
def test_maps_that_are_given_as_scans_are_passed_over_and_said(mixed, tmp_path):
    score([mixed], tmp_path / "out", maps=True)
    (mixed / "link").symlink_to(tmp_path / "out" / "maps")
    assert score([mixed], tmp_path / "out", maps=True).notes == []
    assert labels(tmp_path / "out") == LABELS and len(maps(tmp_path / "out")) == 4
    given = sorted((tmp_path / "out").rglob("*.nii.gz"))
    (note,) = score([mixed / "A", *given], tmp_path / "other").notes
    assert labels(tmp_path / "other") == ["ct/3", "x.nii.gz"]
    assert "x.nii.gz_anomaly.nii.gz and 1 more: written by maescan, which is no input, and passed over" in note
    with pytest.raises(DataError, match="no scans found; maps: written by maescan"):
        score([tmp_path / "out" / "maps"], tmp_path / "third")


def test_bids_files_named_by_a_glob_are_not_written_over(tmp_path, monkeypatch):
    """`maescan score */anat/T1w.nii.gz --maps`: the labels of both were absolute paths, and the maps lay there."""
    for number in (1, 2):
        write_scan(tmp_path / "bids" / f"sub-{number:02}" / "anat" / "T1w.nii.gz", number)
    monkeypatch.chdir(tmp_path / "bids")
    score(sorted((tmp_path / "bids").glob("*/anat/T1w.nii.gz")), tmp_path / "out", maps=True, pictures=2)
    assert labels(tmp_path / "out") == ["sub-01/anat/T1w.nii.gz", "sub-02/anat/T1w.nii.gz"]
    assert sorted(path.name for path in (tmp_path / "bids").rglob("*") if path.is_file()) == ["T1w.nii.gz"] * 2
    for name in labels(tmp_path / "out"):
        heat = nibabel.load(tmp_path / "out" / "maps" / f"{name}_anomaly.nii.gz")
        assert heat.shape == nibabel.load(tmp_path / "bids" / name).shape and heat.get_fdata().max() > 0


def test_a_bundle_of_ct_patches_is_refused_without_regions(mixed, tmp_path):
    bundle = stub_bundle("luna16")
    with pytest.raises(ConfigError, match="scores patches of a CT"):
        score([mixed], tmp_path / "out", bundle=bundle)
