"""What somebody has written into a table is not lost when the table is written anew."""

from __future__ import annotations

import pytest

from helpers.scoring_stub import BUNDLE, Engine, rows, write_scan
from maescan.scoring.edited import RECORD, edited_kept
from maescan.scoring.options import ScoreOptions
from maescan.scoring.pipeline import opened_job, score_folder
from maescan.scoring.summary import write_results


def test_a_table_with_notes_of_its_reader_is_kept_and_named(tmp_path):
    write_scan(tmp_path / "scans" / "a.nii.gz", seed=1)
    out, notes = tmp_path / "out", []

    def score():
        return score_folder([tmp_path / "scans"], BUNDLE, Engine(), out, ScoreOptions(pictures=0)).notes

    assert score() == [] and score() == []
    plain = (out / "scans.csv").read_bytes()
    for number, name in ((1, "scans-edited.csv"), (2, "scans-edited-2.csv")):
        (out / "scans.csv").write_text(f"scan,what I think of it\na.nii.gz,{number}\n")
        notes += score()
        assert rows(out / name) == [{"scan": "a.nii.gz", "what I think of it": str(number)}]
    assert notes[1] == "scans.csv was changed since it was written, and is kept as scans-edited-2.csv"
    assert (out / "scans.csv").read_bytes() == plain and score() == []
    assert len(list(out.glob("*-edited*"))) == 2


def test_notes_in_the_table_of_what_was_passed_over_are_kept_too(tmp_path):
    write_scan(tmp_path / "scans" / "a.nii.gz", seed=1)
    for _ in range(2):
        summary = score_folder([tmp_path / "scans"], BUNDLE, Engine(), tmp_path / "out", ScoreOptions(pictures=0))
        (tmp_path / "out" / "passed_over.csv").write_text("mine")
    assert "passed_over.csv was changed since it was written" in summary.notes[0]
    assert (tmp_path / "out" / "passed_over-edited.csv").read_text() == "mine"


def test_a_run_that_writes_its_tables_again_says_it_still(tmp_path):
    """As a watch, whose notes are told at its end."""
    write_scan(tmp_path / "scans" / "a.nii.gz", seed=1)
    out, options = tmp_path / "out", ScoreOptions(pictures=0)
    score_folder([tmp_path / "scans"], BUNDLE, Engine(), out, options)
    (out / "scans.csv").write_text("mine")
    with opened_job(BUNDLE, Engine(), out, options, lambda *_: None) as job:
        notes = [list(write_results(job).notes) for _ in range(3)]
    assert notes == [["scans.csv was changed since it was written, and is kept as scans-edited.csv"]] * 3


@pytest.mark.parametrize("left", ["killed", "damaged"])
def test_what_a_killed_run_leaves_is_no_edited_table(tmp_path, left):
    (tmp_path / ".maescan").mkdir()
    with edited_kept(tmp_path, ["a.csv"]):
        (tmp_path / "a.csv").write_text("one")
    with pytest.raises(KeyboardInterrupt), edited_kept(tmp_path, ["a.csv"]) as notes:
        (tmp_path / "a.csv").write_text("two")
        raise KeyboardInterrupt
    if left == "damaged":
        (tmp_path / RECORD).write_text("{")
    with edited_kept(tmp_path, ["a.csv"]) as notes:
        assert notes == [] and (tmp_path / "a.csv").exists()
