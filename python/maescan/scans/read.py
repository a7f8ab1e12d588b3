"""What reads any scan that was found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from maescan.errors import MaescanError, ScanError, given_path, lacking
from maescan.options import ReadOptions
from maescan.scans.blank import without_blanks
from maescan.scans.find import ScanSource, find_scans
from maescan.scans.quiet import one_line, quiet
from maescan.scans.scan import Scan
from maescan.scans.streams import open_plain


def read_scan(source: ScanSource | str | Path, *, volume: int | None = None, accept: Iterable[str] = ()) -> Scan:
    """The `Scan` of a source, or of a path that holds exactly one. volume: which one of a 4-D file, from 0.

    accept: names of `FAULTS` that are not to be refused. Raises ScanError, in one line, for whatever cannot be
    read or must not be scored; ConfigError for a name that is not in FAULTS, and a path that is none."""
    return without_blanks(read_as_stored(source, volume=volume, accept=accept))


def read_as_stored(source: ScanSource | str | Path, *, volume: int | None = None, accept: Iterable[str] = ()) -> Scan:
    """`read_scan`, with blank slices left as they are: of a label map they are what they say. Raises as it does."""
    asked = ReadOptions(volume=volume, accept=accept)  # type: ignore[arg-type]
    volume, flags = asked.volume, asked.accept
    if not isinstance(source, ScanSource):
        source = _only(given_path(source))
    if source.fault is not None:
        raise source.fault
    try:
        for file in source.files:
            with open_plain(file):  # before a library waits for a pipe
                pass
        with quiet():
            scan = _read(source, volume, flags)
        return replace(scan, warnings=source.notes + scan.warnings)
    except MaescanError:
        raise
    except Exception as error:  # a library's own complaint about a damaged file
        if known := isinstance(error, ImportError) and lacking(error):
            raise ScanError(known.reason, path=source.path, remedy=known.remedy) from error
        reason = f"cannot be read: {type(error).__name__}: {one_line(error)}"
        raise ScanError(reason, path=source.path, remedy="it is damaged, or too large for this machine") from error


def _read(source: ScanSource, volume: int | None, accept: frozenset[str]) -> Scan:
    if source.members or source.format == "zip":
        from maescan.scans.archive import place_in_zip, unpacked

        with unpacked(source.path, source.members) as (root, damaged):
            for error in damaged.values():
                raise error
            scan = _read(replace(place_in_zip(source, root), members=()), volume, accept)
        return replace(scan, path=source.path)
    if source.format == "nifti":
        from maescan.scans.nifti import read_nifti

        return read_nifti(source.path, source.name, volume=volume, accept=accept)
    if source.format == "dicom":
        from maescan.scans.dicom import read_dicom

        return read_dicom(source.files, source.path, source.name, volume=volume, accept=accept)
    if source.format in ("metaimage", "nrrd"):
        from maescan.scans.itk import read_itk

        return read_itk(source.path, source.name, source.format, volume=volume, accept=accept)
    if source.format == "mgh":
        from maescan.scans.mgh import read_mgh

        return read_mgh(source.path, source.name, volume=volume, accept=accept)
    if source.format == "minc":
        from maescan.scans.minc import read_minc

        return read_minc(source.path, source.name, volume=volume, accept=accept)
    raise ScanError("is no scan", path=source.path, remedy="NIfTI, DICOM, MetaImage, NRRD, MGH and MINC are read")


def _only(path: Path) -> ScanSource:
    sources = find_scans(path)
    if len(sources) == 1:
        return sources[0]
    names = ", ".join(s.name for s in sources[:5]) + (" ..." if len(sources) > 5 else "")
    reason = f"holds {len(sources)} scans: {names}" if sources else "holds no scan that can be read"
    raise ScanError(reason, path=path, remedy="name one of them" if sources else "see `maescan inspect`")
