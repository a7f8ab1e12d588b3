"""Which tokens of a slice the MAE sees (paper, section 3.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maescan import kernels
from maescan.config import MaskConfig
from maescan.errors import ConfigError


def make_masks(
    masks: MaskConfig, slice_ids: ArrayLike, tokens: int, *, seed: int | None = None, passes: int | None = None
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """keep_ids [B*R, K] and restore_ids [B*R, T] for slices [B]; row b * R + r is pass r of slice b.

    `seed` and `passes` default to the configuration's. Raises ConfigError where the masks cannot be made so.
    """
    keep = masks.visible(tokens)
    if not 0 < keep < tokens and (keep != tokens or masks.paste):
        raise ConfigError(
            f"mask ratio {masks.ratio} leaves {keep} of {tokens} tokens visible", remedy="change masks.ratio"
        )
    made: Any = kernels.make_masks(
        np.asarray(slice_ids).astype(np.uint64),
        seed=masks.seed if seed is None else seed,
        passes=masks.passes if passes is None else passes,
        tokens=tokens,
        keep=keep,
        strategy=masks.strategy,
    )
    return made
