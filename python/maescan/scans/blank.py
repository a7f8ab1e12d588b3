"""Slices amid others that hold one value alone: what was there was lost when they were sent or written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from maescan.decimals import counted
from maescan.scans.scan import Array, Scan

STEP = 8
"""Of a slice every so many rows and columns tell most that are not blank."""
AMID = 0.02
"""The share of all that differs from air which lies on either side of a slice amid others: more than a stray island
of a brain mask holds."""


def without_blanks(scan: Scan) -> Scan:
    """The scan with its blank slices in meta "blank", of each storage axis their indices, and noted. They are filled
    with its least value, for a slice of the highest there is would hide all others. Those that are known to be
    missing are left alone."""
    known = set(scan.meta.get("missing") or ())
    found = [blank_slices(scan.voxels, axis) for axis in range(3)]
    found[2] = [at for at in found[2] if at not in known]
    if not any(found):
        return scan
    number = counted(sum(map(len, found)), "slice")
    note = f"incomplete: {number} amid others hold{'s' * (number == '1 slice')} one value alone"
    meta = {**scan.meta, "blank": found}
    return replace(scan, voxels=_filled(scan.voxels, found), warnings=(*scan.warnings, note), meta=meta)


def _filled(voxels: Array, blank: list[list[int]]) -> Array:
    least, copy = voxels.min(), voxels
    for axis, places in enumerate(blank):
        for at in places:
            if np.moveaxis(voxels, axis, 0)[at].flat[0] != least:
                copy = copy.copy() if copy is voxels else copy
                np.moveaxis(copy, axis, 0)[at] = least
    return copy


def blank_slices(voxels: Array, axis: int) -> list[int]:
    """Which slices of voxels [X, Y, Z] along an axis hold one value alone and lie amid others that do not."""
    slices = np.moveaxis(voxels, axis, 0)
    some = slices[:, ::STEP, ::STEP].reshape(len(slices), -1)
    flat = some.min(axis=1) == some.max(axis=1)
    shown = np.flatnonzero(~flat)
    if not shown.size or not flat[shown[0] : shown[-1]].any():
        return []
    before = np.cumsum(_tissue(some, flat))
    amid = flat & (before > AMID * before[-1]) & (before < (1 - AMID) * before[-1])
    return [int(at) for at in np.flatnonzero(amid) if slices[at].min() == slices[at].max()]


def _tissue(some: Array, flat: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many voxels of each slice [S, N] differ from the value that most have."""
    values, counts = np.unique(some[~flat], return_counts=True)
    found: NDArray[np.int64] = np.count_nonzero(some != values[counts.argmax()], axis=1)
    found[flat] = 0
    return found
