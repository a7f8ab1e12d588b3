"""What each file or series is, how it would be read, and why it would be refused: `maescan inspect`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from maescan import progress
from maescan.errors import MaescanError, NoScanError, ScanError, escaped
from maescan.files import printable
from maescan.options import ReadOptions
from maescan.scans.budget import Limits
from maescan.scans.find import Found
from maescan.scans.montage import Montage, check_picture, tiles_of
from maescan.scans.read import read_scan
from maescan.scans.scan import Scan, axial_view
from maescan.scans.search import search_all
from maescan.scans.source import READ, ScanSource
from maescan.scans.worker import Worker

TOLD = ("result", "unread", "output", "link")
"""What is passed over and yet told by name."""


@dataclass(frozen=True)
class Row:
    """One scan, or a file that is none. slices, spacing: [S, H, W] of its axial view, spacing in mm. orientation: of
    the storage axes. dtype: of the stored voxels. values: lowest and highest, rescaled. verdict: 'read', 'read, see
    notes', 'refused' or 'passed over'; notes: warnings, or the reason and remedy. Empty where a scan does not say."""

    name: str
    format: str
    files: int
    slices: str
    spacing: str
    dtype: str
    orientation: str
    values: str
    verdict: str
    notes: str


Judge = Callable[[ScanSource], tuple[str, str]]
"""What would come of a scan that can be read, and what there is to say of it; called in the worker."""
Doubt = Callable[[Sequence[ScanSource]], Sequence[ScanSource]]
"""The scans, some with a fault that the others show."""


def inspect(
    paths: Iterable[str | Path],
    options: ReadOptions | None = None,
    *,
    picture: Path | None = None,
    judge: Judge | None = None,
    doubt: Doubt | None = None,
) -> Iterator[Row]:
    """A `Row` for every scan in files and folders, read one after the other in a worker, and for what was passed over
    though it is a medical image; with `picture`, a PNG of a few axial slices of each at the end, where any can be
    read. Raises ScanError where a path does not exist.

    judge: gives verdict and notes in place of what reading alone says; a ScanError of it refuses the scan. doubt:
    what it gives a fault is refused."""
    options = options or ReadOptions()
    if picture:
        check_picture(picture)
    montage = Montage() if picture else None
    limits = Limits.of(options)
    worker = Worker(Inspector, options, picture is not None, judge, limits=limits)
    try:
        found = search_all(paths, limits)
        for done, source in enumerate(doubt(found.sources) if doubt else found.sources):
            progress.tell(done, len(found.sources))
            row, tiles = _inspected(worker, source)
            if montage:
                montage.add(tiles)
            yield row
        yield from _passed_over(found)
    finally:
        worker.close()
    if montage and montage.drawn and picture:
        montage.write(picture)


def show(
    paths: Iterable[str | Path],
    options: ReadOptions | None = None,
    *,
    picture: Path | None = None,
    judge: Judge | None = None,
    doubt: Doubt | None = None,
    as_json: bool = False,
) -> list[Row]:
    """Print a line for each row of `inspect`, or its JSON; the rows. Raises ScanError where there is no scan."""
    paths = list(paths)
    rows = list(inspect(paths, options, picture=picture, judge=judge, doubt=doubt))
    if all(row.verdict == "passed over" for row in rows) and not any(row.name != "(other files)" for row in rows):
        raise ScanError("holds no scan", path=paths[0], remedy=READ)
    for text in (json.dumps(asdict(row), sort_keys=True) for row in rows) if as_json else lines(rows):
        progress.say(text)
    return rows


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """A line for each row: verdict, name, what it is, notes."""
    width = max((len(row.verdict) for row in rows), default=0)
    for row in rows:
        count = f"{row.files} files" if row.files > 1 else ""
        size = f"{row.slices} at {row.spacing} mm" if row.slices else ""
        facts = [row.format, count, size, row.dtype, row.orientation, row.values]
        said = ", ".join(fact for fact in facts if fact)
        yield escaped(f"{row.verdict:<{width}}  {row.name}" + (f": {said}" if said else "")) + (
            f" - {escaped(row.notes)}" if row.notes else ""
        )


class Inspector:
    """What a worker does for `inspect`. tiled: the slices for a picture as well."""

    def __init__(self, options: ReadOptions, tiled: bool, judge: Judge | None = None):
        self._options, self._tiled, self._judge = options, tiled, judge

    def look(self, source: ScanSource) -> tuple[Row, NDArray[np.uint8] | None]:
        """The scan's row and its slices as tiles. Raises ScanError."""
        scan = read_scan(source, volume=self._options.volume, accept=self._options.accept)
        row = _row(source, scan)
        if self._judge:
            verdict, notes = self._judge(source)
            row = replace(row, verdict=verdict, notes=notes)
        return row, tiles_of(scan) if self._tiled else None


def _passed_over(found: Found) -> Iterator[Row]:
    """Each result and each image of a kind that is not read; other files as one row a reason."""
    empty = ("",) * 5
    others = Counter[str]()
    for item in found.passed_over:
        if item.why in TOLD:
            yield Row(item.name, "", 1, *empty, "passed over", item.reason)
        else:
            others[item.reason] += 1
    for reason, count in sorted(others.items()):
        yield Row("(other files)", "", count, *empty, "passed over", f"each {reason}")


def _inspected(worker: Worker, source: ScanSource) -> tuple[Row, NDArray[np.uint8] | None]:
    try:
        return cast(tuple[Row, NDArray[np.uint8] | None], worker.call("look", source, path=source.path))
    except NoScanError as error:
        said = f"{error.reason} ({error.remedy})" if error.remedy else error.reason
        return Row(source.name, source.format, len(source.files), *("",) * 5, "passed over", said), None
    except MaescanError as error:
        at = Path(error.file or source.path)
        where = f"{printable(at.name)}: " if at != source.path else ""
        notes = f"{where}{error.reason} ({error.remedy})" if error.remedy else f"{where}{error.reason}"
        empty = ("",) * 5
        return Row(source.name, source.format, len(source.files), *empty, "refused", " ".join(notes.split())), None


def _row(source: ScanSource, scan: Scan) -> Row:
    view, axes = axial_view(scan)
    low, high = sorted(float(v) * scan.slope + scan.intercept for v in (scan.voxels.min(), scan.voxels.max()))
    return Row(
        name=scan.name,
        format=scan.format,
        files=len(source.files),
        slices=" x ".join(str(n) for n in view.shape),
        spacing=" x ".join(f"{scan.spacing[axis]:.3g}" for axis in axes.order),
        dtype=scan.voxels.dtype.name,
        orientation=scan.orientation,
        values=f"{low:.4g} to {high:.4g}",
        verdict="read, see notes" if scan.warnings else "read",
        notes="; ".join(scan.warnings),
    )
