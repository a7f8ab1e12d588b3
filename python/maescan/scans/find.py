"""What lies in files and folders, told by extension and by DICOM headers."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from maescan.errors import ScanError
from maescan.files import OUTPUT
from maescan.scans.budget import touching
from maescan.scans.labels import file_label, tell_apart

EXTENSIONS = {
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".nii.bz2": "nifti",
    ".nii.xz": "nifti",
    ".nii.zst": "nifti",
    ".hdr": "nifti",
    ".hdr.gz": "nifti",
    ".mhd": "metaimage",
    ".mha": "metaimage",
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",
    ".mgh": "mgh",
    ".mgz": "mgh",
    ".mnc": "minc",
    ".zip": "zip",
    ".dcm": "dicom",
    ".ima": "dicom",
}


@dataclass(frozen=True)
class ScanSource:
    """A scan that was found and not yet read.

    name: its label, unique among the scans found together: the path below the folder that was searched; of a DICOM
    series FOLDER/NUMBER-DESCRIPTION (`scans.labels`). path: the file, or the folder of a series.
    files: all that it is read from (for a .zip, the .zip; `members` are the files inside it). identity: of a DICOM
    series, a hash of what makes it one (patient, study, series, frame of reference, which of its volumes).
    fault: why it cannot be read, where that is known already; notes: warnings that its scan begins with.
    """

    name: str
    path: Path
    format: str
    files: tuple[Path, ...]
    series_uid: str = ""
    members: tuple[str, ...] = ()
    identity: str = ""
    fault: ScanError | None = None
    notes: tuple[str, ...] = ()


Faults = Mapping[str, ScanError]
"""What is known to be wrong with paths, which are then not touched."""


def find_scans(paths: str | Path | Iterable[str | Path], *, faults: Faults | None = None) -> list[ScanSource]:
    """The scans in files and folders (searched to any depth), ordered by name. Only DICOM headers are read.

    A damaged file with a scan's extension, a file named here that is no scan, and a folder that cannot be
    searched are listed, and fail when they are read; other files are passed over. Raises ScanError where a path
    does not exist."""
    found: dict[tuple[object, ...], tuple[Path, ScanSource]] = {}
    roots = [Path(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
    for root in sorted(roots, key=lambda root: (len(root.resolve().parts), str(root.resolve()))):
        for source in _find(root, faults or {}):
            files = tuple(os.path.join(os.path.realpath(file.parent), file.name) for file in source.files)
            found.setdefault((files, source.members), (root, source))
    return sorted(tell_apart(list(found.values())), key=lambda source: source.name)


def format_of(path: Path) -> str | None:
    """The format that a file's extension promises."""
    name = path.name.lower()
    return next((kind for end, kind in EXTENSIONS.items() if name.endswith(end) and name != end), None)


def _find(root: Path, faults: Faults) -> Iterator[ScanSource]:
    if not os.path.lexists(root):
        raise ScanError("does not exist", path=root, remedy="check the path")
    if _is_folder(root):
        yield from in_files(walk(root, faults), root, faults)
    else:
        fallback = [ScanSource(file_label(root, root.parent), root, "unknown", (root,))]
        yield from list(in_files([root], root.parent, faults)) or fallback


def walk(root: Path, faults: Faults | None = None) -> Iterator[Path]:
    """The files, and the folders that cannot be searched or entered; links to folders are not followed. What maescan
    writes (folders that hold `.maescan`) is not searched: its maps are no scans."""
    denied: list[OSError] = []
    for folder, folders, files in os.walk(root, onerror=denied.append):
        if OUTPUT in folders:
            folders.clear()
            continue
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        if faults:
            yield from (Path(folder, f) for f in folders if os.path.join(folder, f) in faults)
            folders[:] = [f for f in folders if os.path.join(folder, f) not in faults]
        with touching(Path(folder)):
            if not os.access(folder, os.X_OK):  # its files cannot even be looked at
                yield Path(folder)
                folders.clear()
                continue
        yield from (Path(folder, file) for file in sorted(files) if not file.startswith("."))
    yield from (Path(error.filename) for error in denied)


def in_files(files: Iterable[Path], base: Path, faults: Faults | None = None) -> Iterator[ScanSource]:
    """The scans that `files` are, named by their paths below `base`."""
    images: list[Path] = []
    for file in files:
        with touching(file):
            yield from _in_file(file, base, images, faults or {})
    if images:
        from maescan.scans.dicom.find import find_series

        yield from find_series(images, base)


def _in_file(file: Path, base: Path, images: list[Path], faults: Faults) -> Iterator[ScanSource]:
    """What a file is on its own; what may be part of a series goes to `images`."""
    kind, name = format_of(file), file_label(file, base)
    if fault := faults.get(str(file)):
        yield ScanSource(name, file, kind or "unknown", (file,), fault=fault)
    elif _is_folder(file):
        yield ScanSource(name, file, "folder", (file,))
    elif not _is_regular(file):
        yield from [ScanSource(name, file, kind, (file,))] if kind else []
    elif kind == "dicom" or (kind is None and _holds_dicom(file)):
        images.append(file)
    elif kind == "zip":
        from maescan.scans.archive import find_in_zip

        yield from find_in_zip(file, name)
    elif kind:
        yield ScanSource(name, file, kind, (file, *_data_files(file, kind)))


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:  # in a folder that cannot be entered
        return False


def _is_regular(file: Path) -> bool:
    """Not a pipe, which would be waited on for ever, nor a link to nowhere."""
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return False


def _holds_dicom(file: Path) -> bool:
    from maescan.scans.dicom.file import is_dicom

    try:
        return is_dicom(file)
    except ScanError:
        return False


def _data_files(file: Path, kind: str) -> tuple[Path, ...]:
    """The file that holds the voxels of a header on its own."""
    if kind == "nifti":
        from maescan.scans.nifti import image_of

        return image_of(file)
    if kind not in ("metaimage", "nrrd"):
        return ()
    from maescan.scans.itk import data_file_of

    return data_file_of(file)
