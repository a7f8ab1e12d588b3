"""The pseudo-abnormal module (paper, section 3.3): k boxes of a reconstruction multiplied by beta."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maescan import kernels
from maescan.config import Preset, PseudoConfig
from maescan.errors import ConfigError
from maescan.method import draws
from maescan.method.tokens import air_level


def draw_boxes(
    config: PseudoConfig,
    slice_ids: ArrayLike,
    image_size: int,
    *,
    seed: int,
    epoch: int = 0,
    tissue: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Boxes [B, Kmax, 4] (top, left, height, width; height 0 is unused) and their factors beta.

    Factors are [B, Kmax], one per box, or [B, H, W] with `beta="pixel"`. Boxes lie wholly inside the slice and
    may overlap. They lie anywhere but in the last row and column, as the authors' draws do; or, with `tissue`
    [B, H, W], around a pixel of it where a slice has any. A draw depends on (seed, slice, epoch) and the slice's
    tissue alone. Raises ConfigError for sizes that do not fit.
    """
    (few, many), (low, high) = config.boxes, config.size
    if high > image_size + 1:
        raise ConfigError(f"boxes {config.boxes} of size {config.size} do not fit a slice of {image_size} pixels")
    most = many - 1
    u = draws.uniforms(seed, slice_ids, epoch, draws.BOXES, 1 + 5 * most)
    count = few + (u[:, :1] * (many - few)).astype(np.int32)
    height, width, down, across, beta = np.moveaxis(u[:, 1:].reshape(-1, most, 5), 2, 0)
    tall, wide = (low + (side * (high - low)).astype(np.int32) for side in (height, width))
    if tissue is None:
        free = (np.maximum(image_size - side, 1) for side in (tall, wide))
        top, left = ((at * room).astype(np.int32) for at, room in zip((down, across), free, strict=True))
    else:
        top, left = _around_tissue(tissue, np.stack([down, across]), tall, wide)
    boxes = np.stack([top, left, np.where(np.arange(most) < count, tall, 0), wide], axis=2).astype(np.int32)
    if config.beta == "pixel":
        beta = draws.uniforms(seed, slice_ids, epoch, draws.PIXELS, image_size**2).reshape(-1, image_size, image_size)
    return boxes, beta.astype(np.float32)


def _around_tissue(
    tissue: NDArray[np.bool_], at: NDArray[np.float64], tall: NDArray[np.int32], wide: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Corners [B, Kmax] of boxes around pixels of tissue [B, H, W], moved inside the slice. at [2, B, Kmax]: two
    draws of U[0, 1) a box; the first chooses the pixel, or both do where the slice has no tissue."""
    size = tissue.shape[-1]
    rows, columns = (at * size).astype(np.int64)
    for i, pixels in enumerate(tissue):
        places = np.flatnonzero(pixels)
        if len(places):
            rows[i], columns[i] = np.divmod(places[(at[0, i] * len(places)).astype(np.int64)], size)
    top, left = (np.clip(c - n // 2, 0, size - n) for c, n in ((rows, tall), (columns, wide)))
    return top.astype(np.int32), left.astype(np.int32)


def pseudo_abnormal(
    reconstructions: NDArray[np.float32],
    preset: Preset,
    slices: NDArray[np.floating],
    slice_ids: ArrayLike,
    *,
    seed: int,
    epoch: int = 0,
) -> NDArray[np.float32]:
    """Altered copies [B, H, W] of the reconstructions [B, H, W] of `slices` [B, H, W], in whose tissue the boxes lie
    where the preset wants that."""
    config, size = preset.pseudo, reconstructions.shape[-1]
    tissue = slices > air_level(preset) if config.where == "tissue" else None
    boxes, factors = draw_boxes(config, slice_ids, size, seed=seed, epoch=epoch, tissue=tissue)
    return kernels.pseudo_abnormal(reconstructions, boxes, factors)
