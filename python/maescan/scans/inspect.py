"""What each file or series is, how it would be read, and why it would be refused: `maescan inspect`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from maescan.errors import MaescanError, ScanError
from maescan.scans import Scan, ScanSource, axial_view, find_scans, read_scan

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One scan. slices, spacing: [S, H, W] of its axial view, spacing in mm. orientation: of the storage axes.
    dtype: of the stored voxels. values: lowest and highest, rescaled. verdict: 'read', 'read, see notes' or
    'refused'; notes: warnings, or the reason and remedy. Empty where a refused scan does not say."""

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


def inspect(
    paths: Iterable[str | Path], *, volume: int | None = None, accept: Iterable[str] = (), picture: Path | None = None
) -> Iterator[Row]:
    """A `Row` for every scan in files and folders, read one after the other; with `picture`, a PNG of a few axial
    slices of each at the end. Raises ScanError where a path does not exist."""
    from maescan.scans.montage import Montage

    accepted = tuple(accept)
    montage = Montage() if picture else None
    for source in find_scans(paths):
        scan, row = _inspected(source, volume, accepted)
        if montage:
            montage.add(scan)
        yield row
    if montage and picture:
        montage.write(picture)


def show(
    paths: Iterable[str | Path], *, picture: Path | None = None, volume: int | None = None, accept: Iterable[str] = ()
) -> list[Row]:
    """Print the table of `inspect`; its rows. Raises ScanError where there is no scan at all."""
    from rich.console import Console

    paths = list(paths)
    rows = list(inspect(paths, volume=volume, accept=accept, picture=picture))
    if not rows:
        raise ScanError("holds no scan", path=paths[0], remedy="NIfTI, DICOM, MetaImage, NRRD, MGH and MINC are read")
    console = Console()
    console = console if console.is_terminal else Console(width=200)
    console.print(_table(rows))
    return rows


def _inspected(source: ScanSource, volume: int | None, accept: tuple[str, ...]) -> tuple[Scan | None, Row]:
    try:
        scan = read_scan(source, volume=volume, accept=accept)
    except MaescanError as error:
        notes = f"{error.reason} ({error.remedy})" if error.remedy else error.reason
        empty = ("",) * 5
        return None, Row(source.name, source.format, len(source.files), *empty, "refused", " ".join(notes.split()))
    return scan, _row(source, scan)


def _row(source: ScanSource, scan: Scan) -> Row:
    view, axes = axial_view(scan)
    low, high = sorted(float(v) * scan.slope + scan.inter for v in (scan.voxels.min(), scan.voxels.max()))
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


def _table(rows: list[Row]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table("")
    for column in ("scan", "format", "files", "slices", "mm", "type", "axes", "values", "verdict", "notes"):
        table.add_column(column, overflow="fold")
    for number, row in enumerate(rows, 1):
        colour = {"read": "green", "refused": "red"}.get(row.verdict, "yellow")
        cells = (
            row.name,
            row.format,
            str(row.files),
            row.slices,
            row.spacing,
            row.dtype,
            row.orientation,
            row.values,
        )
        table.add_row(str(number), *map(Text, cells), Text(row.verdict, colour), Text(row.notes))
    return table
