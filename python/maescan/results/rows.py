"""One scan's result, as every table, picture and report shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, NotRequired, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from maescan.errors import MaescanError, escaped
from maescan.method import aggregate
from maescan.method.gate import Fit

NO_DICOM = "dicom"
"""Stage of a failure: the scan is scored, and has no DICOM results of some kind."""


AGAIN = "failed when it was looked at again: its scores are of before"
"""Said of a scan in failures.csv whose scores stay."""


class DicomRecord(TypedDict):
    """What came of a scan's DICOM results. key: of all that decides them but the scan, uid: with it; verdict: of what
    decides what they say, whichever maescan wrote them; content: hash of its files; refused: kind, reason, remedy and
    file of what could not be made; limit: bytes of a map then; report, supersedes: UIDs of series and instance of the
    SR, and of the one that it takes the place of; written: SHA-256 of each object's file."""

    key: str
    uid: str
    content: str
    refused: list[list[str]]
    limit: int
    report: list[str] | None
    supersedes: list[str] | None
    verdict: NotRequired[str]
    written: NotRequired[dict[str, str]]


class ScanRow(NamedTuple):
    """A scored scan. scores, areas [S]: of its slices, or CT patches; places: of patches, RAS+ mm [S][3];
    levels: the axial slice of each [S].

    fit: whether it is of the kind that the bundle judges, `method.gate.Fit`, and why it is not; print: of its values
    (`method.prints`); trained: whether the bundle was trained with it; dicom: of its DICOM results; figures: what its
    values and voxels are like (`method.intensity.scan_figures`); geometry: `Geometry.to_json`; heat: of a healthy
    scan that a bundle is calibrated with, `method.healthy.scan_heat`; incomplete: its warnings said so before
    names were taken out of them; order: in which scans arrived; failed: it could not be read or scored again;
    patient: a hash of its PatientID, "" where that says nothing."""

    label: str
    scores: NDArray[np.float32]
    areas: NDArray[np.float32]
    warnings: Sequence[str] = ()
    places: Sequence[Sequence[float]] = ()
    fit: str = Fit.ok
    why: str = ""
    print: str = ""
    trained: bool = False
    dicom: DicomRecord | None = None
    levels: Sequence[int] = ()
    figures: Mapping[str, float] = {}
    geometry: Mapping[str, object] | None = None
    heat: Mapping[str, str] | None = None
    incomplete: bool = False
    order: int = 0
    failed: bool = False
    patient: str = ""

    @property
    def positions(self) -> NDArray[np.float64] | None:
        """Where slices [S] lie between the lowest and the highest with foreground; None of CT patches."""
        return None if self.levels or self.places else aggregate.positions(self.areas)

    @property
    def missing(self) -> Sequence[int]:
        """Slices that no image was there of: they were not scored, and have the least score there is."""
        found = (self.geometry or {}).get("missing", ())
        return () if self.levels or self.places else cast(Sequence[int], found)

    @property
    def seen(self) -> NDArray[np.float32]:
        """Scores of the slices, or CT patches, that were looked at."""
        return np.delete(self.scores, list(self.missing))

    @property
    def slices(self) -> int:
        """How many slices were looked at."""
        return len(set(self.levels)) if self.levels else len(self.seen)

    @property
    def highest_slice(self) -> int:
        """The axial slice that scores highest, or holds the patch that does."""
        highest = int(np.argmax(self.scores))
        return int(self.levels[highest]) if self.levels else highest

    @property
    def state(self) -> str:
        """See `state_of`; a row of an older ledger has its warnings alone."""
        return "incomplete" if self.incomplete else state_of(self.warnings)

    @property
    def notes(self) -> list[str]:
        """All that a reader of the score should know."""
        said = ["training has seen this scan"] if self.trained else []
        again = [AGAIN] if self.failed else []
        return [*again, *([self.why] if self.why else []), *said, *self.warnings]


def state_of(notes: Sequence[str]) -> str:
    """ "incomplete" where a scan's warnings say that something of it is missing, else "complete"."""
    return "incomplete" if any(note.startswith("incomplete") for note in notes) else "complete"


class Failure(NamedTuple):
    """A scan that could not be scored. stage: read, score or write, or `NO_DICOM`; file: the one at fault."""

    scan: str
    stage: str
    reason: str
    remedy: str
    file: str

    @classmethod
    def of(cls, label: str, stage: str, error: MaescanError) -> Failure:
        """From the error that it raised."""
        file = "" if error.path is None else escaped(str(error.path))
        return cls(label, stage, escaped(error.reason), escaped(error.remedy or ""), file)
