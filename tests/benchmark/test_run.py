"""`maescan bench` as a whole."""

from __future__ import annotations

import json

import pytest

from helpers.gpu_machine import driver
from maescan import machine
from maescan.benchmark import engines, folder, run, scaling, weights
from maescan.config import PRESETS
from maescan.errors import ConfigError, DataError, EngineError


@pytest.mark.slow
def test_bench_from_the_command_line_writes_its_report(bundle, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from maescan.cli import app

    small = run.Size((1, 2), 0.01, 0.1, 1, 8, (1, 2))
    monkeypatch.setattr(run, "QUICK", small)
    monkeypatch.setattr(weights, "random_bundle", lambda *_: bundle)
    for module in (engines, scaling):  # in one process: a new one for each part takes seconds
        monkeypatch.setattr(module, "apart", lambda call, *arguments, **options: call(*arguments, **options))
    arguments = ["bench", "--bundle", str(bundle), "--quick", "--threads", "1", "--out", str(tmp_path)]
    arguments += ["--device", "auto"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    values = json.loads((tmp_path / "bench.json").read_text())
    assert (
        values["schema"] == 1 and values["device"] == "cpu" and values["versions"]["openvino"] and "commit" in values
    )
    assert [row["batch"] for row in values["engines"][0]["batches"]] == [1, 2]
    assert all(row["share"] > 0 for row in values["engines"][0]["batches"])
    assert {row["format"] for row in values["folders"]} == set(folder.FORMATS.values())
    assert [row["scans"] for row in values["scaling"]["folders"]] == [1, 2]
    assert "openvino-fp32" in (tmp_path / "bench.md").read_text() and "scans/h" in done.output


def test_a_share_is_the_rate_beside_it_over_the_limit_beside_it():
    measured = {"batch": 8, "slices_per_second": 3.0, "best_slices_per_second": 4.0, "gemm_peak": None}
    bounds = {"gemm": {"fp32": 1e12}, "copy": 1e15}
    run._beside([{"precision": "fp32", "batches": [measured]}], bounds, PRESETS["tiny"])
    assert measured["share"] == 3.0 / measured["limit"]["slices_per_second"]


@pytest.mark.parametrize("arguments", [{}, {"bundle": "x", "random_weights": True}])
def test_bench_wants_a_bundle_or_random_weights(tmp_path, arguments):
    with pytest.raises(ConfigError, match="one of the two"):
        run.bench(tmp_path, run.Subject(**arguments))


@pytest.mark.parametrize(
    ("device", "reason"),
    [("cuda:1", "this machine has 1 GPU "), ("cuda:x", "there is no device 'cuda:x'"), ("tpu", "no device 'tpu'")],
)
def test_a_gpu_that_is_not_there_is_said_before_slices_are_made(tmp_path, monkeypatch, device, reason):
    monkeypatch.setattr(machine, "_driver", lambda: driver(1))
    monkeypatch.setattr(weights, "slices_of_a_phantom", lambda *_: pytest.fail("made slices"))
    with pytest.raises(EngineError, match=reason):
        run._random(PRESETS["tiny"], tmp_path, device, True)


def test_bench_writes_over_nobodys_files(tmp_path):
    (tmp_path / "bench.md").write_text("mine")
    with pytest.raises(DataError, match="maescan did not write"):
        run.bench(tmp_path, run.Subject(bundle=tmp_path))
    assert (tmp_path / "bench.md").read_text() == "mine"


def test_pictures_of_an_earlier_benchmark_go_and_one_at_a_time_writes(tmp_path, monkeypatch):
    def measure(*_):
        with pytest.raises(DataError, match="another run is writing here"):
            run.bench(out, subject)
        return {}

    out, subject, said = tmp_path / "out", run.Subject(bundle=tmp_path / "b"), []
    monkeypatch.setattr(run, "_measure", measure)
    monkeypatch.setattr(run.report, "write", lambda out, _: (out / "bench.md").write_text("new"))
    run.bench(out, subject)
    for name in ("folders.png", "notes.txt"):
        (out / name).write_text("old")
    run.bench(out, subject, listen=said.append)
    assert said == [f"{out}: replaces a benchmark of before: bundle {tmp_path / 'b'}"]
    assert {path.name for path in out.iterdir()} == {".maescan", "bench.md", "notes.txt"}


@pytest.mark.parametrize(
    ("given", "trusted"), [({}, False), ({"trust": True}, True), ({"random_weights": True}, True)]
)
def test_a_bundles_torchscript_is_trusted_when_that_is_said(bundle, tmp_path, monkeypatch, given, trusted):
    asked = []
    monkeypatch.setattr(run, "device_for", lambda bundle, device, trust: asked.append(trust) or "cpu")
    monkeypatch.setattr(
        engines, "apart", lambda call, path, engine, *_: asked.append(engine.trust) or {"skipped": ""}
    )
    monkeypatch.setattr(run.limits, "measure", lambda *_, **__: {})
    run._measure(bundle, tmp_path, run.Subject(bundle=bundle, **given), lambda text: None)
    assert asked == [trusted, trusted]
