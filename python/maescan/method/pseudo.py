"""The pseudo-abnormal module (paper, section 3.3): k boxes of a reconstruction multiplied by beta."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maescan import kernels
from maescan.config import PseudoConfig
from maescan.errors import ConfigError
from maescan.method import draws


def draw_boxes(
    config: PseudoConfig, slice_ids: ArrayLike, image_size: int, *, seed: int, epoch: int = 0
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Boxes [B, Kmax, 4] (top, left, height, width; height 0 is unused) and their factors beta.

    Factors are [B, Kmax], one a box, or [B, H, W] with `beta="pixel"`. Boxes lie wholly inside the slice and
    may overlap. A draw depends on (seed, slice, epoch) alone. Raises ConfigError for sizes that do not fit.
    """
    (few, many), (low, high) = config.boxes, config.size
    if not (1 <= few < many and 1 <= low < high <= image_size + 1):
        raise ConfigError(f"boxes {config.boxes} of size {config.size} do not fit a slice of {image_size} pixels")
    most = many - 1
    u = draws.uniforms(seed, slice_ids, epoch, draws.BOXES, 1 + 5 * most)
    count = few + (u[:, :1] * (many - few)).astype(np.int32)
    height, width, top, left, beta = np.moveaxis(u[:, 1:].reshape(-1, most, 5), 2, 0)
    tall, wide = (low + (side * (high - low)).astype(np.int32) for side in (height, width))
    top, left = (top * (image_size - tall + 1)).astype(np.int32), (left * (image_size - wide + 1)).astype(np.int32)
    boxes = np.stack([top, left, np.where(np.arange(most) < count, tall, 0), wide], axis=2).astype(np.int32)
    if config.beta == "pixel":
        beta = draws.uniforms(seed, slice_ids, epoch, draws.PIXELS, image_size**2).reshape(-1, image_size, image_size)
    return boxes, beta.astype(np.float32)


def pseudo_abnormal(
    reconstructions: NDArray[np.float32], config: PseudoConfig, slice_ids: ArrayLike, *, seed: int, epoch: int = 0
) -> NDArray[np.float32]:
    """Altered copies [B, H, W] of reconstructions [B, H, W]."""
    boxes, factors = draw_boxes(config, slice_ids, reconstructions.shape[-1], seed=seed, epoch=epoch)
    return kernels.pseudo_abnormal(reconstructions, boxes, factors)
