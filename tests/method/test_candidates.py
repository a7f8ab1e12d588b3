from __future__ import annotations

import numpy as np
import pytest

from maescan.errors import DataError
from maescan.method.candidates import COLUMNS, read_candidates, told_outside


def table(tmp_path, *lines):
    file = tmp_path / "candidates.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return file


def test_places_are_ras_and_rows_keep_their_order(tmp_path):
    rows = read_candidates(table(tmp_path, ",".join(COLUMNS), "1.2,10,-20,30,0", "1.1,1,2,3,1"))
    assert rows.series.tolist() == ["1.2", "1.1"] and rows.label.tolist() == [0, 1]
    assert np.array_equal(rows.place, [[-10, 20, 30], [-1, -2, 3]])


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["a,b,c"], "lacks the column seriesuid, coordX"),
        ([",".join(COLUMNS), "1.2,here,2,3,0"], "line 2: is no candidate: `coordX` is"),
        ([",".join(COLUMNS), "1.2,1,2"], "line 2 has another number of cells"),
        ([",".join(COLUMNS), "1.2,1,2,3,0", "1.2,nan,2,3,0"], "row 1 holds a place that is none"),
        ([",".join(COLUMNS), "1.2,1,2,-1e30,0"], "row 0 holds a place that is none"),
        ([",".join(COLUMNS)], "has no rows"),
        ([";".join(COLUMNS), "1.2;1;2;3;0"], "lacks the column seriesuid, coordX"),
        ([",".join(COLUMNS), "1.2,1,2,3,7"], "no candidate: `class` is"),
    ],
)
def test_what_is_no_candidate_is_refused_by_the_tables_name(tmp_path, lines, words):
    file = table(tmp_path, *lines)
    with pytest.raises(DataError, match=words) as error:
        read_candidates(file)
    assert error.value.path == file and "with commas between" in error.value.remedy


def test_a_detectors_table_says_places_alone(tmp_path):
    file = table(tmp_path, "seriesuid,coordX,coordY,coordZ,diameter_mm", "1.2,10,-20,30,5.6")
    rows = read_candidates(file, labelled=False)
    assert rows.series.tolist() == ["1.2"] and rows.label.tolist() == [0]
    with pytest.raises(DataError, match="lacks the column class"):
        read_candidates(file)


@pytest.mark.parametrize("said", ["nodule", "0.87", "", "2"])
def test_what_a_detector_calls_its_places_is_not_read(tmp_path, said):
    (tmp_path / "found.csv").write_text(f"{','.join(COLUMNS)}\n1.2,1,2,3,{said}\n")
    assert read_candidates(tmp_path / "found.csv", labelled=False).place.tolist() == [[-1.0, -2.0, 3.0]]


def test_blanks_around_a_series_are_none_of_it(tmp_path):
    assert read_candidates(table(tmp_path, ",".join(COLUMNS), " 1.2 ,1,2,3,0")).series.tolist() == ["1.2"]


def test_of_rows_outside_of_a_ct_the_first_is_named_as_the_table_has_it():
    places, centres = (
        np.array([[0.0, 0, 0], [-1.5, 20, 900], [0, 0, 950]]),
        np.array([[1, 1, 1], [90, 1, 1], [95, 1, 1]]),
    )
    said = told_outside(places, centres, (9, 9, 9), np.array([4, 7, 8]))
    assert said == "row 7 of the candidates, at 1.5, -20, 900, lies outside of it, as 1 more of its 3 do"
    assert told_outside(places[:1], centres[:1], (9, 9, 9), np.array([4])) == ""
