"""Only what is listed is ever removed; what somebody else wrote is never written over."""

from __future__ import annotations

import numpy as np
import pytest

from maescan.errors import ScanError
from maescan.results.rows import ScanRow
from maescan.scans.source import ScanSource
from maescan.scoring.ledger import Ledger
from maescan.scoring.outputs import Outputs, outputs_of


@pytest.fixture
def outputs(tmp_path):
    ledger = Ledger(tmp_path / "out", "job")
    yield Outputs(ledger)
    ledger.close()


def scored(outputs, tmp_path, name, write=True):
    (tmp_path / name).touch()
    known = outputs.ledger.know(ScanSource(name, tmp_path / name, "nifti", (tmp_path / name,)), f"content of {name}")
    outputs.ledger.add(known, f"content of {name}", ScanRow(name, np.ones(1), np.ones(1)))
    if write:
        path = outputs.path("map", known)
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    return known


def test_a_file_that_maescan_did_not_write_is_not_written_over(outputs, tmp_path):
    known = scored(outputs, tmp_path, "a.nii", write=False)
    mine = outputs.place("map", known)
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(ScanError, match="was not written by maescan"):
        outputs.path("map", known)
    (outputs.out / "regions.csv").write_text("mine")
    with pytest.raises(ScanError, match=r"regions\.csv: was not written by maescan"):
        outputs.path("regions.csv")
    outputs.drop(mine)
    outputs.keep([])
    assert mine.read_text() == (outputs.out / "regions.csv").read_text() == "mine"


def test_outputs_of_another_job_and_of_scans_without_scores_go(outputs, tmp_path):
    for name in ("a.nii", "b.nii"):
        scored(outputs, tmp_path, name)
    (outputs.out / "maps" / "me.png").write_text("mine")
    outputs.ledger.job = "another"
    again = scored(outputs, tmp_path, "b.nii")
    assert (outputs.tidy(), outputs.tidy()) == (1, 0)
    assert sorted(path.name for path in (outputs.out / "maps").iterdir()) == ["b.nii_anomaly.nii.gz", "me.png"]
    assert outputs.has("map", again) and list(outputs.of("map")) == ["b.nii"]


def test_a_map_is_renamed_when_another_scan_comes_to_share_its_label(outputs, tmp_path):
    first = scored(outputs, tmp_path, "T1.nii")
    assert outputs.place("map", first).name == "T1.nii_anomaly.nii.gz"
    second = scored(outputs, tmp_path, "t1.nii")
    outputs.tidy()
    names = [path.name for path in (outputs.out / "maps").iterdir()]
    assert len({name.casefold() for name in names}) == 2 and "T1.nii_anomaly.nii.gz" not in names
    assert [outputs.place("map", known).read_text() for known in (first, second)] == ["T1.nii", "t1.nii"]
    assert sorted(outputs.of("map")) == ["T1.nii", "t1.nii"]


def test_a_lost_map_is_not_there(outputs, tmp_path):
    known = scored(outputs, tmp_path, "a.nii")
    assert outputs.has("map", known)
    outputs.place("map", known).unlink()
    assert not outputs.has("map", known)


def test_outputs_of_another_folder(outputs, tmp_path):
    scored(outputs, tmp_path, "a.nii")
    assert outputs_of(outputs.out, "job") == [("map", "a.nii", outputs.out / "maps" / "a.nii_anomaly.nii.gz")]
    assert outputs_of(outputs.out, "another") == []


def test_the_outputs_of_a_scan_that_is_none_any_more_are_no_other_scans(outputs, tmp_path):
    """SQLite gives the number of the last row again."""
    old = scored(outputs, tmp_path, "a.nii")
    outputs.ledger.forget(old)
    new = scored(outputs, tmp_path, "b.nii")
    outputs.tidy()
    assert new.id == old.id, "else this proves nothing"
    (kept,) = outputs.of("map").values()
    assert kept.read_text() == "b.nii" and list(kept.parent.iterdir()) == [kept]


def test_what_was_replaced_before_is_not_said_again(outputs, tmp_path):
    """A later run of the same job on a part of the scans: of the rest the ledger knows the other job still."""
    for name in ("a.nii", "b.nii"):
        scored(outputs, tmp_path, name, write=False)
    outputs.path("scans.csv")
    outputs.ledger.job = "another"
    assert outputs.replaced().startswith("holds 2 scans that were scored with another bundle")
    scored(outputs, tmp_path, "a.nii", write=False)
    outputs.path("scans.csv")
    assert outputs.replaced() == "" and outputs.ledger.of_other_jobs() == 1
    outputs.ledger.job = "job"
    assert outputs.replaced().startswith("holds 1 scan that was scored")
