"""The check of a real card, tried on the CPU: as on a card's machine that has torch and little else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ABSENT = """
import sys
for name in ("nibabel", "openvino", "tensorrt_rtx", "tensorrt", "pydicom", "highdicom", "isal", "nncf", "SimpleITK"):
    sys.modules[name] = None
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("plan", ["rtx", "hopper"])
def test_a_plan_goes_on_after_a_failure_and_writes_a_json_a_stage(tmp_path, plan):
    (tmp_path / "sitecustomize.py").write_text(ABSENT if plan == "hopper" else "")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    only = ["build", "path", "rate", "memory", "profile"] if plan == "hopper" else ["build", "drift", "errors"]
    command = [sys.executable, ROOT / "bench/gpu_check.py", "--plan", plan, "--dry-run", "--out", tmp_path, "--only"]
    done = subprocess.run([*command, *only], env=environment, capture_output=True, text=True)
    out = tmp_path / f"gpu-{plan}-dry-run"
    found = {stage: json.loads((out / f"{stage}.json").read_text()) for stage in only}
    states = {stage: result["state"] for stage, result in found.items()}
    assert states == {stage: "skipped" if stage == "profile" else "passed" for stage in only}, done.stdout[-4000:]
    assert done.returncode == 0 and json.loads((out / "check.json").read_text())["plan"] == plan
    if plan == "hopper":
        (step,) = found["rate"]["steps"]
        assert step["engines"][0]["slices_per_second"]["1"] > 0


def test_a_stage_that_fails_stops_no_other(tmp_path, monkeypatch):
    sys.path.insert(0, str(ROOT / "bench"))
    import gpu_check

    sys.path.pop(0)
    stages = [
        gpu_check.Stage("breaks", 60, [["false"], ["no-such-program"], ["echo", '{"step": "still"}']]),
        gpu_check.Stage("hangs", 1, [["sleep", "60"]]),
        gpu_check.Stage("lacks", 60, [["true"]], lambda: "a card"),
        gpu_check.Stage("works", 60, [["true"]]),
    ]
    monkeypatch.setitem(gpu_check.PLANS, "rtx", lambda dry: stages)
    monkeypatch.setattr("sys.argv", ["gpu_check.py", "--plan", "rtx", "--out", str(tmp_path)])
    assert gpu_check.main() == 1
    found = {stage.name: json.loads((tmp_path / f"gpu-rtx/{stage.name}.json").read_text()) for stage in stages}
    states = [found[stage.name]["state"] for stage in stages]
    assert states == ["failed", "failed", "skipped", "passed"]
    assert found["breaks"]["steps"] == [{"step": "still"}] and "time is up" in found["hangs"]["note"]
