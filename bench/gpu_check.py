"""What only a GPU can show, in 30 minutes: build, tests, sanitizers, rates. Needs no network.

    python bench/gpu_check.py [--plan rtx|hopper] [--out DIR] [--dry-run] [--only STAGE ...]

rtx: a workstation with an RTX card and TensorRT-RTX. hopper: an H100 or H200 with torch, numpy, timm, msgspec,
pybind11 and nvcc, no TensorRT and nothing that reads scans. Each stage has a time limit, writes
DIR/gpu-PLAN/STAGE.json when it is over (what its steps printed, or why it failed) and the next one starts, whatever
became of it. `--dry-run` runs every stage small on the CPU, to try the plan where there is no GPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 30 * 60
STEPS = [sys.executable, "bench/gpu_steps.py"]
TWO = "cuda and (patchify or average)"
"""The kernels that scoring spends its time in, for the tools that slow them down a hundred times."""


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
    parser.add_argument("--dry-run", action="store_true", help="every stage, small, on the CPU")
    parser.add_argument("--only", nargs="*", help="only these stages")
    given = parser.parse_args()
    plan = given.plan or _plan()
    out = given.out / f"gpu-{plan}{'-dry-run' if given.dry_run else ''}"
    out.mkdir(parents=True, exist_ok=True)
    stages = [stage for stage in PLANS[plan](given.dry_run) if not given.only or stage.name in given.only]
    ends, results = time.monotonic() + LIMIT_S, []
    for stage in stages:
        results.append(_run(stage, out, given.dry_run, ends))
        report = {"plan": plan, "machine": _machine(), "commit": _commit(), "dry_run": given.dry_run}
        (out / "check.json").write_text(json.dumps({**report, "stages": results}, indent=2) + "\n")
    for result in results:
        print(f"{result['stage']:<12} {result['state']:<8} {result['seconds']:7.1f} s  {result['note']}")
    return int(any(result["state"] == "failed" for result in results))


def _common(dry: bool, architectures: str) -> tuple[list[Stage], list[str], list[str], list[str]]:
    """The first stages of both plans: (stages, pytest, device, small)."""
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    device, small = ["--device", "cpu" if dry else "cuda"], ["--small"] if dry else []
    kernels = [*pytest, "tests/kernels/test_kernels.py", "-k", "cpu and patchify" if dry else "cuda"]
    build = [sys.executable, "-c", "import maescan._kernels"] if dry else [*STEPS, "build"]
    names = ("msgspec", "safetensors", "timm", "skimage", "onnxruntime", "cuda.bindings.runtime")
    stages = [
        Stage("packages", 60, [[sys.executable, "-c", f"import {name}"] for name in names]),
        Stage("build", 180, [build if dry else [*build, "--architectures", architectures]]),
        Stage("kernels", 150, [kernels]),
        Stage("path", 150, [[*pytest, "tests/engines/test_place_cuda.py"]]),
    ]
    return stages, pytest, device, small


def _tools(pytest: list[str]) -> list[Stage]:
    """Races, and memory out of bounds, in two kernels."""
    tests = [*pytest, "tests/kernels/test_kernels.py", "-k", TWO, "-x"]
    check = ["compute-sanitizer", "--error-exitcode=1"]
    return [
        Stage("racecheck", 120, [[*check, "--tool=racecheck", *tests]], _program("compute-sanitizer")),
        Stage("memcheck", 120, [[*check, "--tool=memcheck", *tests]], _program("compute-sanitizer")),
    ]


def rtx(dry: bool) -> list[Stage]:
    """An RTX workstation: TensorRT-RTX in every precision that it has."""
    stages, pytest, device, small = _common(dry, "native")
    preset = "tiny" if dry else "brats"
    to = ["--to", "torchscript"] if dry else ["--to", "tensorrt-rtx", "torchscript"]
    quick = ["--seconds", "0.1", "--batches", "1", "8"] if dry else []
    all_of = ["--precision", "fp32"] if dry else ["--precision", "fp16", "bf16", "fp8", "nvfp4"]
    fast = ["--precision", "fp32" if dry else "fp16"]
    step = [*device, "--preset", preset, *to, *quick]
    foreground = [*device, "--preset", f"{preset}-fg", *to, *quick, *fast]
    rates = [[*STEPS, "rate", *step, *fast, "--graphs", graphs, "--kernels", kernels, "--path", path]
             for graphs, kernels, path in (("on", "EAGER", "whole"), ("on", "EAGER", "steps"),
                                           ("off", "EAGER", "whole"), ("on", "LAZY", "whole"))]  # fmt: skip
    drifts = [[*STEPS, "drift", *step, *all_of, "--path", path] for path in ("whole", "steps")]
    return [
        *stages,
        *_tools(pytest),
        Stage("times", 60, [_kernel_times(device, small)]),
        Stage("drift", 240, drifts, _packages("timm")),
        Stage("memory", 120, [[*STEPS, "memory", *step, *fast]], _packages("timm")),
        Stage("rate", 300, [*rates, [*STEPS, "rate", *foreground]], _packages("timm")),
        Stage("folder", 180, [[*STEPS, "folder", *step, *fast, "--scans", "2" if dry else "24"]], _packages("timm")),
        Stage("restart", 120, [[*STEPS, "restart", *step, *fast]], _packages("timm")),
        Stage(
            "errors", 60, [[*pytest, "tests/engines/test_targets.py"], [sys.executable, "-m", "maescan", "doctor"]]
        ),
    ]


def hopper(dry: bool) -> list[Stage]:
    """An H100 or H200 without TensorRT: the kernels, the path on real CUDA, TorchScript in every precision."""
    stages, pytest, device, small = _common(dry, "90")
    preset = "tiny" if dry else "brats"
    quick = ["--seconds", "0.1", "--batches", "1", "8"] if dry else []
    precisions = ["--precision", "fp32"] if dry else ["--precision", "fp32", "fp16", "bf16"]
    fast = ["--precision", "fp32" if dry else "fp16"]
    step, foreground = [*device, "--preset", preset, *quick], [*device, "--preset", f"{preset}-fg", *quick]
    ncu = ["ncu", "--clock-control", "none", "-k", "regex:patchify|average", "-c", "4"]
    profile = [*ncu, *_kernel_times(device, ["--small"])]
    return [
        *stages,
        Stage("rate", 420, [[*STEPS, "rate", *step, *precisions]], _packages("timm")),
        Stage("foreground", 240, [[*STEPS, "rate", *foreground, *precisions]], _packages("timm")),
        Stage("graphs", 120, [[*STEPS, "rate", *step, *fast, "--graphs", "off"]], _packages("timm")),
        Stage("memory", 120, [[*STEPS, "memory", *step, *fast]], _packages("timm")),
        Stage("times", 60, [_kernel_times(device, small)]),
        Stage("profile", 90, [profile], _program("ncu")),
        *_tools(pytest),
    ]


PLANS: dict[str, Callable[[bool], list[Stage]]] = {"rtx": rtx, "hopper": hopper}


def _kernel_times(device: list[str], small: list[str]) -> list[str]:
    return [sys.executable, "bench/kernels.py", *device, *small]


def _packages(*names: str) -> Callable[[], str | None]:
    def lacks() -> str | None:
        missing = [name for name in names if importlib.util.find_spec(name) is None]
        return f"{', '.join(missing)} not installed" if missing else None

    return lacks


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
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=max(1.0, until - time.monotonic()),
            )
            reason, said = f"{done.returncode}" if done.returncode else "", done.stdout
        except subprocess.TimeoutExpired as expired:
            reason, said = "its time is up", expired.stdout or b""
        except OSError as error:
            reason, said = str(error.strerror), b""
        lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
        steps += [json.loads(line) for line in lines if line.startswith('{"step"')]
        tail += lines[-40:]
        if reason:
            notes.append(f"{Path(command[0]).name} {' '.join(command[1:3])}: {reason}")
    return notes, steps, tail


def _plan() -> str:
    return "hopper" if "9.0" in _query("compute_cap") else "rtx"


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
