from __future__ import annotations

import numpy as np
import pytest

from maescan.errors import DataError
from maescan.method.candidates import COLUMNS, read_candidates


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
        ([",".join(COLUMNS), "1.2,nan,2,3,0"], "a place"),
        ([",".join(COLUMNS), "1.2,1,2,3,7"], "no candidate: `class` is"),
    ],
)
def test_what_is_no_candidate_is_refused_by_the_tables_name(tmp_path, lines, words):
    file = table(tmp_path, *lines)
    with pytest.raises(DataError, match=words) as error:
        read_candidates(file)
    assert error.value.path == file
