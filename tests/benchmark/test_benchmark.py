from __future__ import annotations

import json
import resource
import sys
from importlib import metadata

import numpy as np
import pytest

from helpers.bundles import SMALL
from maescan.benchmark import engines, folder, limits, machine, run, scaling, weights
from maescan.config import PRESETS
from maescan.engines.bundle import Bundle
from maescan.errors import ConfigError, DataError
from maescan.machine import usable


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return weights.slices_of_a_phantom(SMALL, tmp_path_factory.mktemp("phantom"), 8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, images):
    pytest.importorskip("timm")
    return weights.random_bundle(SMALL, tmp_path_factory.mktemp("random"), ("fp32",), images)


def test_limits_bound_a_slice_by_the_slower_of_products_and_copies():
    small = {"gemm": {"fp32": 1e12}, "copy": 1e15}
    found = limits.limit(PRESETS["brats"], "fp32", 8, small)
    assert found["slices_per_second"] == pytest.approx(1e12 / found["operations"])
    slow = limits.limit(PRESETS["brats"], "fp32", 8, {**small, "copy": 1e6})
    assert slow["slices_per_second"] == pytest.approx(1e6 / slow["bytes"])
    assert limits.limit(PRESETS["brats"], "fp16", 8, small) is None


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_the_matrix_peak_is_the_products_over_the_fastest_round(precision, monkeypatch):
    monkeypatch.setattr(limits, "_seconds", lambda call, rounds: [(call(), 0.0)[1], 4.0, 2.0, 8.0][:rounds])
    assert limits.gemm_peak(precision, 1, size=128, rounds=3) == limits.PRODUCTS * 128**3


def test_a_machine_names_its_commit_and_versions():
    found = machine.describe()
    assert found["machine"]["cores"] == usable() and found["versions"]["openvino"] == metadata.version("openvino")


def test_peak_memory_is_what_the_system_accounts_for(monkeypatch, tmp_path):
    known = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert machine.peak_memory() in (None, pytest.approx(known, rel=0.05))
    monkeypatch.setattr(machine, "Path", lambda path: tmp_path / "none")
    assert machine.peak_memory() is None


def test_engines_are_measured_apart_and_one_that_is_missing_is_named(bundle, images):
    options = {"device": "cpu", "threads": 1, "batches": (1, 4), "seconds": 0.01}
    assert engines.runnable(Bundle.load(bundle), "cpu") == [("openvino", "fp32")]
    found = engines.measure(bundle, "openvino", "fp32", images, **options)
    assert [row["batch"] for row in found["batches"]] == [1, 4]
    assert all(row["p50_s"] <= row["p99_s"] and row["slices_per_second"] > 0 for row in found["batches"])
    assert "int8" in engines.measure(bundle, "openvino", "int8", images, **options)["skipped"]
    assert engines.apart(engines.summary, [1.0, 3.0], 2)["slices_per_second"] == 1.0


def test_random_weights_without_torch_say_what_to_install(monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.startswith(("maescan.models", "timm"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match="timm") as caught:
        weights.random_bundle(SMALL, tmp_path, ("fp32",), np.zeros((1, 32, 32), np.float32))
    assert "--bundle" in caught.value.remedy


@pytest.mark.parametrize("form", ["nifti", "dicom"])
def test_a_generated_folder_is_scored_to_the_end(bundle, tmp_path, form):
    if not folder.can_write(form):
        pytest.skip("needs pydicom")
    scans = folder.write_scans(tmp_path / "scans", 5, (24, 20, 4), SMALL, form)
    options = {"device": "cpu", "target": "openvino", "precision": "fp32", "threads": 1, "workers": 1}
    found = folder.measure(scans, bundle, tmp_path / "out", **options)
    assert (found["scans"], found["failed"], found["slices"]) == (5, 0, 20)
    assert 0 < found["engine_busy"] <= 1 and {"read", "engine", "write"} <= set(found["stages"])


def test_both_formats_hold_the_same_scan(tmp_path):
    pytest.importorskip("pydicom")
    from maescan.scans import axial_view, find_scans, read_scan

    views = []
    for form in ("nifti", "dicom"):
        (source,) = find_scans([folder.write_scans(tmp_path / form, 1, (24, 20, 4), SMALL, form)])
        views.append(axial_view(read_scan(source))[0])
    assert np.array_equal(*views)


def test_scaling_over_threads_passes_tokens_and_folders(bundle, images, tmp_path):
    chosen = {"device": "cpu", "target": "openvino", "precision": "fp32"}
    rows = scaling.threads(bundle, images, [1], 0.01, **chosen)
    assert rows[0]["threads"] == 1
    rows = scaling.sizes(bundle, images, 0.01, threads=1, **chosen)
    assert [row["passes"] for row in rows] == [1, 2, 4, 8, 4, 4, 4]
    assert rows[3]["operations"] > 3 * rows[0]["operations"] and rows[4]["tokens"] == SMALL.model.tokens // 4
    (row,) = scaling.folders(bundle, SMALL, tmp_path, (2,), threads=1, workers=1, **chosen)
    assert row["scans"] == 2 and row["slices"] == 2 * scaling.SHAPE[2]


def test_bench_from_the_command_line_writes_its_report(bundle, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from maescan.cli import app

    small = run.Size((1, 2), 0.01, 0.1, 1, 8, (1, 2))
    monkeypatch.setattr(run, "QUICK", small)
    monkeypatch.setattr(weights, "random_bundle", lambda *_: bundle)
    for module in (engines, scaling):  # in one process: a new one for each part takes seconds
        monkeypatch.setattr(module, "apart", lambda call, *arguments, **options: call(*arguments, **options))
    arguments = ["bench", "--bundle", str(bundle), "--quick", "--threads", "1", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    values = json.loads((tmp_path / "bench.json").read_text())
    assert values["schema"] == 1 and values["versions"]["openvino"] and "commit" in values
    assert [row["batch"] for row in values["engines"][0]["batches"]] == [1, 2]
    assert all(row["share"] > 0 for row in values["engines"][0]["batches"])
    assert {row["format"] for row in values["folders"]} == set(folder.FORMATS.values())
    assert [row["scans"] for row in values["scaling"]["folders"]] == [1, 2]
    assert "openvino-fp32" in (tmp_path / "bench.md").read_text() and "scans/h" in done.output


@pytest.mark.parametrize("arguments", [{}, {"bundle": "x", "random_weights": True}])
def test_bench_wants_a_bundle_or_random_weights(tmp_path, arguments):
    with pytest.raises(ConfigError, match="one of the two"):
        run.bench(tmp_path, **arguments)


def test_bench_writes_over_nobodys_files(tmp_path):
    (tmp_path / "bench.md").write_text("mine")
    with pytest.raises(DataError, match="maescan did not write"):
        run.bench(tmp_path, bundle=tmp_path)
    assert (tmp_path / "bench.md").read_text() == "mine"
