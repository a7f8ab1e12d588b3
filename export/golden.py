"""What a bundle proves itself with: a phantom's scan and slices, or slices of real ones, and the fp32 answers."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.datasets.phantom import make_phantom, write_scan
from maescan.engines.bundle import load_arrays
from maescan.engines.golden import prepare_golden
from maescan.files import write_text

Golden = Literal["phantom", "real"]
"""phantom: nobody's picture; real: the run's slices of scans held back from training."""

SLICES, SHAPE, SEED = 4, (96, 96, 12), 20211
"""Of the phantom: how many of its slices are golden ones, and which scan it is."""


def write_golden(run: Path, made: Path, preset: Preset, golden: Golden) -> None:
    """golden/scan.nii.gz and golden/golden.safetensors in the bundle `made`: images [G, H, W] and slice_ids [G]; the
    answers score [G], difference and reconstruction [G, H, W]; prepared [4, H, W], the slices `rows` of the scan."""
    from safetensors.numpy import save_file

    from maescan.engines.eager import TorchEngine
    from maescan.method.score import score_slices

    scan = made / "golden" / "scan.nii.gz"
    phantom = make_phantom("lung" if preset.modality == "ct" else "brain", 0, SEED, ill=True, shape=SHAPE)
    try:
        write_scan(scan, phantom.voxels, phantom.affine)
        prepared = prepare_golden(scan, preset)
    except ModuleNotFoundError as error:  # a box that only measures engines lacks nibabel; verify will refuse it
        write_text(scan, f"not written: {error}\n")
        prepared, golden = load_arrays(run / "golden.safetensors")["images"], "real"
    rows = fullest(prepared)
    images, ids = prepared[rows], rows.astype(np.int64)
    if golden == "real":
        given = load_arrays(run / "golden.safetensors")
        images, ids = given["images"], given["slice_ids"]
    scored = score_slices(images, ids, TorchEngine(run, preset), preset, maps=True)
    assert scored.difference is not None and scored.reconstruction is not None
    arrays = {
        "images": images,
        "slice_ids": ids,
        "score": scored.score,
        "difference": scored.difference,
        "reconstruction": scored.reconstruction,
        "prepared": prepared[rows],
        "rows": rows,
    }
    contiguous = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    save_file(contiguous, made / "golden" / "golden.safetensors")


def fullest(slices: NDArray[np.float32]) -> NDArray[np.int64]:
    """The numbers of the SLICES slices [S, H, W] with most in them, in order."""
    filled = (slices > slices.min(axis=(1, 2), keepdims=True)).mean(axis=(1, 2))
    return np.sort(np.argsort(-filled, kind="stable")[:SLICES]).astype(np.int64)
