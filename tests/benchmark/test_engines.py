"""Engines are measured one by one, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from maescan.benchmark import engines
from maescan.engines.bundle import Bundle
from maescan.options import EngineOptions


@pytest.mark.slow
def test_engines_are_measured_apart_and_one_that_is_missing_is_named(bundle, images):
    engine, much = EngineOptions(target="openvino", precision="fp32", threads=1), ((1, 4), 0.01)
    assert engines.runnable(Bundle.load(bundle), "cpu") == [("openvino", "fp32")]
    found = engines.measure(bundle, engine, images, *much)
    assert [row["batch"] for row in found["batches"]] == [1, 4]
    assert all(row["p50_s"] <= row["p99_s"] and row["slices_per_second"] > 0 for row in found["batches"])
    assert "int8" in engines.measure(bundle, replace(engine, precision="int8"), images, *much)["skipped"]
    assert engines.apart(engines.summary, [1.0, 3.0], 2)["slices_per_second"] == 1.0


def test_calls_are_counted_after_one_that_does_not_count():
    calls = []
    assert len(engines.timed(lambda: calls.append(1), 0)) == 3 and len(calls) == 4
    assert len(engines.timed(lambda: calls.append(1), 0, least=5)) == 5


def test_a_rate_is_over_all_calls_and_the_best_over_the_fastest():
    found = engines.summary([1.0, 3.0], 2)
    assert (found["slices_per_second"], found["best_slices_per_second"], found["calls"]) == (1.0, 2.0, 2)
    assert (found["p50_s"], found["p99_s"]) == (2.0, 2.98)


def test_no_module_of_the_folder_at_hand_is_run(tmp_path):
    for name in ("multiprocessing", "numpy", "struct"):
        code = f"open({str(tmp_path)!r} + '/ran', 'w')\nraise ImportError('not mine')\n"
        (tmp_path / f"{name}.py").write_text(code)
    code = "from maescan.benchmark.engines import apart\nif __name__ == '__main__':\n    print(apart(abs, -3))"
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "script.py").write_text(code)
    command = [sys.executable, str(tmp_path / "sub" / "script.py")]  # -P would be theirs too
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "3\n" and not (tmp_path / "ran").exists(), done.stderr


@pytest.mark.parametrize("trust", [False, True])
def test_torchscript_which_can_run_any_code_takes_trust(bundle, trust, monkeypatch):
    asked = {}
    monkeypatch.setattr("maescan.engines.load", lambda bundle, **named: asked.update(named))
    engines.loaded(bundle, EngineOptions(target="torchscript", trust=trust))
    assert asked["trust"] is trust and asked["target"] == "torchscript"
