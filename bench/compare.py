"""What a change did: kernels and engine of this checkout over those of another revision, in turns, as ratios.

    python bench/compare.py REV [--rounds 5] [--callgrind]     or: make bench-compare REV=HEAD~1

REV is checked out and built under build/compare (the package only, in a virtual environment that sees this one's
packages); what differs in the working tree counts as "here". Each round runs both in processes of their own, the
other one first every second round. Above 1: here is faster. `--callgrind` counts the kernels' instructions instead,
which another program's load does not change, and fails where one needs 5 % more.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STEPS = ROOT / "bench" / "steps.py"
ALLOWED, CALLS = 1.05, 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--callgrind", action="store_true")
    arguments = parser.parse_args()
    there = checkout(arguments.revision)
    return instructions(there) if arguments.callgrind else times(there, arguments.rounds)


def checkout(revision: str) -> Path:
    """A Python that imports maescan as of `revision`, built once per commit."""
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run(
        [*git, "rev-parse", "--short", f"{revision}^{{commit}}"], check=True, capture_output=True, text=True
    )
    tree = ROOT / "build" / "compare" / commit.stdout.strip()
    python = tree / ".venv" / "bin" / "python"
    if not (tree / ".built").exists():
        if not tree.exists():
            subprocess.run([*git, "worktree", "add", "--force", "--detach", str(tree), revision], check=True)
        subprocess.run([sys.executable, "-m", "venv", str(tree / ".venv")], check=True)
        packages = next((tree / ".venv" / "lib").glob("python*/site-packages"))
        ours = next(path for path in sys.path if path.endswith("site-packages"))
        (packages / "ours.pth").write_text(ours + "\n")  # packages only: its .pth files, so our maescan, do not count
        install = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
        install += ["--ignore-installed", "--config-settings=build-dir=build/compare", "."]
        subprocess.run([str(python), *install], check=True, cwd=tree)
        (tree / ".built").touch()
    return python


def times(there: Path, rounds: int) -> int:
    """Prints, for every step, this checkout's rate over the other's: median, least and most over the rounds."""
    found: dict[str, list[float]] = {}
    for turn in range(rounds + 1):
        order = [Path(sys.executable), there]
        seconds = {str(python): run([str(python), str(STEPS)]) for python in order[:: 1 if turn % 2 else -1]}
        here, other = seconds[sys.executable], seconds[str(there)]
        for name in here.keys() & other.keys() if turn else ():
            found.setdefault(name, []).append(other[name] / here[name])
    for name, ratios in sorted(found.items()):
        print(f"{name:<32} {statistics.median(ratios):5.2f} x  ({min(ratios):.2f} - {max(ratios):.2f})")
    return 0


def run(command: list[str]) -> dict[str, float]:
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT / "build")
    return dict(json.loads(done.stdout))


def instructions(there: Path) -> int:
    """Prints how many times the other's instructions each kernel needs here; 1 where one needs over 5 % more."""
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: instructions cannot be counted")
        return 0
    worse = False
    kernels = ["make_masks", "patchify_visible", "average_difference", "ssim", "extract_slices"]
    idle = [count(python, kernels[0], 0) for python in (sys.executable, str(there))]
    for kernel in kernels:
        busy = [count(python, kernel, CALLS) for python in (sys.executable, str(there))]
        here, other = ((many - none) // CALLS for many, none in zip(busy, idle, strict=True))
        worse |= here > ALLOWED * other
        print(f"{kernel:<24} {here / other:6.3f} x  {here:,} instructions")
    return int(worse)


def count(python: str, kernel: str, calls: int) -> int:
    """Instructions of a process that calls `kernel` so many times."""
    file = ROOT / "build" / "compare" / f"callgrind.{kernel}.{calls}"
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={file}", python, str(STEPS)]
    command += ["--kernel", kernel, "--calls", str(calls)]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=ROOT / "build")
    found = next(line for line in file.read_text().splitlines() if line.startswith(("summary:", "totals:")))
    return int(found.split()[1])


if __name__ == "__main__":
    sys.exit(main())
