"""The objects of a scored scan, made in a worker: it reads the source's headers, and its pixels for pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import TYPE_CHECKING

from maescan.errors import ScanError
from maescan.results.dicom import OBJECTS
from maescan.results.dicom.finding import Finding, Maker
from maescan.scans.source import ScanSource

if TYPE_CHECKING:
    from maescan.results.dicom.source import Series

NOT_DICOM = "is not DICOM: DICOM results are made of DICOM series alone"


@dataclass(frozen=True)
class Request:
    """What to make: kinds; how the scan was read; content: hash of its files then; limit: bytes of a map."""

    kinds: tuple[str, ...]
    volume: int | None
    accept: frozenset[str]
    content: str
    limit: int


@dataclass
class Made:
    """files: bytes of each object by its name in `OBJECTS`; refused: why there is none, by kind; report: UIDs of
    series and instance of the SR; maker: for this scan."""

    files: dict[str, bytes] = field(default_factory=dict)
    refused: dict[str, ScanError] = field(default_factory=dict)
    report: tuple[str, str] | None = None
    maker: Maker | None = None


class DicomMaker:
    """What a worker does for `scoring.dicom`."""

    def make(self, source: ScanSource, finding: Finding, maker: Maker, request: Request) -> Made:
        """The objects of a scored scan. What is wrong with the series refuses all of them."""
        from maescan.scans.streams import Identity, content_hash, unchanged

        if source.format != "dicom":
            return _none(request, ScanError(NOT_DICOM, path=source.path, remedy="score the DICOM series itself"))
        known: dict[str, Identity] = {}
        try:
            with unchanged(known):
                if content_hash(source.files) != request.content:
                    remedy = "score it again"
                    raise ScanError("has changed since it was scored", path=source.path, remedy=remedy)
                return (
                    _of_zip(source, finding, maker, request)
                    if source.members
                    else _of(source, finding, maker, request)
                )
        except ScanError as error:
            return _none(request, error)


def _none(request: Request, error: ScanError) -> Made:
    return Made(refused=dict.fromkeys(request.kinds, error))


def _of_zip(source: ScanSource, finding: Finding, maker: Maker, request: Request) -> Made:
    from maescan.scans.archive import place_in_zip, unpacked

    with unpacked(source.path, source.members) as (root, _):
        return _of(replace(place_in_zip(source, root), members=()), finding, maker, request)


def _of(source: ScanSource, finding: Finding, maker: Maker, request: Request) -> Made:
    from maescan.results.dicom.finish import uids_of
    from maescan.results.dicom.pm import parametric_map
    from maescan.results.dicom.seg import segmentation
    from maescan.results.dicom.source import read_series
    from maescan.results.dicom.sr import report
    from maescan.scans.quiet import quiet
    from maescan.scans.streams import content_hash

    with quiet():
        series = read_series(source.files, source.path, volume=request.volume, accept=request.accept)
        maker = maker.settled(" ".join(sorted(content_hash([file]) for file in source.files)))
        ways: dict[str, Callable[[], dict[str, bytes]]] = {
            "sc": lambda: _pictures(source, series, finding, maker, request),
            "sr": lambda: {"sr": report(series, finding, maker)},
            "seg": lambda: {"seg": segmentation(series, finding, maker)},
            "pm": lambda: {"pm": parametric_map(series, finding, maker, request.limit)},
        }
        made = Made(maker=maker)
        for kind in (kind for kind in ways if kind in request.kinds):
            _add(made, kind, ways[kind])
        if "ko" in request.kinds:
            _add(made, "ko", lambda: {"ko": _selection(series, finding, maker, made)})
    if "sr" in made.files:
        made.report = uids_of(str(series.first.SeriesInstanceUID), maker, "sr")
    return made


def _add(made: Made, kind: str, way: Callable[[], dict[str, bytes]]) -> None:
    """One kind that cannot be made costs that kind."""
    try:
        made.files.update(way())
    except ScanError as error:
        made.refused[kind] = error
    except Exception as error:  # highdicom refuses what breaks the standard, in many types
        from maescan.scans.quiet import one_line

        reason = f"no {kind} can be made of its headers: {one_line(error)}"
        made.refused[kind] = ScanError(reason, remedy="the scores stand; see what `dciodvfy` says of an image")


def _pictures(
    source: ScanSource, series: Series, finding: Finding, maker: Maker, request: Request
) -> dict[str, bytes]:
    from maescan.results.dicom.sc import pictures
    from maescan.scans.read import read_scan

    scan = read_scan(source, volume=request.volume, accept=request.accept)
    return dict(zip(OBJECTS["sc"], pictures(series, finding, maker, scan), strict=False))


def _selection(series: Series, finding: Finding, maker: Maker, made: Made) -> bytes:
    from pydicom import dcmread

    from maescan.results.dicom.ko import key_objects

    pictures = [dcmread(BytesIO(made.files[name])) for name in OBJECTS["sc"] if name in made.files]
    return key_objects(series, finding, maker, pictures)
