"""What the engine's thread does of a batch before it goes up to a GPU: slices to 16 bits, or raw voxels as they are.

    python bench/uploads.py SCAN [--preset brats-fg] [--rounds 20]

CPU time of a slice in ms, in turns: the least of each, and the median ratio with its spread. No GPU is needed: what
goes up is put into memory that is as large.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

BATCH = 32


def main() -> None:
    from maescan import kernels
    from maescan.config import preset
    from maescan.method.preprocess import prepare_raw
    from maescan.method.raw import RawSlices, Slices, gathered, on_host
    from maescan.scans import find_scans, read_scan

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=Path)
    parser.add_argument("--preset", default="brats-fg")
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    kernels.set_threads(1)
    prepared, raw = prepare_raw(read_scan(find_scans([given.scan])[0]), preset(given.preset))
    raw, which = raw.packed(), np.linspace(0, len(prepared.images) - 1, BATCH).astype(int)
    narrow = np.zeros((BATCH, *prepared.images.shape[1:]), np.float16)
    place = np.zeros(2 * raw.nbytes, np.uint8)

    def picked(images: Slices) -> Slices:
        return gathered([(images, int(index)) for index in which])

    def rounded() -> None:
        np.copyto(narrow, on_host(picked(prepared.images)), casting="same_kind")

    def as_it_is() -> None:
        at, batch = 0, picked(raw)
        assert isinstance(batch, RawSlices)
        for array in (array for part in batch.parts for array in part.arrays()):
            place[at : at + array.nbytes].view(array.dtype).reshape(array.shape)[...] = array
            at += -(-array.nbytes // 256) * 256

    times = np.array([[spent(rounded), spent(as_it_is)] for _ in range(given.rounds)])
    ratio = times[:, 0] / times[:, 1]
    print(f"slices to 16 bits {times[:, 0].min():.3f} ms, raw {raw.parts[0].voxels.dtype} {times[:, 1].min():.3f} ms")
    print(f"times as fast: {np.median(ratio):.1f} ({ratio.min():.1f} to {ratio.max():.1f})")


def spent(step: Callable[[], None]) -> float:
    """CPU time of a slice, ms."""
    start = time.process_time()
    step()
    return (time.process_time() - start) * 1e3 / BATCH


if __name__ == "__main__":
    main()
