"""How long a user waits: for help, for the first scan's result, and for each scan of a folder of small ones.

    python bench/start.py [--rounds 7] [--scans 200] [--other PYTHON] [--out FILE.json]

Each round runs every command once, in turn; --other: the interpreter of another installation of maescan, which takes
its turns between, for ratios. Seconds on the clock and of CPU, medians and extremes; `score` with the demo's bundle
and phantom scans of 64 x 64 x 32. A busy machine says nothing: the load is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from maescan.cli.demo import unpack
from maescan.datasets.phantom import write_phantom

KEYS = ("s", "first_s", "cpu_s")
SAID = b'"event": "scored"'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--scans", type=int, default=200)
    parser.add_argument("--other", help="an interpreter with another maescan")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    pythons = {"this": sys.executable, **({"other": given.other} if given.other else {})}
    rows: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="maescan-start-") as made:
        at = Path(made)
        bundle = unpack(at / "bundle")
        write_phantom(at / "one", healthy=1, lesions=0, seed=1)
        write_phantom(at / "many", healthy=given.scans, lesions=0, seed=2)
        for number in range(given.rounds + 1):  # the first fills the caches
            for name, python in pythons.items():
                found = {"--help": told(python, "--help"), "score --help": told(python, "score", "--help")}
                for folder in ("one", "many"):
                    paths = [str(at / folder / "healthy"), "--bundle", str(bundle)]
                    out = str(at / f"{name}-{folder}-{number}")
                    found[folder] = told(python, "score", *paths, "-o", out, "--json", "--pictures", "0")
                for what, times in found.items() if number else ():
                    row = rows.setdefault(f"{name} {what}", {key: [] for key in KEYS})
                    for key, value in zip(KEYS, times, strict=True):
                        row[key].append(value)
    table = {name: {key: summary(values) for key, values in row.items()} for name, row in rows.items()}
    for name, columns in table.items():
        shown = (f"{key} {v['median']:.3f} ({v['least']:.3f} to {v['most']:.3f})" for key, v in columns.items())
        print(f"{name:20}", *shown)
    load = os.getloadavg()
    print(f"load {load}")
    report = {"rounds": given.rounds, "scans": given.scans, "load": load, "rows": table}
    if given.out:
        given.out.write_text(json.dumps(report, indent=2) + "\n")


def told(python: str, *arguments: str) -> tuple[float, float, float]:
    """(seconds in all, to the first result or else the first byte, of CPU with children)."""
    before, start = _cpu(), time.perf_counter()
    with subprocess.Popen([python, "-m", "maescan", *arguments], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        lines = ((line, time.perf_counter() - start) for line in running.stdout)
        first = next((at for line, at in lines if SAID in line or arguments[-1] == "--help"), 0.0)
        running.stdout.read()
    if running.returncode not in (0, 5):
        raise SystemExit(f"maescan {' '.join(arguments)}: exit code {running.returncode}")
    return time.perf_counter() - start, first, _cpu() - before


def summary(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
