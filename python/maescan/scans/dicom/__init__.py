"""DICOM series and enhanced images to `Scan`, by pydicom and its decoder plug-ins."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maescan.errors import PictureError, ScanError, quoted
from maescan.scans.budget import check_memory
from maescan.scans.dicom.complete import whole
from maescan.scans.dicom.contrast import by_contrast
from maescan.scans.dicom.image import TOLERANT, VOLUMES, DicomImage, Frame, frame_type, read_frames
from maescan.scans.dicom.kinds import ARE_TIMES, ARE_VIEWS, localizer, shows_views
from maescan.scans.dicom.pixels import decode
from maescan.scans.dicom.stack import Stack, stack
from maescan.scans.dicom.volumes import SAME_PLANE, by_plane, same_places, same_values, split, volumes
from maescan.scans.geometry import check_affine
from maescan.scans.scan import Scan
from maescan.scans.sizes import check_shape, check_volume
from maescan.scans.voxels import check_finite

META = (
    *("Modality", "BodyPartExamined", "SeriesInstanceUID", "SeriesNumber", "StudyInstanceUID"),
    *("SeriesDescription", "Manufacturer", "RescaleType"),
)


def read_dicom(
    files: Sequence[Path], path: Path, name: str, *, volume: int | None = None, accept: frozenset[str] = frozenset()
) -> Scan:
    """The scan in the files of one series (see `find_series`). Raises ScanError."""
    if not importlib.util.find_spec("pydicom"):
        raise ScanError("needs pydicom to be read", path=path, remedy="pip install 'maescan[dicom]'")
    ordered = ordered_frames(files, path, volume=volume, accept=accept)
    notes = _notes(ordered.frames)
    first = ordered.frames[0].image
    voxels = check_shape((first.columns, first.rows, ordered.slices), path)
    check_memory(4 * voxels, f"{voxels} voxels", path)
    warnings = ordered.warnings + notes + check_affine(ordered.affine, path, accept)
    array, slope, intercept, told = decode(ordered, path)
    warnings += told + (("all voxels are equal",) if check_finite(array, path) else ())
    kind = "\\".join(frame_type(ordered.frames[0]))
    meta = _meta(first) | {"instances": _instances(ordered)} | ({"ImageType": kind} if kind else {})
    meta |= {"accepted": list(ordered.accepted), "unscaled": _unscaled(ordered.frames)}
    meta |= {"missing": sorted(set(range(ordered.slices)) - set(ordered.slots))}
    return Scan(array.transpose(2, 1, 0), slope, intercept, ordered.affine, name, path, "dicom", warnings, meta)


def ordered_frames(
    files: Sequence[Path], path: Path, *, volume: int | None = None, accept: frozenset[str] = frozenset()
) -> Stack:
    """The frames that `read_dicom` makes a scan of, with their headers, without their pixels. Raises ScanError."""
    frames = [frame for file in files for frame in read_frames(file)]
    if (tag := localizer(frames[0].image.header)) and "localizer" not in accept:
        raise PictureError(f"is a localizer by its {tag}", path=path, remedy="to score it, --accept localizer")
    frames = _volume(frames, path, volume)
    _check_alike(frames, path)
    return stack(frames, path, accept)


def _volume(frames: list[Frame], path: Path, volume: int | None) -> list[Frame]:
    """The frames of one volume of an enhanced image, or of a concatenation. A series was split when it was found."""
    if len({id(frame.image) for frame in frames}) > 1 and not frames[0].image.header.get("ConcatenationUID"):
        check_volume(1, volume, path)
        return frames
    found = [part for stack in _stacks(frames) for part in _split(stack)]
    if volume is None and (picture := _pictures(found)):
        raise PictureError(picture, path=path, remedy="to score one, --volume")
    return found[check_volume(len(found), volume, path)]


def _pictures(found: Sequence[list[Frame]]) -> str:
    """Why the volumes of an enhanced image are none; "" where they are."""
    if shows_views([part[0].plane for part in found], [len(part) for part in found]):
        return ARE_VIEWS.format(sum(map(len, found)))
    places = np.array([[*part[0].position, *part[0].plane] for part in found if len(part) == 1])
    same = len(places) == len(found) > 1 and np.abs(places - places[0]).max() < SAME_PLANE
    return ARE_TIMES.format(len(found)) if same else ""


def _stacks(frames: list[Frame]) -> list[list[Frame]]:
    """By StackID, unless each frame has its own, and by orientation."""
    stacks = [[frames[i] for i in places] for places in split([frame.stack for frame in frames])]
    stacks = [frames] if len(stacks) == len(frames) else stacks
    planes = [(stack, by_plane([frame.plane for frame in stack])) for stack in stacks]
    return [[stack[i] for i in places] for stack, parts in planes for places in parts]


def _split(stack: list[Frame]) -> list[list[Frame]]:
    """The volumes of one stack."""
    normal = np.cross(stack[0].plane[:3], stack[0].plane[3:])
    places = same_places([float(frame.position @ normal) for frame in stack])
    columns = _columns(stack)
    tags = [same_values(column, tolerant=name in TOLERANT) for name, column in columns.items()]
    found = [[stack[i] for i in volume] for volume in volumes(places, tags)]
    return [[part[i] for i in inside] for part in found for inside, _ in by_contrast(_columns(part), len(part))]


def _columns(frames: list[Frame]) -> dict[str, tuple[str, ...]]:
    """Of each of VOLUMES the frames' values."""
    return dict(zip(VOLUMES, zip(*(frame.tags for frame in frames), strict=True), strict=True))


def _notes(frames: list[Frame]) -> tuple[str, ...]:
    """What is taken for granted of the values, and what of an enhanced image's frames differs; what of a series'
    images does was noted when it was found."""
    notes = list[str]()
    if frames[0].image.frames > 1:
        notes += [note for _, told in by_contrast(_columns(frames), len(frames)) for note in told]
    if _unscaled(frames):
        notes.append("does not say how its values are rescaled: taken as Hounsfield units")
    if any("DERIVED" in frame_type(frame)[:1] for frame in frames):
        notes.append("its images are derived from others, not as they were acquired")
    if any(frame.image.header.get("RescaleSlope") == 0 for frame in frames):
        notes.append("has a RescaleSlope of 0: taken as 1")
    return tuple(notes)


def _unscaled(frames: list[Frame]) -> bool:
    """Whether they are of a CT that does not say what its values are."""
    return frames[0].image.header.get("Modality") == "CT" and not any(frame.rescaled for frame in frames)


def _check_alike(frames: list[Frame], path: Path) -> None:
    first = frames[0]
    for frame in frames:
        same = (frame.image.rows, frame.image.columns) == (first.image.rows, first.image.columns)
        same &= np.allclose(frame.spacing, first.spacing, rtol=1e-3)
        if not same or not np.allclose(frame.plane, first.plane, rtol=0, atol=2 * SAME_PLANE):
            of, remedy = f"{quoted(frame.image.file.name)} differs from the others", "take it out of the series"
            if frame.image is first.image:
                of, remedy = f"frame {frame.index + 1} differs from frame {first.index + 1}", "export it anew"
            raise ScanError(f"{of} in size, spacing or orientation", path=path, remedy=remedy, file=frame.image.file)


def _meta(image: DicomImage) -> dict[str, Any]:
    """Provenance, without anything that names the patient."""
    meta = {tag: str(image.header.get(tag)) for tag in META if image.header.get(tag) not in (None, "")}
    syntax = getattr(image.header, "file_meta", {}).get("TransferSyntaxUID")
    return {**meta, "TransferSyntax": syntax.name if syntax else "unknown"}


def _instances(ordered: Stack) -> list[int | None]:
    """Of each slice what viewers call it: its image's InstanceNumber, of an enhanced image its frame's number; None
    for a slice that is missing or does not say."""
    found: list[int | None] = [None] * ordered.slices
    for slot, frame in zip(ordered.slots, ordered.frames, strict=True):
        header = frame.image.header
        before = whole(header, "ConcatenationFrameOffsetNumber") or 0
        found[slot] = before + frame.index + 1 if frame.image.frames > 1 else whole(header, "InstanceNumber")
    return found
