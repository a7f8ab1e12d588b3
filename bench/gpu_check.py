"""What only a GPU can show, in 30 minutes or fewer: build, tests, rates, sanitizers. Needs no network.

    python bench/gpu_check.py [--plan rtx|hopper] [--out DIR] [--minutes 30] [--dry-run] [--only STAGE ...]

rtx: a workstation with an RTX card and TensorRT-RTX. hopper: an H100, H200 or another card that it has no target
for, with torch, numpy, timm, msgspec, pybind11 and nvcc, no TensorRT and nothing that reads scans. What is worth
most comes first. Each stage has a time limit, writes DIR/gpu-PLAN/STAGE.json when it is over (what its steps
printed, or why it failed) and the next one starts, whatever became of it. `--dry-run` runs every stage small on the
CPU, to try the plan where there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STEPS = [sys.executable, "bench/gpu_steps.py"]
TWO = "cuda and (patchify or average)"
"""The kernels that scoring spends its time in, for the tools that slow them down a hundred times."""
RTX = {"7.5", "8.0", "8.6", "8.9", "12.0", "12.1"}
"""Compute capabilities of maescan.engines.targets.RTX: the package is not built yet when a plan is chosen."""


@dataclass(frozen=True)
class Stage:
    """One step: its time limit in seconds, its commands, and what it lacks (a reason to skip, or None)."""

    name: str
    limit_s: int
    commands: list[list[str]]
    lacks: Callable[[], str | None] = lambda: None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", choices=PLANS, default=None, help="default: by the card that is there")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results", help="folder for the JSON")
    parser.add_argument("--minutes", type=float, default=30, help="in all; stages that have no time left are skipped")
    parser.add_argument("--dry-run", action="store_true", help="every stage, small, on the CPU")
    parser.add_argument("--only", nargs="*", help="only these stages")
    parser.add_argument("--bundles", type=Path, help="folder whose bundles are taken, or made, and kept")
    given = parser.parse_args()
    plan = given.plan or _plan()
    out = given.out / f"gpu-{plan}{'-dry-run' if given.dry_run else ''}"
    out.mkdir(parents=True, exist_ok=True)
    ends, results = time.monotonic() + given.minutes * 60, []
    report = {"plan": plan, "machine": _machine(), "commit": _commit(), "dry_run": given.dry_run}
    with tempfile.TemporaryDirectory(prefix="maescan-gpu-check-") as made:
        for stage in PLANS[plan](given.dry_run, given.bundles or Path(made)):
            if not given.only or stage.name in given.only:
                results.append(_run(stage, out, given.dry_run, ends))
                (out / "check.json").write_text(json.dumps({**report, "stages": results}, indent=2) + "\n")
    for result in results:
        print(f"{result['stage']:<12} {result['state']:<8} {result['seconds']:7.1f} s  {result['note']}")
    return int(any(result["state"] == "failed" for result in results))


class Plan:
    """What the plans have in common. dry: small, on the CPU; made: the folder for bundles that stages share."""

    def __init__(self, dry: bool, made: Path, preset: str) -> None:
        self.dry, self.made, self.preset = dry, made, "tiny" if dry else preset
        self.pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "filterwarnings=default"]
        self.device = ["--device", "cpu" if dry else "cuda"]
        self.large = ["--small"] if dry else ["--batch", "512", "--rounds", "10"]  # beyond the caches
        self.to, self.fast, self.all = ["torchscript"], "fp32" if dry else "fp16", ["fp32"]

    def first(self, architectures: str) -> list[Stage]:
        """Packages, the build, kernels and the path on real CUDA, engines that the stages behind share."""
        build = [sys.executable, "-c", "import maescan._kernels"]
        build = build if self.dry else [*STEPS, "build", "--architectures", architectures]
        kernels = ["tests/kernels/test_kernels.py", "-k", "cpu and patchify"]
        kernels = kernels if self.dry else ["tests/kernels", "-m", "needs_cuda"]
        places = [f"tests/engines/test_{name}.py" for name in ("place_cuda", "torch_place", "torchscript")]
        places += [] if self.dry else ["-m", "needs_cuda"]
        return [
            Stage("packages", 60, [[*STEPS, "packages", "--to", *self.to]]),
            Stage("build", 180, [build]),
            Stage("bundle", 210, [self.step("bundle", self.all), self.step("bundle", ending="-fg")]),
            Stage("path", 120, [[*self.pytest, *places]]),
            Stage("kernels", 120, [[*self.pytest, *kernels]]),
        ]

    def step(self, name: str, precisions: list[str] | None = None, *more: str, ending: str = "") -> list[str]:
        """A command of gpu_steps with this plan's engines, on the bundle that is there; ending: of the preset."""
        preset = self.preset + ending
        quick = ["--seconds", "0.1", "--batches", "1", "8"] if self.dry else []
        aim = [*self.device, "--preset", preset, "--bundle", str(self.made / preset), "--to", *self.to]
        return [*STEPS, name, *aim, "--precision", *(precisions or [self.fast]), *quick, *more]

    def tools(self) -> list[Stage]:
        """Races, and memory out of bounds, in two kernels; how busy these keep the card."""
        tests = [*self.pytest, "tests/kernels/test_kernels.py", "-k", TWO, "-x"]
        check = ["compute-sanitizer", "--error-exitcode=1"]
        ncu = ["ncu", "--clock-control", "none", "-k", "regex:patchify|average", "-c", "4"]
        times = _kernel_times(self.device, ["--small"] if self.dry else ["--batch", "512", "--rounds", "1"])
        return [
            Stage("profile", 60, [[*ncu, *times]], _program("ncu")),
            Stage("racecheck", 90, [[*check, "--tool=racecheck", *tests]], _program("compute-sanitizer")),
            Stage("memcheck", 90, [[*check, "--tool=memcheck", *tests]], _program("compute-sanitizer")),
        ]


def rtx(dry: bool, made: Path) -> list[Stage]:
    """An RTX workstation: TensorRT-RTX in every precision that it has."""
    plan = Plan(dry, made, "brats")
    if not dry:
        plan.to, plan.all = ["tensorrt-rtx", "torchscript"], ["fp16", "bf16", "fp8", "nvfp4"]
    ways = (("on", "EAGER", "whole"), ("on", "EAGER", "steps"), ("off", "EAGER", "whole"), ("on", "LAZY", "whole"))
    rates = [plan.step("rate", None, "--graphs", graphs, "--kernels", kernels, "--path", path)
             for graphs, kernels, path in ways]  # fmt: skip
    low = [plan.step("drift", plan.all, "--path", path) for path in ("whole", "steps")]
    doctor = [sys.executable, "-m", "maescan", "doctor"]
    return [
        *plan.first("native"),
        Stage("rate", 210, rates),
        Stage("drift", 180, [*low, plan.step("rate", plan.all)]),
        Stage("foreground", 120, [plan.step("rate", ending="-fg")]),
        Stage("memory", 60, [plan.step("memory")]),
        Stage("folder", 120, [plan.step("folder", None, "--scans", "2" if dry else "24")]),
        Stage("restart", 60, [plan.step("restart")]),
        Stage("times", 60, [_kernel_times(plan.device, plan.large)]),
        Stage("errors", 60, [[*plan.pytest, "tests/engines/test_targets.py"], doctor]),
        *plan.tools(),
    ]


def hopper(dry: bool, made: Path) -> list[Stage]:
    """An H100 or H200 without TensorRT: the kernels, the path on real CUDA, TorchScript in every precision."""
    plan = Plan(dry, made, "brats")
    plan.all = ["fp32"] if dry else ["fp16", "bf16", "fp32"]
    return [
        *plan.first("90" if "9.0" in _query("compute_cap").split() else "native"),
        Stage("rate", 210, [plan.step("rate", plan.all)]),
        Stage("foreground", 120, [plan.step("rate", ending="-fg")]),
        Stage("judge", 120, [plan.step("bundle", ending="+"), plan.step("rate", ending="+")]),
        Stage("shares", 90, [plan.step("shares")]),
        Stage("peers", 120, _peers(plan)),
        Stage("graphs", 90, [plan.step("rate", None, "--graphs", "off")]),
        Stage("memory", 60, [plan.step("memory")]),
        Stage("times", 60, [_kernel_times(plan.device, plan.large)]),
        *plan.tools(),
    ]


PLANS: dict[str, Callable[[bool, Path], list[Stage]]] = {"rtx": rtx, "hopper": hopper}


def _peers(plan: Plan) -> list[list[str]]:
    start = [sys.executable, "bench/gpu_peers.py", *plan.device, "--preset", plan.preset, "--precision", plan.fast]
    if plan.dry:
        return [[*start, "--slices", "2"]]
    most = ["--slices", "64", "128", "--ways", "eager", "torchscript", "cudnn"]  # torch.compile takes a minute each
    return [[*start, "--slices", "32"], [*start, *most]]


def _kernel_times(device: list[str], small: list[str]) -> list[str]:
    return [sys.executable, "bench/kernels.py", *device, *small]


def _program(name: str) -> Callable[[], str | None]:
    return lambda: None if shutil.which(name) else f"{name} is not installed"


def _run(stage: Stage, out: Path, dry: bool, ends: float) -> dict[str, object]:
    """Runs a stage and writes its JSON. A command that fails does not keep the stage's others from running."""
    reason, start = stage.lacks(), time.monotonic()
    tail: list[str] = []
    result: dict[str, object] = {"stage": stage.name, "state": "skipped", "seconds": 0.0, "note": reason or ""}
    if reason is None and ends - start < 5:
        result["note"] = "no time is left"
    elif reason is None:
        limit = min(stage.limit_s * (5 if dry else 1), ends - start)  # a CPU, and not an idle one
        notes, steps, tail = _commands(stage, dry, start + limit)
        result |= {"state": "failed" if notes else "passed", "seconds": time.monotonic() - start}
        result |= {"note": "; ".join(notes), "steps": steps, "tail": tail}
    (out / f"{stage.name}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(f"--- {stage.name}: {result['state']} {result['note']}", *tail[-12:], sep="\n", flush=True)
    return {name: result[name] for name in ("stage", "state", "seconds", "note")}


def _commands(stage: Stage, dry: bool, until: float) -> tuple[list[str], list[object], list[str]]:
    """(what failed, the JSON that steps printed, the last lines of all)."""
    environment = dict(os.environ) if dry else {**os.environ, "FAIL_WITHOUT_CUDA": "1", "MAESCAN_CUDA": "ON"}
    notes: list[str] = []
    steps: list[object] = []
    tail: list[str] = []
    for command in stage.commands:
        try:
            # a session of its own: what a command has started ends with it
            begun = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            notes.append(f"{Path(command[0]).name} {' '.join(command[1:3])}: {error.strerror}")
            continue
        try:
            said, _ = begun.communicate(timeout=max(1.0, until - time.monotonic()))
            reason = f"{begun.returncode}" if begun.returncode else ""
        except subprocess.TimeoutExpired:
            os.killpg(begun.pid, signal.SIGKILL)
            said, reason = begun.communicate()[0], "its time is up"
        lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
        steps += [json.loads(line) for line in lines if line.startswith('{"step"')]
        tail += lines[-40:]
        if reason:
            notes.append(f"{Path(command[0]).name} {' '.join(command[1:3])}: {reason}")
    return notes, steps, tail


def _plan() -> str:
    return "rtx" if set(_query("compute_cap").split()) <= RTX else "hopper"


def _query(fields: str) -> str:
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() if shutil.which(command[0]) else ""


def _machine() -> dict[str, object]:
    gpu = _query("name,driver_version,memory.total,compute_cap")
    return {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count(), "gpu": gpu}


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
