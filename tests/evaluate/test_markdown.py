"""Tables of a report."""

import numpy as np


def test_table_shows_three_decimals_and_dashes():
    from maescan.evaluate.markdown import table

    assert table(("a",), [["g|h<i>"]]).endswith("| g\\|h\\<i> |\n")  # what a table of groups says is one cell
    assert table(("a",), [["site\nB"]]).endswith("| site B |\n")
    assert table(("a", "b"), [[0.12345, None]]) == "| a | b |\n| --- | --- |\n| 0.123 | - |\n"


def test_intervals_and_cells_are_rounded_so():
    from maescan.evaluate.markdown import interval_text, table

    assert interval_text((0.9991, 0.99999)) == "0.999 to 0.99999"
    assert "| 0.9996 |" in table(("a",), [[0.9996]])


def test_a_stress_test_of_few_patients_shows_no_intervals_and_counts_patients():
    from maescan.datasets.subjects import subjects_of
    from maescan.evaluate.markdown import stress_text
    from maescan.evaluate.stress import Stressed, summarise

    for patients in (9, 10):
        rng = np.random.default_rng(0)
        names = np.array([f"sub-{i:02}/ses-{j}/T1w.nii" for i in range(patients) for j in (1, 2)])
        before = {"score": rng.random(len(names))}
        after = {"flat": {"score": before["score"] + 0.1}}
        found = summarise(Stressed(names, subjects_of(names), np.arange(len(names)), before, after, {}, {}, {}))
        text = stress_text(found)
        assert f"{2 * patients} healthy slices of {patients} patients" in text
        row = next(line for line in text.splitlines() if line.startswith("| flat"))
        assert (" to " in row) is (patients == 10) is ("No intervals" not in text)
        assert ("may be chance" in text, "Better than a coin" in text) == (patients == 9, patients == 10)
    one = np.array(["a"])
    worse = {kind: {"score": np.array([value])} for kind, value in (("flat", 0.1), ("darker", 0.9))}
    text = stress_text(summarise(Stressed(one, one, np.array([0]), {"score": np.array([0.5])}, worse, {}, {}, {})))
    assert "each of 1 healthy slice of 1 patient. rises" in text
    assert "No better than a coin: flat. Of so few patients, that others are may be chance." in text
