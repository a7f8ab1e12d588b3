from __future__ import annotations

import csv

import numpy as np
import pytest

from maescan.results.rows import Failure, ScanRow
from maescan.results.tables import FAILURES, SCANS, Tables, write_csv

ROWS = [
    ScanRow("a.nii", np.array([0.25, 0.75], "<f4"), np.array([0.5, 0.5], "<f4"), ["one", "two"]),
    ScanRow("b.nii", np.array([0.5], "<f4"), np.array([1], "<f4"), [], [[1.0, 2.0, 3.0]], "unlike", levels=[4]),
]


class Judge:
    def slice_p(self, scores, positions):
        return [0.5 if positions is None else 0.25] * len(scores)

    def any_slice_p(self, scores):
        return [0.75] * len(scores)

    def scan(self, score):
        return 0.1, "yes" if score > 0.6 else "no"

    def unlike(self, figures, slices):
        return [f"{slices} slices"]


def test_rows_of_each_table():
    plain, judged = (Tables(ROWS, (), {"method": "max"}, judge) for judge in (None, Judge()))
    assert plain.scans() == [
        ("a.nii", 0.75, "", "", "ok", 2, 1, "one; two", "complete"),
        ("b.nii", 0.5, "", "", "unlike", 1, 4, "", "complete"),
    ]
    assert [row[7] for row in judged.scans()] == ["one; two; 2 slices", "0 slices"]
    assert [row[2:4] for row in judged.scans()] == [(0.1, "yes"), (0.1, "no")]
    none = ("a.nii", 0, 0.25, "", 0.5, ""), ("a.nii", 1, 0.75, "", 0.5, ""), ("b.nii", 0, 0.5, "", 1.0, "")
    assert plain.slices() == list(none)
    assert [(row[3], row[5]) for row in judged.slices()] == [(0.25, 0.75), (0.25, 0.75), (0.5, 0.75)]
    assert plain.regions() == [("b.nii", 0, 4, 1.0, 2.0, 3.0, 0.5, "")] and judged.regions()[0][-1] == 0.5


def test_slices_of_a_ct_are_counted_by_where_their_patches_lie():
    scores = np.array([0.5, 0.9, 0.1], "<f4")
    row = ScanRow("ct", scores, scores, places=[[0.0, 0.0, 0.0]] * 3, levels=[7, 7, 9])
    assert (row.slices, row.highest_slice, row.positions) == (2, 7, None)
    assert (ROWS[0].slices, ROWS[0].highest_slice) == (2, 1) and ROWS[0].positions.tolist() == [0.0, 1.0]
    older = row._replace(levels=())  # of a ledger that does not know them
    assert [cells[2] for cells in Tables([older], (), None, None).regions()] == ["", "", ""]


def test_a_scan_of_another_kind_is_not_judged():
    rows = [ROWS[0]._replace(fit="other", why="its modality is CT")]
    judged, accepted = (Tables(rows, (), {"method": "max"}, Judge(), any_kind) for any_kind in (False, True))
    assert judged.scans()[0][2:5] == ("", "", "other") and accepted.scans()[0][2:5] == (0.1, "yes", "other")
    assert [row[3] for row in judged.slices()] == ["", ""]
    assert judged.scans()[0][7] == "its modality is CT; one; two"


def test_the_rule_is_applied_to_stored_slices():
    assert [Tables(ROWS, (), {"method": "top", "k": 2}, None).scan_score(row) for row in ROWS] == [0.5, 0.5]


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "@SUM(1)", "+1", "-rf.nii", "\t=1", "\uff1d1", "'=1"])
def test_a_cell_is_never_a_formula(tmp_path, name):
    write_csv(tmp_path / "scans.csv", SCANS, [(name, -0.5, "", "", 1, 0, "")])
    write_csv(tmp_path / "failures.csv", FAILURES, [Failure(name, "read", "=1+1", "", name)])
    for file in ("scans.csv", "failures.csv"):
        with (tmp_path / file).open(newline="", encoding="utf-8") as stream:
            (row,) = csv.DictReader(stream)
        assert row["scan"] == f"'{name}"
    with (tmp_path / "scans.csv").open(newline="", encoding="utf-8") as stream:
        assert next(csv.DictReader(stream))["score"] == "-0.500000"
    assert "'=1+1" in (tmp_path / "failures.csv").read_text(encoding="utf-8")
