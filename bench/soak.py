"""A folder of many scans, one in twenty of them damaged: all others scored, each failure named, memory flat.

python bench/soak.py --bundle BUNDLE --scans 500 --json soak.json
"""

from __future__ import annotations

import argparse
import collections
import gzip
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from maescan import engines
from maescan.datasets.phantom import Look, write_phantom
from maescan.engines.bundle import Bundle
from maescan.scoring.options import ScoreOptions
from maescan.scoring.pipeline import score_folder

DAMAGE = ("truncated", "header", "empty", "text")


def damage(file: Path, kind: str) -> None:
    whole = file.read_bytes()
    if kind == "truncated":
        file.write_bytes(whole[: len(whole) // 2])
    elif kind == "header":
        nifti = bytearray(gzip.decompress(whole))
        nifti[40:48] = b"\xff\x7f" * 4  # dim: 32767 dimensions
        file.write_bytes(gzip.compress(bytes(nifti), 1))
    else:
        file.write_bytes(b"" if kind == "empty" else b"this is no scan\n" * 40)


def memory() -> int:
    """Bytes of this process and of its readers that no other process shares."""
    here = psutil.Process()
    total = 0
    for process in [here, *here.children(recursive=True)]:
        try:
            total += process.memory_full_info().uss
        except psutil.Error:
            continue
    return total


def soak(folder: Path, bundle: Path, scans: int, workers: int) -> dict[str, Any]:
    write_phantom(folder / "scans", healthy=scans, lesions=0, seed=0, look=Look(shape=(60, 72, 40)))
    files = sorted((folder / "scans" / "healthy").iterdir())
    damaged = {file.name: DAMAGE[i % 4] for i, file in enumerate(files[7::20])}
    for file in files:
        if file.name in damaged:
            damage(file, damaged[file.name])
    marks: dict[int, float] = {}
    seen, peak = 0, 0

    def event(name: str, facts: dict[str, Any]) -> None:
        nonlocal seen, peak
        if name not in ("scored", "failed"):
            return
        seen += 1
        if seen % 5 == 0:
            peak = max(peak, memory())
        if seen in (10, 50, 100, 200, 300, 400, scans):
            marks[seen] = round(memory() / 2**20, 1)

    loaded = Bundle.load(bundle)
    engine = engines.load(loaded)
    start = time.perf_counter()
    options = ScoreOptions(pictures=0, workers=workers)
    summary = score_folder([folder / "scans"], loaded, engine, folder / "out", options, event)
    reasons: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for row in summary.failures:
        reasons[damaged[Path(row["scan"]).name]][row["reason"]] += 1
    return {
        "scans": scans,
        "scored": len(summary.scored),
        "failed": len(summary.failures),
        "reasons": {kind: dict(found) for kind, found in reasons.items()},
        "memory_mib_after_scans": marks,
        "peak_mib": round(peak / 2**20, 1),
        "seconds": round(time.perf_counter() - start, 1),
        "slices_per_second": round(summary.slices / summary.seconds, 1),
        "busy": {stage: round(values["busy"], 3) for stage, values in summary.stages.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--scans", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = soak(Path(folder), options.bundle, options.scans, options.workers)
    print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
