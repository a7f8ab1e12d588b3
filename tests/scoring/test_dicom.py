"""DICOM results beside the tables: listed, up to date, refused with a reason."""

from __future__ import annotations

from io import BytesIO

import pytest

from helpers.dicom_results import CALIBRATION, write_oriented
from helpers.inputs import given
from helpers.scoring_stub import Engine, files_of, rows, write_scan
from helpers.stubs import stub_bundle
from maescan.config import preset
from maescan.errors import ConfigError
from maescan.scoring.dicom import organ_of
from maescan.scoring.merge import merge
from maescan.scoring.options import ScoreOptions, Shard, parse_kinds
from maescan.scoring.pipeline import score_folder
from maescan.scoring.summary import Summary

ALL = ("sr", "sc", "seg", "ko", "pm")
NAMES = ["ko", "pm", "sc1", "sc2", "sc3", "seg", "sr"]


def score(folder, out, *, bundle=None, **options) -> Summary:
    given = {"dicom": ALL, "workers": 1, "pictures": 0, **options}
    return score_folder(
        [folder], bundle or stub_bundle(calibration=CALIBRATION), Engine(), out, ScoreOptions(**given)
    )


def results(out):
    from pydicom import dcmread

    found = {path.stem.rpartition("_")[2]: path.read_bytes() for path in sorted((out / "dicom").rglob("*.dcm"))}
    return {name: dcmread(BytesIO(content)) for name, content in found.items()}


def uids(out):
    return {name: dataset.SOPInstanceUID for name, dataset in results(out).items()}


@pytest.mark.slow
def test_results_lie_beside_the_tables_and_a_second_run_and_a_forced_one_write_the_same_bytes(tmp_path):
    write_oriented(tmp_path / "in", spacing=(5.0, 5.0, 5.0))
    assert not score(tmp_path / "in", tmp_path / "out").refused
    first = files_of(tmp_path / "out")
    assert sorted(results(tmp_path / "out")) == NAMES and not (tmp_path / "out" / "maps").exists()
    assert score(tmp_path / "in", tmp_path / "out").skipped == 1
    assert files_of(tmp_path / "out") == first
    score(tmp_path / "in", tmp_path / "out", force=True)
    score(tmp_path / "in", tmp_path / "again")
    assert files_of(tmp_path / "out") == first == files_of(tmp_path / "again")


@pytest.mark.slow
def test_results_that_are_lost_or_asked_for_later_are_made_and_those_of_another_calibration_made_anew(tmp_path):
    write_oriented(tmp_path / "in")
    score(tmp_path / "in", tmp_path / "out", dicom=("sr",))
    before = uids(tmp_path / "out")
    assert list(before) == ["sr"]
    score(tmp_path / "in", tmp_path / "out", dicom=("sr", "seg"))
    assert uids(tmp_path / "out")["sr"] == before["sr"] and "seg" in uids(tmp_path / "out")
    other = stub_bundle(calibration={**CALIBRATION, "scans": [0.2] * 20})
    other.__dict__["hash"] = "1" * 64
    score(tmp_path / "in", tmp_path / "out", dicom=("sr",), bundle=other)
    after = results(tmp_path / "out")["sr"]
    assert after.SOPInstanceUID != before["sr"]
    predecessor = after.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert predecessor.ReferencedSOPInstanceUID == before["sr"]
    score(tmp_path / "in", tmp_path / "out", dicom=("sr",), bundle=other, force=True)
    assert uids(tmp_path / "out")["sr"] == after.SOPInstanceUID


@pytest.mark.slow
@pytest.mark.parametrize("asked", [{"dicom": ()}, {"dicom": ("sr",), "exclude": ("b*",)}])
def test_what_the_tables_no_longer_say_is_gone_and_said(tmp_path, asked):
    for number, name in enumerate("ab"):
        write_oriented(tmp_path / "in" / name, shape=(4, 36, 40), SeriesInstanceUID=f"1.2.9.2{number}")
    score(tmp_path / "in", tmp_path / "out", dicom=("sr",))
    mine = tmp_path / "out" / "dicom" / "mine_sr.dcm"
    mine.write_text("mine")
    before = sorted((tmp_path / "out" / "dicom" / "b").iterdir())
    assert before and score(tmp_path / "in", tmp_path / "out", **asked).notes == []
    assert sorted((tmp_path / "out" / "dicom" / "b").iterdir()) == before
    (note,) = score(tmp_path / "in", tmp_path / "out", alert_rate=0.5, **asked).notes
    assert "--dicom-out makes new ones" in note and not (tmp_path / "out" / "dicom" / "b").exists()
    assert (tmp_path / "out" / "dicom" / "a").exists() == bool(asked["dicom"]) and mine.read_text() == "mine"
    score(tmp_path / "in", tmp_path / "out", dicom=("sr",), alert_rate=0.5)
    assert sorted((tmp_path / "out" / "dicom" / "b").iterdir()) == before


@pytest.mark.slow
def test_those_of_another_release_stay_where_they_say_the_same(tmp_path, monkeypatch):
    write_oriented(tmp_path / "in")
    score(tmp_path / "in", tmp_path / "out", dicom=("sr",))
    before = uids(tmp_path / "out")
    monkeypatch.setattr("maescan.scoring.dicom.__version__", "another")
    assert score(tmp_path / "in", tmp_path / "out", dicom=()).notes == [] and uids(tmp_path / "out") == before
    other = stub_bundle(calibration=CALIBRATION)
    other.__dict__["hash"] = "1" * 64
    assert score(tmp_path / "in", tmp_path / "out", dicom=(), bundle=other).notes and not uids(tmp_path / "out")


@pytest.mark.slow
def test_any_object_that_is_lost_is_made_again(tmp_path):
    write_oriented(tmp_path / "in", spacing=(5.0, 5.0, 5.0))
    score(tmp_path / "in", tmp_path / "out")
    first = files_of(tmp_path / "out")
    for name in NAMES:
        next((tmp_path / "out" / "dicom").rglob(f"*_{name}.dcm")).unlink()
        score(tmp_path / "in", tmp_path / "out")
        assert files_of(tmp_path / "out") == first, name


@pytest.mark.slow
def test_a_series_that_grows_supersedes_and_a_run_without_results_leaves_none_that_are_old(tmp_path):
    paths = write_oriented(tmp_path / "in")
    kept = paths[-1].read_bytes()
    paths[-1].unlink()
    score(tmp_path / "in", tmp_path / "out", dicom=("sr",))
    before = uids(tmp_path / "out")["sr"]
    paths[-1].write_bytes(kept)
    score(tmp_path / "in", tmp_path / "out", dicom=("sr",))
    after = results(tmp_path / "out")["sr"]
    assert after.SOPInstanceUID != before and "PredecessorDocumentsSequence" in after
    score(tmp_path / "in", tmp_path / "out", dicom=(), force=True)
    assert uids(tmp_path / "out")["sr"] == after.SOPInstanceUID
    paths[0].write_bytes(paths[0].read_bytes() + b"\0\0")
    given(paths[0])
    score(tmp_path / "in", tmp_path / "out", dicom=())
    assert results(tmp_path / "out") == {}


@pytest.mark.slow
def test_what_cannot_have_results_is_scored_and_named(tmp_path):
    write_scan(tmp_path / "in" / "a.nii.gz", 0)
    write_oriented(tmp_path / "in" / "b", FrameOfReferenceUID=None)
    write_oriented(tmp_path / "in" / "c", SeriesInstanceUID="1.2.9.77")
    summary = score(tmp_path / "in", tmp_path / "out", dicom=("sr", "ko"))
    found = rows(tmp_path / "out" / "failures.csv")
    assert [(row["scan"], row["stage"]) for row in found] == [("a.nii.gz", "dicom"), ("b/3", "dicom")]
    assert "is not DICOM" in found[0]["reason"] and "has no FrameOfReferenceUID" in found[1]["reason"]
    assert (
        found[0]["reason"].startswith("no DICOM results (ko, sr)") and len(rows(tmp_path / "out" / "scans.csv")) == 3
    )
    assert [row["scan"] for row in summary.refused] == ["a.nii.gz", "b/3"] and not summary.failures
    assert len(list((tmp_path / "out" / "dicom").rglob("*.dcm"))) == 2
    report = (tmp_path / "out" / "report.html").read_text()
    assert "<b>2</b> lacking DICOM results" in report and "</b> failed" not in report


@pytest.mark.slow
def test_names_of_files_and_folders_are_in_no_object(tmp_path):
    folder = tmp_path / "in" / "PLANTED^Person"
    for path in write_oriented(folder, shape=(4, 36, 40)):
        given(path.rename(folder / f"PLANTED-{path.name}"))
        given(path)
    (folder / "PLANTED-099.dcm").write_bytes(next(folder.iterdir()).read_bytes()[:600])
    score(tmp_path / "in", tmp_path / "out")
    (row,) = rows(tmp_path / "out" / "scans.csv")
    assert "PLANTED-099.dcm" in row["warnings"]
    objects = [path.read_bytes() for path in (tmp_path / "out" / "dicom").rglob("*.dcm")]
    assert len(objects) == 7 and not any(b"PLANTED" in content for content in objects)
    assert any(b"1 file beside it cannot be read" in content for content in objects)


@pytest.mark.slow
def test_results_of_shards_come_together_as_of_one_run(tmp_path):
    for number in range(3):
        write_oriented(tmp_path / "in" / f"s{number}", shape=(4, 36, 40), SeriesInstanceUID=f"1.2.9.2{number}")
    write_scan(tmp_path / "in" / "a.nii.gz", 0)
    bundle = stub_bundle(calibration=CALIBRATION)
    score(tmp_path / "in", tmp_path / "one", dicom=("sr", "ko"))
    for part in (1, 2):
        score(tmp_path / "in", tmp_path / f"part{part}", dicom=("sr", "ko"), shard=Shard(part, 2))
    merge([tmp_path / "part1", tmp_path / "part2"], bundle, tmp_path / "all")
    kinds = ("dicom/", "failures.csv")
    together, one = (
        {name: content for name, content in files_of(tmp_path / out).items() if name.startswith(kinds)}
        for out in ("all", "one")
    )
    assert together == one and len(one) == 7


@pytest.mark.slow
def test_scores_do_not_depend_on_them(tmp_path):
    write_oriented(tmp_path / "in")
    score(tmp_path / "in", tmp_path / "a")
    score(tmp_path / "in", tmp_path / "b", dicom=())
    assert (tmp_path / "a" / "scores.csv").read_bytes() == (tmp_path / "b" / "scores.csv").read_bytes()


@pytest.mark.slow
def test_a_users_own_file_stays(tmp_path):
    write_oriented(tmp_path / "in")
    score(tmp_path / "in", tmp_path / "out", dicom=())
    mine = tmp_path / "out" / "dicom" / "in" / "3_sr.dcm"
    places = [mine, tmp_path / "out" / "dicom" / "3_sr.dcm"]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("mine")
    summary = score(tmp_path / "in", tmp_path / "out", dicom=("sr", "ko"), force=True)
    assert "was not written by maescan" in summary.refused[0]["reason"]
    assert all(place.read_text() == "mine" for place in places)


@pytest.mark.parametrize("text", ["sr,xx", "dicom"])
def test_kinds_are_known(text):
    with pytest.raises(ConfigError, match="use some of sr,sc,seg,ko,pm"):
        parse_kinds(text)
    assert parse_kinds("KO, sr,,") == ("sr", "ko")


def test_a_ct_that_is_no_chest_is_not_called_one():
    named = {"luna16+": "chest", "brats-fg": "brain", "tiny": "brain"}
    assert {name: organ_of(preset(name)) for name in named} == named
    whole = preset("luna16").replace(grid__field_mm=400.0)
    assert organ_of(whole.replace(name="luna16-whole")) == "chest"
    assert [organ_of(whole.replace(name=name)) for name in ("body", "tiny-head-ct")] == ["", ""]


def test_options_survive_a_run_record():
    options = ScoreOptions(dicom=("sr", "pm"), max_map=5)
    assert ScoreOptions.from_json(options.to_json()) == options
