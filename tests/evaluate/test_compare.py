from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from helpers.labelled import TINY, labelled_slices
from helpers.stubs import StubEngine
from maescan.cli import app
from maescan.errors import DataError
from maescan.evaluate.compare import compare, text_of
from maescan.evaluate.run import evaluate_slices
from maescan.files import write_csv, write_json
from maescan.options import EvaluateOptions


def evaluation(folder, gain=0.0, patients=12, slices=20, seed=0, name="tiny"):
    rng = np.random.default_rng(seed)
    label = np.tile(np.arange(slices) % 2, patients)
    score = rng.normal(size=patients * slices) + gain * label
    rows = [
        (f"p{i // slices:02}", i % slices, int(label[i]), float(score[i]), 0.3 + 0.01 * (i % 5))
        for i in range(patients * slices)
    ]
    folder.mkdir()
    write_csv(folder / "slices.csv", ("scan", "slice", "label", "score", "area"), rows)
    write_json(folder / "metrics.json", {"model": {"name": name, "score": "MAE"}})
    return folder


def test_a_better_one_is_better_beyond_its_interval(tmp_path):
    found = compare(evaluation(tmp_path / "a", 0.2), evaluation(tmp_path / "b", 1.5))
    for part in ("auroc", "within_patients"):
        assert found[part]["difference"] > 0.1 and found[part]["interval"][0] > 0
    assert found["area_matched"]["difference"] > 0.1 and len(found["each"]) == 12
    text = text_of(found)
    assert "better for 1" in text and "| sign |" not in text and "240 slices of 12 patients" in text


def test_the_same_twice_differs_by_nothing(tmp_path):
    found = compare(evaluation(tmp_path / "a"), evaluation(tmp_path / "b"))
    assert found["auroc"]["difference"] == 0 and found["auroc"]["interval"] == [0.0, 0.0]
    assert found["within_patients"]["interval"] == [0.0, 0.0]


def test_patches_lie_where_their_height_says_not_their_row(tmp_path):
    """evaluate of CT patches numbers them by the rows of candidates.csv, in any order."""
    folders = [evaluation(tmp_path / "a", 0.2), evaluation(tmp_path / "b", 1.5)]
    wanted = compare(*folders)["area_matched"]
    for folder in folders:
        header, *rows = (line.split(",") for line in (folder / "slices.csv").read_text().splitlines())
        turned = [[scan, str(int(n) * 7 % 20), *rest, str(int(n) * 2.5 - 9)] for scan, n, *rest in rows]
        write_csv(folder / "slices.csv", [*header, "height"], turned)
    found = compare(*folders)["area_matched"]
    assert found["first"] == pytest.approx(wanted["first"]) and found["second"] == pytest.approx(wanted["second"])
    for folder in folders:
        text = (folder / "slices.csv").read_text().splitlines()
        (folder / "slices.csv").write_text("\n".join(line.rpartition(",")[0] for line in text) + "\n")
    assert compare(*folders)["area_matched"]["first"] != pytest.approx(wanted["first"])


def test_scans_that_trained_one_of_them_are_told(tmp_path):
    a, b = evaluation(tmp_path / "a"), evaluation(tmp_path / "b")
    write_json(b / "metrics.json", {"model": {"name": "tiny", "score": "MAE", "trained_scans": 7}})
    first, second = text_of(compare(a, b)).splitlines()[:2]
    assert first == "first: tiny (MAE)"
    assert second.startswith("second: tiny (MAE); **trained with 7 of the scans that it judged")


def test_under_ten_patients_each_ones_sign_stands_in_place_of_intervals(tmp_path):
    a, b = evaluation(tmp_path / "a", 0.2, patients=4), evaluation(tmp_path / "b", 1.5, patients=4)
    done = CliRunner().invoke(app, ["compare", str(a), str(b)], catch_exceptions=False)
    assert done.exit_code == 0 and "| p03 |" in done.output and "Fewer than 10 patients" in done.output
    assert "| AUROC, all slices |" in done.output and " to " not in done.output.split("Fewer")[0]


@pytest.mark.parametrize("patients", [20, 19])
def test_patients_of_one_kind_alone_have_an_interval_over_all_slices(tmp_path, patients):
    """Each scan wholly ill or healthy: nothing is within patients, and ten of each kind are enough for the rest."""
    folders = [evaluation(tmp_path / name, gain, patients=patients) for name, gain in (("a", 0.2), ("b", 1.5))]
    for folder in folders:
        lines = (folder / "slices.csv").read_text().splitlines()
        cells = [line.split(",") for line in lines[1:]]
        rows = [[scan, n, int(int(scan[1:]) % 2), score, area] for scan, n, _, score, area in cells]
        write_csv(folder / "slices.csv", lines[0].split(","), rows)
    text = text_of(compare(*folders))
    (row,) = [line for line in text.splitlines() if "AUROC, all slices" in line]
    assert (" to " in row) is (patients == 20) is ("No intervals" not in text) and "Fewer than" not in text


def test_slices_of_one_alone_are_left_out_and_counted(tmp_path):
    found = compare(evaluation(tmp_path / "a", patients=12), evaluation(tmp_path / "b", patients=11))
    assert (found["patients"], found["left_out"]) == (11, 20)


@pytest.mark.parametrize("newer", ["a", "b"])
def test_patients_that_one_of_them_alone_names_are_these(tmp_path, newer):
    """An older maescan did not write whose a scan is."""
    folders = [evaluation(tmp_path / name) for name in "ab"]
    file = tmp_path / newer / "slices.csv"
    header, *rows = (line.split(",") for line in file.read_text().splitlines())
    write_csv(file, [*header, "patient"], [[*row, f"q{int(row[0][1:]) // 2}"] for row in rows])
    assert compare(*folders)["patients"] == 6


def test_what_cannot_be_compared_is_refused(tmp_path):
    a, b = evaluation(tmp_path / "a"), evaluation(tmp_path / "b")
    with pytest.raises(DataError, match="holds no evaluation"):
        compare(a, tmp_path)
    text = (b / "slices.csv").read_text().replace("p00,0,0,", "p00,0,1,")
    (b / "slices.csv").write_text(text)
    with pytest.raises(DataError, match="calls slice 0 of p00 otherwise"):
        compare(a, b)
    (b / "slices.csv").write_text(text.replace("\np", "\nq"))
    with pytest.raises(DataError, match="judges none of the slices"):
        compare(a, b)
    for nothing in ("", "<html>log in</html>\n"):
        (b / "slices.csv").write_text(nothing)
        with pytest.raises(DataError, match=r"slices\.csv: holds no evaluation: lacks the column scan"):
            compare(a, b)
    for row, said in {
        "p01,1,1,nan,0.3": "line 3: is not as maescan writes it: `score` is 'nan'",
        "p01,1,1,inf,0.3": "`score` is 'inf'",
        "p01,1,1,0.5,nan": "`area` is 'nan'",
        "p01,0,0,0.9,0.3": "it has slice 0 of p01 twice",
    }.items():
        (b / "slices.csv").write_text(f"scan,slice,label,score,area\np01,0,0,0.5,0.3\n{row}\n")
        with pytest.raises(DataError, match=rf"b/slices\.csv: holds no evaluation: .*{said}"):
            compare(a, b)
    (b / "slices.csv").write_text("scan,slice,label,score,area\np01,0,0,0.5,0.3\np01,2,0,0.5,0.3\n")
    with pytest.raises(DataError, match="b: has 2 slices in common with the other, none of them abnormal"):
        compare(a, b)
    (b / "metrics.json").write_text(json.dumps([]))
    with pytest.raises(DataError, match="holds no evaluation"):
        compare(a, b)


def test_slices_of_equal_names_that_are_others_are_told(tmp_path):
    """Phantoms, and scans that a site numbers, have the names of others."""

    def of(name, seed, **changes):
        data = labelled_slices()
        data.images[:] += np.random.default_rng(seed).random(data.images.shape) * (data.images > 0)
        data = dataclasses.replace(data, images=data.images.astype(changes.pop("dtype", np.float32)))
        options = EvaluateOptions(draw=False, stressed=0)
        evaluate_slices(data, StubEngine(), TINY.replace(**changes), tmp_path / name, {}, options)
        return tmp_path / name

    one, same, other = of("one", 0), of("same", 0, dtype=np.float16), of("other", 1)
    assert compare(one, same)["others"] == 0 and "saw the same" not in text_of(compare(one, same))
    found = compare(one, other)
    assert found["others"] == found["slices"] == 48 and "48 of these slices show something else" in text_of(found)
    elsewhere = of("elsewhere", 1, grid__field_mm=300.0)
    assert compare(one, elsewhere)["others"] is None and "is not known" in text_of(compare(one, elsewhere))
