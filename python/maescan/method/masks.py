"""Which tokens of a slice the MAE sees (paper, section 3.2)."""

from __future__ import annotations

from maescan import kernels
from maescan.config import MaskConfig
from maescan.errors import ConfigError
from maescan.method.engine import Array, Place


def make_masks(
    masks: MaskConfig,
    slice_ids: Array,
    tokens: int,
    *,
    seed: int | None = None,
    passes: int | None = None,
    place: Place | None = None,
) -> tuple[Array, Array]:
    """keep_ids [B*R, K] and restore_ids [B*R, T] for slices [B]; row b * R + r is pass r of slice b.

    `seed` and `passes` default to the configuration's; the two are of `place`, or on the host. Raises ConfigError
    where the masks cannot be made so.
    """
    keep = masks.visible(tokens)
    if not 0 < keep < tokens and (keep != tokens or masks.paste):
        raise ConfigError(
            f"mask ratio {masks.ratio} leaves {keep} of {tokens} tokens visible", remedy="change masks.ratio"
        )
    passes, out = masks.passes if passes is None else passes, None
    if place is not None:
        rows = len(slice_ids) * passes
        ids = (place.buffer("keep_ids", (rows, keep), "int32"), place.buffer("restore_ids", (rows, tokens), "int32"))
        out = None if ids[0] is None else ids
    return kernels.make_masks(
        slice_ids,
        seed=masks.seed if seed is None else seed,
        passes=passes,
        tokens=tokens,
        keep=keep,
        strategy=masks.strategy,
        out=out,
        stream=None if place is None else place.stream,
    )
