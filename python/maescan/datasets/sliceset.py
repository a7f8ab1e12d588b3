"""`SliceSet`: labelled slices on the model's grid."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maescan.datasets.rows import MappedRows
from maescan.datasets.subjects import subjects_of
from maescan.decimals import counted
from maescan.errors import DataError, escaped


def by_patient(names: Iterable[str], seed: int) -> list[str]:
    """The patients of slices, each once, in an order drawn by `seed`: what splits and folds are cut from."""
    return [str(name) for name in np.random.default_rng(seed).permutation(np.unique(np.array(list(names))))]


def scans_told(scans: ArrayLike, label: ArrayLike, whose: ArrayLike | None = None) -> str:
    """How many scans and patients there are, by the labels of their slices [N], and by `SliceSet.whose`.

    >>> scans_told(["sub-1/a", "sub-1/b", "sub-2/c", "sub-3/c"], [0, 1, 0, -1])
    '4 scans of 3 patients (2 healthy, 1 with lesions, 1 without labels)'
    """
    names, place = np.unique(np.asarray(scans, str), return_inverse=True)
    ill, known = (np.bincount(place[which], minlength=len(names)) > 0
                  for which in (np.asarray(label) == 1, np.asarray(label) >= 0))  # fmt: skip
    kinds = {"healthy": known & ~ill, "with lesions": ill, "without labels": ~known}
    parts = [f"{found.sum()} {kind}" for kind, found in kinds.items() if found.any()]
    patients = len(np.unique(subjects_of(scans, whose)))
    return f"{counted(len(names), 'scan')} of {counted(patients, 'patient')} ({', '.join(parts)})"


class LeftOut(NamedTuple):
    """A scan of a data set that cannot be used."""

    scan: str
    reason: str
    remedy: str


def copies_told(slices: SliceSet) -> str:
    """Names scans whose slice of most tissue is another's to the bit, whatever their names: one of them may be
    trained on and the other judged. "" for none."""
    from maescan.method.prints import every_print

    names, of = np.unique(np.asarray(slices.patient), return_inverse=True)
    order = np.lexsort((-np.asarray(slices.area, np.float64), of))
    first, copies = dict[str, str](), list[str]()
    for name, row in zip(names.tolist(), order[np.searchsorted(of[order], np.arange(len(names)))], strict=True):
        (one,) = every_print(np.asarray(slices.images[[row]]))
        if one and (other := first.setdefault(one, name)) != name:
            copies.append(f"{name} is {other}")
    told = f"; {counted(len(copies), 'copy', 'copies')} by their values under other names"
    return f"{told}: {copies[0]}" if copies else ""


def left_out_told(scans: Sequence[LeftOut]) -> list[str]:
    """Lines that name what cannot be used, the first of many.

    >>> left_out_told([LeftOut("a.nii", "is damaged", "copy it anew")])
    ['1 scan cannot be used and is left out: a.nii: is damaged (copy it anew)']
    """
    named = [escaped(f"{scan}: {reason}" + (f" ({remedy})" if remedy else "")) for scan, reason, remedy in scans]
    if len(named) > _NAMED:
        named[_NAMED:] = [f"and {len(named) - _NAMED} more"]
    told = f"{counted(len(scans), 'scan')} cannot be used and {'is' if len(scans) == 1 else 'are'} left out: "
    return [told + named[0], *named[1:]] if named else []


_NAMED = 10


@dataclass(frozen=True, eq=False)
class SliceSet:
    """images [N, h, w] float32 or float16; patient [N] str, the scan's name; slice [N] index inside its scan;
    label [N]: 0 normal, 1 abnormal, -1 unknown; area [N]: share of the slice that is foreground; mask [N, h, w] bool
    or None; split [N] of train, val, test, "" (none of them), or None; key [N]: of their masks, None: `slice`; whose
    [N]: whom it is of, "" where names alone tell that, or None. taken: what `datasets.load` took, for people;
    left_out: what it could not. Images and masks of a prepared cache are `MappedRows`, read when used."""

    images: NDArray[Any] | MappedRows
    patient: NDArray[np.str_]
    slice: NDArray[np.int64]
    label: NDArray[np.int8]
    area: NDArray[np.float32]
    mask: NDArray[np.bool_] | MappedRows | None = None
    split: NDArray[np.str_] | None = None
    key: NDArray[np.uint64] | None = None
    whose: NDArray[np.str_] | None = None
    taken: str = ""
    left_out: tuple[LeftOut, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def select(self, which: ArrayLike) -> SliceSet:
        """The slices of an index or a boolean array."""
        index = np.asarray(which)
        return SliceSet(*(_chosen(getattr(self, column.name), index) for column in fields(self)))

    @staticmethod
    def join(parts: Sequence[SliceSet]) -> SliceSet:
        """All slices of `parts`, in order; masks only where every part has them."""

        def whole(name: str) -> Any:
            values = [getattr(part, name) for part in parts]
            return None if any(value is None for value in values) else np.concatenate(values)

        names = [field.name for field in fields(SliceSet) if field.name not in ("taken", "left_out")]
        taken = "; ".join(dict.fromkeys(part.taken for part in parts if part.taken))
        left_out = tuple(scan for part in parts for scan in part.left_out)
        return SliceSet(**{name: whole(name) for name in names}, taken=taken, left_out=left_out)

    @property
    def keys(self) -> NDArray[np.uint64]:
        """What keys the slices' masks [N], as when scoring."""
        return np.asarray(self.slice if self.key is None else self.key).astype(np.uint64)

    @property
    def height(self) -> NDArray[np.float64]:
        """How high each lies in its scan [N]: a slice's number; of a patch, which is numbered as its row, mm."""
        if self.key is None:
            return np.asarray(self.slice, np.float64)
        from maescan.method.patches import heights

        return heights(self.key)

    @property
    def subject(self) -> NDArray[np.str_]:
        """Whom each slice is of [N]: `subjects_of`."""
        return subjects_of(self.patient, self.whose)

    def healthy(self) -> SliceSet:
        """Normal slices. Raises DataError where there are none."""
        if not (self.label == 0).any():
            raise DataError("no healthy slices", remedy="give a folder of healthy scans, or labels")
        return self.select(self.label == 0)

    def split_patients(self, fraction: float, seed: int) -> tuple[SliceSet, SliceSet]:
        """(the rest, `fraction` of the patients drawn by `seed`): no patient is in both."""
        subject = self.subject
        names = by_patient(subject.tolist(), seed)
        held = np.isin(subject, names[: round(len(names) * fraction)])
        return self.select(~held), self.select(held)

    def fingerprint(self) -> str:
        """SHA-256 of the images, patients, slice numbers and labels."""
        digest = hashlib.sha256()
        for start in range(0, len(self), 256):
            digest.update(np.ascontiguousarray(self.images[start : start + 256]).tobytes())
        for column in (self.patient, self.slice, self.label):
            digest.update("\n".join(map(str, column.tolist())).encode())
        return digest.hexdigest()


def _chosen(column: Any, index: NDArray[Any]) -> Any:
    if column is None or isinstance(column, str | tuple):
        return column
    return column.select(index) if isinstance(column, MappedRows) else column[index]
