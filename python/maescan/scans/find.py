"""What lies in files and folders, told by extension and by DICOM headers."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from maescan.content import may_be_there
from maescan.errors import ScanError, given_paths, lacking
from maescan.scans.budget import touching
from maescan.scans.hollow import hollow, pointer_at, slice_like
from maescan.scans.labels import file_label, tell_apart
from maescan.scans.quiet import one_line
from maescan.scans.source import EXTENSIONS, TEXTS, PassedOver, ScanSource, format_of, unread
from maescan.scans.walk import Visited, is_output, walk

__all__ = ["EXTENSIONS", "Faults", "Found", "ScanSource", "find_scans", "format_of", "in_files", "survey"]

Faults = Mapping[str, ScanError]
"""What is known to be wrong with paths, which are then not touched."""
NO_SCAN = "is no scan"
OURS = "was written by maescan, which is no input"


@dataclass(frozen=True)
class Found:
    """What was given: every file is one of a source's, or was passed over."""

    sources: list[ScanSource]
    passed_over: list[PassedOver]


def find_scans(paths: str | Path | Iterable[str | Path], *, faults: Faults | None = None) -> list[ScanSource]:
    """The scans in files and folders (searched to any depth), ordered by name. Only DICOM headers are read.

    A damaged file with a scan's extension, a file named here that is no scan, and a folder that cannot be
    searched are listed, and fail when they are read; other files are passed over (`survey` lists them). Raises
    ScanError where a path does not exist."""
    return survey(paths, faults=faults).sources


def survey(paths: str | Path | Iterable[str | Path], *, faults: Faults | None = None) -> Found:
    """`find_scans`, and all that was passed over, by name and with the reason."""
    _real.cache_clear()  # links may lead elsewhere since
    found: dict[tuple[object, ...], tuple[Path, ScanSource]] = {}
    passed: dict[str, PassedOver] = {}
    roots = given_paths(paths)
    for root, item in _in_roots(sorted(roots, key=_depth), faults or {}):
        if isinstance(item, PassedOver):
            passed.setdefault(_place(item.path), item)
        else:
            found.setdefault((tuple(_place(file) for file in item.files), item.members), (root, item))
    sources = sorted(tell_apart(list(found.values())), key=lambda source: source.name)
    for source in sources:
        for file in source.files:
            passed.pop(_place(file), None)
    return Found(sources, sorted(passed.values(), key=lambda item: item.name))


def in_files(files: Iterable[Path | PassedOver], base: Path, faults: Faults | None = None) -> Iterator[ScanSource]:
    """The scans that `files` are, named by their paths below `base`."""
    return (item for item in _in_files(files, base, faults or {}) if isinstance(item, ScanSource))


def _depth(root: Path) -> tuple[int, str]:
    place = Path(os.path.realpath(root))
    return len(place.parts), str(place)


def _place(file: Path) -> str:
    """Where a file lies, whichever way it was come to."""
    return os.path.join(_real(str(file.parent)), file.name)


@lru_cache(maxsize=1024)
def _real(folder: str) -> str:
    return os.path.realpath(folder)


def _in_roots(roots: list[Path], faults: Faults) -> Iterator[tuple[Path, ScanSource | PassedOver]]:
    """What is in each root. Slices are looked at together at the end: a series may lie in several roots."""
    visited, together, slices = Visited(), defaultdict[Path, list[Path]](list), _Slices()
    for root in roots:
        if not may_be_there(str(root)):
            raise ScanError("does not exist", path=root, remedy="check the path")
        if stat.S_ISDIR(_mode(root)):
            yield from ((root, item) for item in _apart(walk(root, faults, visited), root, slices, faults))
        elif is_output(root):
            yield root, PassedOver(root.name, root, "output", OURS)
        else:
            together[root.parent].append(root)
    for folder, files in together.items():
        for item in _apart(files, folder, slices, faults):
            named = item.path in files or isinstance(item, ScanSource)  # not what is in a .zip that was named
            yield item.path if item.path != folder else files[0], _named(item) if named else item
    yield from slices.series()


def _named(item: ScanSource | PassedOver) -> ScanSource | PassedOver:
    """What was named by the user and is no scan fails, but for results: many a `*` names these too."""
    if isinstance(item, ScanSource) or item.why in ("result", "output"):
        return item
    fault = ScanError(item.reason, path=item.path, remedy="see docs/formats.md for what is read")
    return ScanSource(item.name, item.path, "unknown", (item.path,), fault=fault)


def _in_files(files: Iterable[Path | PassedOver], base: Path, faults: Faults) -> Iterator[ScanSource | PassedOver]:
    slices = _Slices()
    yield from _apart(files, base, slices, faults)
    yield from (item for _, item in slices.series())


def _apart(
    files: Iterable[Path | PassedOver], base: Path, slices: _Slices, faults: Faults
) -> Iterator[ScanSource | PassedOver]:
    """What files are, each on its own; what may be part of a series goes to `slices`."""
    others: list[PassedOver] = []
    claimed: set[Path] = set()
    for file in files:
        if isinstance(file, PassedOver):
            yield file
            continue
        with touching(file):  # never left in between: who goes on may be another thread
            items = _looked_into(file, base, slices, faults)
        for item in items:
            if isinstance(item, PassedOver):
                others.append(item)
                continue
            claimed.update(item.files)
            yield item
    others += slices.not_lost(base)
    yield from (item for item in others if item.path not in claimed)


class _Slices:
    """Files that may be parts of a series, each once: images, and why others have lost their content."""

    def __init__(self) -> None:
        self.images: list[Path] = []
        self.hollow: dict[Path, str] = {}
        self._bases: dict[Path, Path] = {}
        self._places: set[str] = set()

    def add(self, file: Path, base: Path, lost: str = "") -> None:
        """lost: why it has no content."""
        place = _place(file)
        if place in self._places:  # named, and in a folder that was searched
            return
        self._places.add(place)
        self._bases[file] = base
        if lost:
            self.hollow[file] = lost
        else:
            self.images.append(file)

    def series(self) -> Iterator[tuple[Path, ScanSource | PassedOver]]:
        """The series that they are, each with the folder that was searched."""
        if not self._bases:
            return
        from maescan.scans.dicom.find import find_series

        for item in find_series(self.images, self._bases, self.hollow):
            bases = {self._bases[file] for file in (item.files if isinstance(item, ScanSource) else (item.path,))}
            yield bases.pop() if len(bases) == 1 else item.path, item

    def not_lost(self, base: Path) -> Iterator[PassedOver]:
        """Takes out what has a slice's content missing but neither its name nor its company."""
        folders = {image.parent for image in self.images}
        for file in [f for f in self.hollow if f.parent not in folders and not slice_like(f)]:
            lost = self.hollow.pop(file)
            unseen = lost.startswith("cannot be read")
            reason = f"{lost}: see who may read it" if unseen else f"{NO_SCAN}: it {lost}"
            yield PassedOver(file_label(file, base), file, "unread" if unseen else "other", reason)


def _looked_into(file: Path, base: Path, slices: _Slices, faults: Faults) -> list[ScanSource | PassedOver]:
    """`_in_file`; whoever looks into a file and fails has found a source with a fault: one file stops no search."""
    try:
        return list(_in_file(file, base, slices, faults))
    except Exception as error:
        reason = f"cannot be looked into: {type(error).__name__}: {one_line(error)}"
        remedy: str | None = "copy it again from its source, or take it away"
        if isinstance(error, OSError) and error.strerror:
            reason, remedy = f"cannot be read: {error.strerror}", "check the file"
        if known := isinstance(error, ImportError) and lacking(error):
            reason, remedy = known.reason, known.remedy
        fault = error if isinstance(error, ScanError) else ScanError(reason, path=file, remedy=remedy)
        return [ScanSource(file_label(file, base), file, format_of(file) or "unknown", (file,), fault=fault)]


def _in_file(file: Path, base: Path, slices: _Slices, faults: Faults) -> Iterator[ScanSource | PassedOver]:
    """What a file is on its own; what may be part of a series goes to `slices`."""
    kind, name = format_of(file), file_label(file, base)
    if fault := faults.get(str(file)):
        yield ScanSource(name, file, kind or "unknown", (file,), fault=fault)
    elif stat.S_ISDIR(mode := _mode(file)):
        yield ScanSource(name, file, "folder", (file,))
    elif kind not in (None, "dicom") and (missing := pointer_at(file)):
        yield ScanSource(name, file, kind or "", (file,), fault=missing)
    elif not stat.S_ISREG(mode):  # a pipe, which would be waited on for ever, or a link to nowhere
        yield from _irregular(file, base, kind, slices)
    elif kind == "dicom" or (kind is None and (dicom := _holds_dicom(file))):
        slices.add(file, base)
    elif kind:
        yield from _of_format(file, name, kind)
    elif text := unread(file):
        yield PassedOver(name, file, "unread", text)
    elif lost := _lost(file):
        slices.add(file, base, lost)
    elif dicom is None and not name.lower().endswith(TEXTS):
        yield PassedOver(name, file, "unread", "cannot be read: see who may read it")
    else:
        yield PassedOver(name, file, "other", NO_SCAN)


def _of_format(file: Path, name: str, kind: str) -> Iterator[ScanSource | PassedOver]:
    """A file that is a scan by its extension."""
    if kind == "nifti" and _is_map(file):
        yield PassedOver(name, file, "output", OURS)
        return
    if kind != "zip":
        yield ScanSource(name, file, kind, (file, *_data_files(file, kind)))
        return
    from maescan.scans.archive import find_in_zip

    inside = list(find_in_zip(file, name, _all_of))
    yield from inside
    if not any(isinstance(item, ScanSource) for item in inside):
        yield PassedOver(name, file, "other", "holds no scan")


def _all_of(root: Path, faults: Faults) -> list[ScanSource | PassedOver]:
    found = survey(root, faults=faults)
    return [*found.sources, *found.passed_over]


def _irregular(file: Path, base: Path, kind: str | None, slices: _Slices) -> Iterator[ScanSource | PassedOver]:
    """A link to nowhere, a pipe, a device."""
    name = file_label(file, base)
    if missing := pointer_at(file):
        if kind == "dicom" or not file.suffix or slice_like(file):
            slices.add(file, base, missing.reason)
        else:
            yield PassedOver(name, file, "other", missing.reason)
    elif kind:
        yield ScanSource(name, file, kind, (file,))
    else:
        yield PassedOver(name, file, "other", "is not a file")


def _lost(file: Path) -> str:
    """Why a file without extension is a slice that has lost its content, if it is one."""
    return hollow(file) if not file.suffix or slice_like(file) else ""


def _mode(file: Path) -> int:
    """What kind of file it is; 0 where that is not to be known."""
    try:
        return file.stat().st_mode
    except OSError:
        return 0


def _holds_dicom(file: Path) -> bool | None:
    """None where the system does not let it be read."""
    from maescan.scans.dicom.file import is_dicom

    try:
        return is_dicom(file)
    except ScanError as error:
        return None if isinstance(error.__cause__, OSError) else False


def _is_map(file: Path) -> bool:
    from maescan.scans.nifti import is_map

    return is_map(file)


def _data_files(file: Path, kind: str) -> tuple[Path, ...]:
    """The file that holds the voxels of a header on its own."""
    if kind == "nifti":
        from maescan.scans.nifti import image_of

        return image_of(file)
    if kind not in ("metaimage", "nrrd"):
        return ()
    from maescan.scans.itk import data_file_of

    return data_file_of(file)
