"""One function that reads any scan that was found."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from maescan.errors import ConfigError, MaescanError, ScanError
from maescan.options import FAULTS
from maescan.scans.find import ScanSource, find_scans
from maescan.scans.quiet import quiet, words
from maescan.scans.scan import Scan


def read_scan(source: ScanSource | str | Path, *, volume: int | None = None, accept: Iterable[str] = ()) -> Scan:
    """The `Scan` of a source, or of a path that holds exactly one. volume: which one of a 4-D file, from 0.

    accept: names of `FAULTS` that are not to be refused. Raises ScanError, in one line, for whatever cannot be
    read or must not be scored; ConfigError for a name that is not in FAULTS."""
    flags = frozenset(accept)
    if unknown := ", ".join(sorted(flags - FAULTS)):
        raise ConfigError(f"cannot accept '{unknown}'", remedy=f"use {', '.join(sorted(FAULTS))}")
    if not isinstance(source, ScanSource):
        source = _only(Path(source))
    try:
        for file in source.files:
            _check_regular(file)
        with quiet():
            return _read(source, volume, flags)
    except MaescanError:
        raise
    except Exception as error:  # a library's own complaint about a damaged file
        reason = f"cannot be read: {type(error).__name__}: {words(error)}"
        raise ScanError(reason, path=source.path, remedy="it is damaged, or too large for this machine") from error


def _read(source: ScanSource, volume: int | None, accept: frozenset[str]) -> Scan:
    if source.members or source.format == "zip":
        from maescan.scans.archive import place_in_zip, unpacked

        with unpacked(source.path, source.members) as root:
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


def _check_regular(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ScanError(f"cannot be read: {error.strerror}", path=path, remedy="check the path") from error
    if stat.S_ISDIR(mode):
        raise ScanError("is a folder that cannot be searched", path=path, remedy="check its permissions")
    if not stat.S_ISREG(mode):
        raise ScanError("is not a file", path=path, remedy="name a scan, or a folder of scans")


def _only(path: Path) -> ScanSource:
    sources = find_scans(path)
    if len(sources) == 1:
        return sources[0]
    names = ", ".join(s.name for s in sources[:5]) + (" ..." if len(sources) > 5 else "")
    reason = f"holds {len(sources)} scans: {names}" if sources else "holds no scan that can be read"
    raise ScanError(reason, path=path, remedy="name one of them" if sources else "see `maescan inspect`")
