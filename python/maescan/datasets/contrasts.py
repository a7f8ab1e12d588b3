"""Which MR modality a channel is, told from how tissue and tumour look in it: public readers of BRATS2020's HDF5
edition contradict each other about the order of its channels.

A glioma is brighter than the brain in FLAIR and T2, darker or alike in T1 and T1ce. Of the first two, T2 shows fluid
as the brightest healthy tissue and FLAIR as the darkest; of the others, contrast agent brightens a part of the tumour
in T1ce.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FEWEST = 50  # voxels of a lesion, or of a class, that are looked at
MARGINS = (0.3, 0.3, 0.3)  # of the statistics below between one modality and the next, where they tell


def statistics(images: NDArray[np.float32], classes: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Of slices [S, X, Y, C] and the classes of their lesions [S, X, Y, K], for each channel [3, C]: how much
    brighter lesions are than the rest of the brain, the log ratio of the healthy brain's upper to its lower tail, and
    how much brighter the brightest class is than the rest of the lesion, in deviations of the healthy brain. None
    where there is too little of a lesion, or a channel of one value."""
    brain, lesion = (images != images[:1, :1, :1]).any(axis=-1), classes.any(axis=-1)
    healthy, ill = images[brain & ~lesion], images[lesion]
    if len(ill) < FEWEST or len(healthy) < FEWEST:
        return None
    deviation = healthy.std(axis=0, dtype=np.float64)
    low, middle, high = np.percentile(healthy, [0.5, 50, 99.5], axis=0)
    if (deviation == 0).any() or (low == middle).any() or (high == middle).any():
        return None
    brighter = (np.median(ill, axis=0) - middle) / deviation  # of most of it: a part may enhance
    parts = [classes[..., k] for k in range(classes.shape[-1])]
    parts = [part for part in parts if FEWEST <= part.sum() <= len(ill) - FEWEST]
    if not parts:
        return None
    enhanced = [(images[part].mean(axis=0) - images[lesion & ~part].mean(axis=0)) / deviation for part in parts]
    return np.stack([brighter, np.log((high - middle) / (middle - low)), np.max(enhanced, axis=0)])


def tell_modalities(found: Sequence[NDArray[np.float64]]) -> tuple[str, ...] | None:
    """The modality of each of 4 channels, by the `statistics` of a few volumes; None where they are not clear."""
    if not found or found[0].shape[1] != 4:
        return None
    brighter, tails, enhanced = np.median(found, axis=0)
    order = np.argsort(brighter)
    (t1, t1ce), (flair, t2) = sorted(order[:2], key=lambda c: enhanced[c]), sorted(order[2:], key=lambda c: tails[c])
    gaps = (brighter[order[2]] - brighter[order[1]], tails[t2] - tails[flair], enhanced[t1ce] - enhanced[t1])
    if any(gap < margin for gap, margin in zip(gaps, MARGINS, strict=True)):
        return None
    names = {int(t1): "t1", int(t1ce): "t1ce", int(t2): "t2", int(flair): "flair"}
    return tuple(names[channel] for channel in range(4))
