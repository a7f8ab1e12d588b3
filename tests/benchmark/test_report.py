"""The benchmark's tables: every figure in its column, what was skipped in words, pictures where they can be drawn."""

from __future__ import annotations

import json

import pytest

from maescan.benchmark import report

BATCH = {"batch": 8, "slices_per_second": 12.345, "limit": {"slices_per_second": 24.69}, "share": 0.5, "p50_s": 0.1,
         "p95_s": 0.2, "p99_s": 0.3, "watts": None}  # fmt: skip
UNBOUND = {**BATCH, "batch": 1, "limit": None, "share": None, "watts": 65.4}
FOLDER = {"format": "nifti", "scans": 3, "slices": 90, "scans_per_hour": 1234.5, "slices_per_second": 10.25,
          "alone_slices_per_second": 20.5, "share": 0.5,
          "stages": {"read": {"busy": 0.25}, "engine": {"busy": 1.0}}}  # fmt: skip
SIZES = {"passes": 4, "tokens": 196, "operations": 2e9, "slices_per_second": 5.0}


@pytest.fixture
def values():
    return {
        "machine": {"cpu": "Some CPU", "cores": 2, "memory_gib": 4.0, "load": [0.5], "gpus": []},
        "commit": "abc",
        "command": "maescan bench",
        "versions": {"maescan": "1", "python": "3"},
        "limits": {"gemm": {"fp32": 5e10}, "copy": 8e9},
        "engines": [
            {"engine": "openvino-fp32", "batches": [UNBOUND, BATCH], "first_score_s": 1.5, "peak_memory": 3 << 20},
            {"target": "onnx", "precision": "fp32", "skipped": "needs a package"},
        ],
        "folders": [FOLDER, {"format": "dicom", "skipped": "needs pydicom"}],
        "scaling": {
            "threads": [{"threads": 2, "slices_per_second": 9.0}],
            "sizes": [SIZES],
            "folders": [{"scans": 10, "seconds": 2.5, "peak_memory": None}],
        },
    }


def rows(values):
    return {title.split(":")[0].split(" (")[0].split(",")[0]: rows for title, _, rows in report.tables(values)}


def test_every_figure_is_in_its_column(values):
    found = rows(values)
    assert found["Engines"][:2] == [
        ["openvino-fp32", "1", "12.35", "-", "-", "100.0", "200.0", "300.0", "65"],
        ["openvino-fp32", "8", "12.35", "24.69", "50 %", "100.0", "200.0", "300.0", "-"],
    ]
    assert found["Start"] == [["openvino-fp32", "1.50", "3"]]
    ends = ["nifti", "3", "90", "1234.5", "10.25", "20.50", "50 %", "25 %", "-", "100 %", "-"]
    assert found["End to end"][0] == ends
    assert found["Passes"] == [["4", "196", "2", "5.00", "10.0"]]
    assert found["Folder size"] == [["10", "2.5", "250.0", "-"]]


def test_what_was_skipped_says_why_and_fills_its_row(values):
    found = rows(values)
    assert found["Engines"][2] == ["onnx-fp32: needs a package"] + [""] * 8
    assert found["End to end"][1] == ["dicom: needs pydicom"] + [""] * 10
    assert all(len({len(columns), *map(len, lines)}) == 1 for _, columns, lines in report.tables(values))


def test_a_table_without_rows_is_left_out(values):
    del values["folders"]
    values["engines"] = [values["engines"][1]]
    assert list(rows(values)) == ["Engines"]


def test_markdown_says_on_what_it_was_measured(values):
    text = report.markdown(values)
    assert "machine: Some CPU, 2 cores, 4.0 GiB, load [0.5], GPUs: none" in text
    assert "fp32 50 GFLOP/s; copy 8.0 GB/s" in text and "`maescan bench`" in text and "maescan 1, python 3" in text
    assert text.count("\n## ") == 6 and "| openvino-fp32 | 8 | 12.35 |" in text


@pytest.mark.slow
def test_what_is_written_and_shown(values, tmp_path, capsys):
    report.write(tmp_path, values)
    assert json.loads((tmp_path / "bench.json").read_text()) == values
    report.show(values)
    assert "openvino-fp32" in capsys.readouterr().out
    pytest.importorskip("matplotlib")
    assert {path.name for path in tmp_path.glob("*.png")} == {"batches.png", "folders.png"}
