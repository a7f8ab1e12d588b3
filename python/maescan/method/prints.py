"""What slices are by their values: tells copies of a scan, and scans that training saw, whatever their names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from maescan import kernels
from maescan.method.slices import SliceStore

MINUS_ZERO = 0x8000  # the bits of float16
CHUNK = 8
"""Slices that are rounded at once: what fits into a cache."""


class TrainingPrints(TypedDict):
    """`training_prints` and their salt, as a bundle's provenance has them."""

    salt: str
    scans: list[str]


def slice_prints(images: NDArray[np.generic]) -> list[str]:
    """A hash of each slice [S, h, w] that shows anything, as float16 rounds it, which is how slices are kept."""
    return [one for one in every_print(images) if one]


def every_print(images: NDArray[np.generic]) -> list[str]:
    """As `slice_prints`, and "" for a slice that shows nothing."""
    return [
        hashlib.sha256(image).hexdigest()[:24] if _shows(image.view(np.uint16)) else "" for image in _rounded(images)
    ]


def _rounded(images: NDArray[np.generic]) -> NDArray[np.float16]:
    """As float16, -0 as 0; beyond its range all are alike. The kernel that cuts patches rounds in a fifteenth of
    numpy's time; a slice is one patch."""
    if images.dtype == np.float16:
        return np.ascontiguousarray(images, np.float16)
    made = np.empty(images.shape, np.float16)
    rows, columns = images.shape[1:]
    side = rows if rows == columns else 1
    for first in range(0, len(images), CHUNK):
        some = np.add(images[first : first + CHUNK], 0, dtype=np.float32).reshape(-1, side, side)
        kernels.patchify(some, patch=side, dtype="float16", out=made[first : first + CHUNK].reshape(-1, 1, side**2))
    return made


def _shows(bits: NDArray[np.uint16]) -> bool:
    """Whether float16 values are not all equal, 0 and -0 being one."""
    low, high = int(bits.min()), int(bits.max())
    return low != high and (low != 0 or high != MINUS_ZERO or bool(((bits != 0) & (bits != MINUS_ZERO)).any()))


def scan_print(prints: Iterable[str]) -> str:
    """A hash of a scan from those of its slices, in order."""
    return hashlib.sha256(" ".join(prints).encode()).hexdigest()[:24]


def training_prints(images: SliceStore, patients: NDArray[np.generic], salt: str) -> list[str]:
    """Of each patient [N] of slices [N, h, w] the least of the slices' salted hashes: the salt keeps them from being
    compared with those of another bundle, and one of a patient's slices is enough to know the scan again."""
    names = np.asarray(patients)
    least = []
    for name in np.unique(names):
        prints = slice_prints(np.asarray(images[np.flatnonzero(names == name)]))
        least += [min(salted(prints, salt))] if prints else []
    return sorted(least)


def salted(prints: Iterable[str], salt: str) -> list[str]:
    """Hashes of hashes."""
    return [hashlib.sha256(f"{salt} {one}".encode()).hexdigest()[:24] for one in prints]


def seen(prints: Iterable[str], training: TrainingPrints | None) -> bool:
    """Whether a scan of these slices is among training's; None: not known."""
    return training is not None and not set(training["scans"]).isdisjoint(salted(prints, training["salt"]))
