"""The check of a real card, tried on the CPU: as on a card's machine that has torch and little else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from maescan.engines.targets import RTX

ROOT = Path(__file__).resolve().parents[2]
ABSENT = """
import sys
for name in ("nibabel openvino tensorrt_rtx tensorrt pydicom highdicom isal nncf SimpleITK watchfiles backports"
             " lightning_fabric pynetdicom pylibjpeg ray cryptography").split():
    sys.modules[name] = None
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("plan", ["rtx", "hopper"])
def test_a_plan_goes_on_after_a_failure_and_writes_a_json_a_stage(tmp_path, plan):
    (tmp_path / "sitecustomize.py").write_text(ABSENT if plan == "hopper" else "")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    only = ["packages", "bundle", "path", "rate", "shares", "memory", "profile"]
    only = only if plan == "hopper" else ["build", "drift", "errors"]
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
        assert found["packages"]["steps"][0]["versions"]["torch"] and not found["packages"]["steps"][0]["missing"]
        assert [row["target"] for row in found["bundle"]["steps"][0]["engines"]] == ["torchscript"]
        assert sum(found["shares"]["steps"][0]["engines"][0]["shares"].values()) > 0.5


@pytest.fixture
def gpu_check(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "bench")
    import gpu_check

    return gpu_check


@pytest.mark.parametrize(
    ("cards", "plan", "built"),
    [("", "rtx", "native"), ("8.9\n8.9", "rtx", "native"), ("9.0", "hopper", "90"), ("10.0", "hopper", "native"),
     ("8.7", "hopper", "native"), ("8.6\n9.0", "hopper", "90")],
)  # fmt: skip
def test_a_card_that_tensorrt_rtx_has_no_target_for_is_checked_without_it(
    gpu_check, monkeypatch, tmp_path, cards, plan, built
):
    assert {".".join(map(str, card)) for card in RTX} == gpu_check.RTX
    monkeypatch.setattr(gpu_check, "_query", lambda fields: cards)
    assert gpu_check._plan() == plan
    (build,) = (stage for stage in gpu_check.PLANS[plan](False, tmp_path) if stage.name == "build")
    assert build.commands[0][-1] == built


@pytest.mark.parametrize("plan", ["rtx", "hopper"])
def test_stages_fit_half_an_hour_and_what_is_worth_most_the_first_half_of_it(gpu_check, tmp_path, plan):
    stages = gpu_check.PLANS[plan](False, tmp_path)
    limits = {stage.name: stage.limit_s for stage in stages}
    assert len(limits) == len(stages) and sum(limits.values()) <= 30 * 60
    assert sum(list(limits.values())[: list(limits).index("rate") + 1]) <= 16 * 60


def test_without_time_left_a_stage_is_skipped_and_says_so(gpu_check, tmp_path, monkeypatch):
    monkeypatch.setitem(gpu_check.PLANS, "rtx", lambda dry, made: [gpu_check.Stage("late", 60, [["true"]])])
    monkeypatch.setattr("sys.argv", ["gpu_check.py", "--plan", "rtx", "--minutes", "0", "--out", str(tmp_path)])
    assert gpu_check.main() == 0
    assert json.loads((tmp_path / "gpu-rtx/late.json").read_text())["note"] == "no time is left"


def test_a_package_that_is_missing_is_named(tmp_path):
    """Once, with all others: what a machine without a network lacks is brought in one go."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['msgspec'] = sys.modules['timm'] = None\n")
    command = [sys.executable, ROOT / "bench/gpu_steps.py", "packages"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 1 and json.loads(done.stdout)["missing"] == ["msgspec", "timm"]


@pytest.mark.slow
def test_a_stage_that_fails_stops_no_other(gpu_check, tmp_path, monkeypatch):
    stages = [
        gpu_check.Stage("breaks", 60, [["false"], ["no-such-program"], ["echo", '{"step": "still"}']]),
        gpu_check.Stage("hangs", 1, [["sleep", "60"]]),
        gpu_check.Stage("lacks", 60, [["true"]], lambda: "a card"),
        gpu_check.Stage("works", 60, [["true"]]),
    ]
    monkeypatch.setitem(gpu_check.PLANS, "rtx", lambda dry, made: stages)
    monkeypatch.setattr("sys.argv", ["gpu_check.py", "--plan", "rtx", "--out", str(tmp_path)])
    assert gpu_check.main() == 1
    found = {stage.name: json.loads((tmp_path / f"gpu-rtx/{stage.name}.json").read_text()) for stage in stages}
    states = [found[stage.name]["state"] for stage in stages]
    assert states == ["failed", "failed", "skipped", "passed"]
    assert found["breaks"]["steps"] == [{"step": "still"}] and "time is up" in found["hangs"]["note"]
