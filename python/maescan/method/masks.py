"""Which tokens of a slice the MAE sees (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from maescan import kernels
from maescan.config import MaskConfig
from maescan.errors import ConfigError
from maescan.method.engine import Array, Floats, Ids, Place


def make_masks(
    masks: MaskConfig,
    slice_ids: Array,
    tokens: int,
    *,
    seed: int | None = None,
    passes: int | None = None,
    place: Place | None = None,
) -> tuple[Array, ...]:
    """keep_ids [B*R, K] and restore_ids [B*R, T] for slices [B]; row b * R + r is pass r of slice b.

    `seed` and `passes` default to the configuration's; the two are of `place`, or on the host. A place that wants
    hidden_ids [B*R, T-K] gets them as the third. Raises ConfigError where the masks cannot be made so.
    """
    keep = masks.visible(tokens)
    if not 0 < keep < tokens and (keep != tokens or masks.paste):
        raise ConfigError(
            f"mask ratio {masks.ratio} leaves {keep} of {tokens} tokens visible", remedy="change masks.ratio"
        )
    passes, out = masks.passes if passes is None else passes, None
    if place is not None:
        sizes = {"keep_ids": keep, "restore_ids": tokens} | ({"hidden_ids": tokens - keep} if place.hidden else {})
        ids = [place.buffer(name, (len(slice_ids) * passes, size), "int32") for name, size in sizes.items()]
        out = None if ids[0] is None else tuple(ids)
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


def of_all_tokens(answers: Callable[[Ids], Floats], restore_ids: Ids, keep: int) -> Floats:
    """Predictions [N, T, P*P] of all tokens from answers(hidden_ids [N, T-K]) for the hidden ones alone, on the host;
    the others' are 0."""
    hidden_ids = np.argsort(restore_ids, axis=1)[:, keep:].astype(np.int32)
    predictions = answers(hidden_ids)
    found = np.zeros((*restore_ids.shape, predictions.shape[2]), np.float32)
    np.put_along_axis(found, hidden_ids[:, :, None].astype(np.int64), predictions, axis=1)
    return found
