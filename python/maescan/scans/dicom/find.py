"""DICOM files to series: what was acquired together, as one volume, is one `ScanSource`."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from maescan.decimals import counted
from maescan.errors import PictureError, ScanError, quoted
from maescan.scans.budget import touching
from maescan.scans.dicom.complete import missing
from maescan.scans.dicom.file import read_header
from maescan.scans.dicom.group import (
    FUNCTIONAL,
    TAGS,
    FileHeader,
    Volume,
    common_folder,
    group,
    image_of,
    patient_of,
    place_of,
)
from maescan.scans.dicom.kinds import NAME_IT, result_of
from maescan.scans.dicom.single import with_first
from maescan.scans.hollow import pointer_at
from maescan.scans.labels import file_label, series_label
from maescan.scans.quiet import quiet
from maescan.scans.source import PassedOver, ScanSource

NAMED = 3
"""How many damaged files a note names."""


def find_series(
    files: Iterable[Path], bases: Mapping[Path, Path], damaged: Mapping[Path, str] | None = None
) -> Iterator[ScanSource | PassedOver]:
    """The series among DICOM files, and what of these is no scan. bases: for each file the folder that was searched,
    below which it is named. A file that cannot be read is a source of its own, and is named by the series beside it,
    as are the `damaged` ones, which are known not to be readable, with why."""
    if not importlib.util.find_spec("pydicom"):  # told when it is read
        files = [*files, *(damaged or ())]
        for folder in sorted({file.parent for file in files}):
            inside = tuple(file for file in files if file.parent == folder)
            base = bases[inside[0]]
            yield ScanSource(file_label(folder, base) if folder != base else base.name, folder, "dicom", inside)
        return
    images: list[FileHeader] = []
    results: set[str] = set()
    spoilt = dict(damaged or {})
    for file in files:
        try:
            with touching(file), quiet():
                found = _looked(file, bases[file], results)
        except ScanError as error:
            spoilt[file] = error.reason
        except Exception:  # damage, for which pydicom has no common type: it is told when the file is read
            spoilt[file] = "has a damaged header"
        else:
            if isinstance(found, FileHeader):
                images.append(found)
            else:
                yield found
    volumes = list(group(images))
    for file in sorted(spoilt):
        yield ScanSource(file_label(file, bases[file]), file, "dicom", (file,), fault=pointer_at(file))
    lacking, absent = _lacking(volumes, spoilt), _absent(volumes, results)
    for number, source in enumerate(_sources(volumes, bases)):
        note = _told(lacking[number], spoilt) if number in lacking else absent.get(number)
        yield replace(source, notes=(note, *source.notes), incomplete=True) if note else source


def _looked(file: Path, base: Path, results: set[str]) -> FileHeader | PassedOver:
    """results: the series that images were made of are added. Raises whatever pydicom does for damage."""
    header = with_first(read_header(file, TAGS))
    if kind := result_of(header):
        results.add(str(header.get("SeriesInstanceUID") or ""))
        return PassedOver(file_label(file, base), file, "result", f"is no scan but a DICOM {kind}")
    if "ImagePositionPatient" not in header and int(header.get("NumberOfFrames") or 0) == 1:
        header.update(place_of(read_header(file, FUNCTIONAL)))  # an enhanced image of one frame, of a series of such
    return image_of(file, header)


def _absent(volumes: list[Volume], results: set[str]) -> dict[int, str]:
    """For each volume what lacks of its series in its folders, by its own numbers; nothing is said of series some of
    whose numbers are no images."""
    found = {number: volume.lacks for number, volume in enumerate(volumes) if volume.lacks}
    series = defaultdict[tuple[str, ...], list[FileHeader]](list)
    for volume in volumes:
        series[volume.images[0].belongs] += volume.images
    known: dict[tuple[tuple[str, ...], frozenset[Path]], str] = {}
    for number, volume in enumerate(volumes):
        first, folders = volume.images[0], frozenset(image.file.parent for image in volume.images)
        if not first.series or first.series in results:
            continue
        key = first.belongs, folders
        if key not in known:
            known[key] = missing([image.instance for image in series[key[0]] if image.file.parent in folders])
        if known[key]:
            found.setdefault(number, known[key])
    return found


class _Lost(NamedTuple):
    """Files beside a volume that cannot be read and seem to be its own: how many, and the first of them."""

    number: int
    first: list[Path]


def _lacking(volumes: list[Volume], spoilt: Iterable[Path]) -> dict[int, _Lost]:
    """For each volume, the files beside it that cannot be read and seem to be its own: named as its files are; all
    of them where no volume of the folder has such names."""
    lost = defaultdict[tuple[Path, str], list[Path]](list)
    for file in sorted(spoilt):
        lost[file.parent, _pattern(file)].append(file)
    if not lost:
        return {}
    own = [{(image.file.parent, _pattern(image.file)) for image in volume.images} for volume in volumes]
    nobodys = defaultdict[Path, list[Path]](list)
    for key in lost.keys() - set().union(*own):
        nobodys[key[0]] += lost[key]
    for files in nobodys.values():
        files.sort()
    found: dict[int, _Lost] = {}
    for number, keys in enumerate(own):
        theirs = [lost[key] for key in keys if key in lost]
        theirs += [nobodys[folder] for folder in {folder for folder, _ in keys} if folder in nobodys]
        if theirs:
            first = sorted(file for files in theirs for file in files[:NAMED])[:NAMED]
            found[number] = _Lost(sum(map(len, theirs)), first)
    return found


def _pattern(file: Path) -> str:
    return re.sub(r"\d+", "0", file.name)


def _told(lost: _Lost, spoilt: Mapping[Path, str]) -> str:
    names = ", ".join(f"{quoted(file.name)} {spoilt[file]}" for file in lost.first)
    more = " ..." if lost.number > NAMED else ""
    return f"incomplete: {counted(lost.number, 'file')} beside it cannot be read: {names}{more}"


def _sources(volumes: list[Volume], bases: Mapping[Path, Path]) -> Iterator[ScanSource]:
    """Sources with FOLDER/NUMBER-DESCRIPTION as label; the second volume of a series has -2 behind it."""
    count: dict[tuple[object, ...], int] = defaultdict(int)
    for volume in volumes:
        folder, first = common_folder(volume.images), volume.images[0]
        files = tuple(image.file for image in volume.images)
        searched = {bases[file] for file in files}
        base = searched.pop() if len(searched) == 1 else folder
        frame = first.frame if all(image.frame == first.frame for image in volume.images) else ""
        belongs = (*first.belongs, frame) if first.series else (str(folder), first.number, first.description)
        count[folder, belongs] += 1
        number = count[folder, belongs]
        name = series_label(folder, base, first.number, first.description, first.series)
        identity = hashlib.sha256(repr((belongs, number)).encode()).hexdigest() if first.series else ""
        path = files[0] if len(files) == 1 else folder
        name = name if number == 1 else f"{name}-{number}"
        source = ScanSource(name, path, "dicom", files, first.series, identity=identity, notes=volume.notes)
        fault = PictureError(volume.picture, path=path, remedy=_remedy(volume)) if volume.picture else None
        yield replace(source, patient=patient_of(first.belongs[0]), fault=fault, localizer=bool(first.localizer))


def _remedy(volume: Volume) -> str | None:
    """What to do about images that are no volume, where one of them can be scored."""
    apart = len(volume.images) > 1 and not all(image.picture for image in volume.images)
    return NAME_IT if apart else None
