"""Seconds of each kernel and of a reader, fastest of ten, as JSON: what bench/compare.py runs twice.

python bench/steps.py [--kernel NAME --calls N]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from maescan import kernels

BATCH, SIDE, PATCH, PASSES = 2, 224, 16, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", help="only this one, `--calls` times, with nothing timed: for callgrind")
    parser.add_argument("--calls", type=int, default=2)
    arguments = parser.parse_args()
    kernels.set_threads(1)
    made = steps()
    if arguments.kernel:
        for _ in range(arguments.calls):
            made[arguments.kernel]()
        return
    with tempfile.TemporaryDirectory(prefix="maescan-steps-") as folder:
        made["read_and_prepare"] = reader(Path(folder))
        print(json.dumps({name: min(seconds(step) for _ in range(10)) for name, step in made.items()}))


def steps() -> dict[str, Callable[[], object]]:
    """Calls without arguments, at the paper's sizes."""
    rng = np.random.default_rng(0)
    images = rng.random((BATCH, SIDE, SIDE), np.float32)
    tokens, pixels = (SIDE // PATCH) ** 2, PATCH * PATCH
    keep, ids = tokens // 4, np.arange(BATCH, dtype=np.uint64)
    predictions = rng.random((BATCH * PASSES, tokens, pixels), np.float32)
    masks: dict[str, Any] = {"seed": 0, "passes": PASSES, "tokens": tokens, "keep": keep, "strategy": "random"}
    keep_ids, restore_ids = kernels.make_masks(ids, **masks)
    volume = rng.integers(0, 1000, (8, 240, 240)).astype(np.int16)
    taps = kernels.resample_taps(240, SIDE)
    values: dict[str, Any] = {"scale": 0.01, "offset": 0.0, "background": 0.0, "low": 0.0, "high": 2.0}
    return {
        "make_masks": lambda: kernels.make_masks(ids, **masks),
        "patchify_visible": lambda: kernels.patchify_visible(images, keep_ids, None, patch=PATCH),
        "average_difference": lambda: kernels.average_difference(
            images, predictions, restore_ids, keep=keep, patch=PATCH, tokens=True, errors=True
        ),
        "ssim": lambda: kernels.ssim(images, images[::-1].copy()),
        "extract_slices": lambda: kernels.extract_slices(volume, taps, taps, **values),
    }


def reader(scans: Path) -> Callable[[], object]:
    """All that a reader does with a skull-stripped scan of 64 slices, gzip NIfTI."""
    from maescan.benchmark.folder import write_scans
    from maescan.config import preset
    from maescan.options import ReadOptions
    from maescan.scans import find_scans
    from maescan.scoring.readers import read_and_prepare

    chosen = preset("brats-fg")
    write_scans(scans, 1, (240, 240, 64), chosen)
    (source,) = find_scans([scans])
    return lambda: read_and_prepare(source, chosen, ReadOptions())


def seconds(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
