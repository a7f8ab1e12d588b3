"""What only a GPU can show, in one command: build, tests, sanitizer, benchmarks. Needs no network.

    python bench/gpu_check.py [--out DIR] [--dry-run] [--only STAGE ...]

Each stage has a time limit, so that the whole ends within nine minutes; a stage that lacks something is skipped by
name. `--dry-run` runs every stage small on the CPU, to try the logic where there is no GPU.
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


@dataclass(frozen=True)
class Stage:
    """One step: its time limit in seconds, its command, and what it needs (a reason to skip, or None)."""

    name: str
    limit_s: int
    command: list[str]
    lacks: Callable[[], str | None] = lambda: None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results", help="folder for the JSON")
    parser.add_argument("--dry-run", action="store_true", help="every stage, small, on the CPU")
    parser.add_argument("--only", nargs="*", help="only these stages")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    stages = [s for s in _stages(arguments.out, arguments.dry_run) if not arguments.only or s.name in arguments.only]
    results = [_run(stage, arguments.out, arguments.dry_run) for stage in stages]
    report = {"machine": _machine(), "commit": _commit(), "dry_run": arguments.dry_run, "stages": results}
    name = "gpu-check-dry-run.json" if arguments.dry_run else "gpu-check.json"
    (arguments.out / name).write_text(json.dumps(report, indent=2) + "\n")
    for result in results:
        print(f"{result['stage']:<12} {result['state']:<8} {result['seconds']:7.1f} s  {result['note']}")
    return int(any(result["state"] == "failed" for result in results))


def _stages(out: Path, dry: bool) -> list[Stage]:
    python, device = sys.executable, "cpu" if dry else "cuda"
    pytest = [python, "-m", "pytest", "-q", "-x" if dry else "--maxfail=20"]
    kernels = ["tests/kernels/test_kernels.py"]
    size = ["--small"] if dry else []
    bench = [
        python,
        "-m",
        "maescan.cli",
        "bench",
        "--random-weights",
        "--quick",
        "--preset",
        "tiny" if dry else "brats",
    ]
    build = [python, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "--quiet", "-e", "."]
    return [
        Stage("build", 120, [python, "-c", "import maescan._kernels"] if dry else build),
        Stage("tests", 170, [*pytest, *(kernels if dry else ["tests"])]),
        Stage(
            "sanitizer", 50, ["compute-sanitizer", "--error-exitcode=1", *pytest, *kernels, "-k", "cuda"], _sanitizer
        ),
        Stage(
            "kernels",
            50,
            [python, "bench/kernels.py", "--device", device, "--out", str(out), *size],
            _script("kernels"),
        ),
        Stage(
            "engines",
            100,
            [*bench, "--device", device, "--out", str(out / f"bench-{device}")],
            _torch,
        ),
        Stage("training", 50, [python, "bench/training.py", "--device", device, "--out", str(out), *size], _torch),
    ]


def _sanitizer() -> str | None:
    return None if shutil.which("compute-sanitizer") else "compute-sanitizer is not installed"


def _torch() -> str | None:
    return None if importlib.util.find_spec("timm") else "torch and timm are not installed"


def _script(name: str) -> Callable[[], str | None]:
    return lambda: None if (ROOT / "bench" / f"{name}.py").is_file() else f"bench/{name}.py is missing"


def _run(stage: Stage, out: Path, dry: bool) -> dict[str, object]:
    reason = stage.lacks()
    if reason:
        return {"stage": stage.name, "state": "skipped", "seconds": 0.0, "note": reason}
    environment = dict(os.environ) if dry else {**os.environ, "FAIL_WITHOUT_CUDA": "1", "MAESCAN_CUDA": "ON"}
    limit = stage.limit_s * (3 if dry else 1)  # a CPU, and not an idle one
    log, start = out / f".{stage.name}.log", time.perf_counter()
    with open(log, "w") as stream:
        try:
            code = subprocess.run(
                stage.command, cwd=ROOT, env=environment, stdout=stream, stderr=stream, timeout=limit
            ).returncode
            state, note = ("passed", "") if code == 0 else ("failed", f"exit {code}")
        except subprocess.TimeoutExpired:
            state, note = "failed", f"took over {limit} s"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    print(f"--- {stage.name}", *lines[-12:], sep="\n")
    log.unlink()
    return {"stage": stage.name, "state": state, "seconds": time.perf_counter() - start, "note": note}


def _machine() -> dict[str, object]:
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    gpu = subprocess.run(query, capture_output=True, text=True).stdout.strip() if shutil.which(query[0]) else None
    return {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count(), "gpu": gpu}


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
