"""A few slices of a set in a file: golden ones that a bundle proves itself with, and those of int8's ranges."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from maescan.datasets.sliceset import SliceSet
from maescan.files import atomic_file


def write_samples(file: Path, slices: SliceSet, count: int) -> None:
    """Writes about `count` slices with much in them, spread over the patients, and their `slice_ids`."""
    from safetensors.numpy import save

    full = np.flatnonzero(slices.area >= np.median(slices.area))
    chosen = full[np.unique(np.linspace(0, len(full) - 1, count).astype(int))]
    images = np.ascontiguousarray(slices.images[chosen], np.float32)
    with atomic_file(file) as temporary:
        temporary.write_bytes(
            save({"images": images, "slice_ids": np.asarray(slices.slice)[chosen].astype(np.int64)})
        )
