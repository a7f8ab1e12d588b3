"""labels.csv: what it says of each scan: labels of its slices, whose it is, which part of the set it belongs to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from maescan.datasets.items import PARTS
from maescan.datasets.members import REMEDY, Label, read_labels
from maescan.datasets.splits import WORDS
from maescan.datasets.subjects import named_subject, stem_of, subjects_of
from maescan.errors import DataError, quoted
from maescan.scans import ScanSource

Labels = Mapping[int | None, int]  # slice -> label; None: every slice of the scan


@dataclass
class Said:
    """Of one scan. labels: of its slices; patient, split: "" where the table does not say."""

    labels: dict[int | None, int] = field(default_factory=dict)
    patient: str = ""
    split: str = ""


Table = Mapping[str, Said]
NOTHING = Said()


def read_table(file: Path, scans: Iterable[str]) -> Table | None:
    """What a labels.csv says of each scan it names; None without one. Raises DataError, naming the line, for a scan
    that is not there, for lines that contradict each other, and for another part than train, val and test."""
    if not file.is_file():
        return None
    found: dict[str, Said] = {}
    names = set(scans)
    for row in read_labels(file):
        if row.scan not in names:
            reason = f"line {row.line} names {row.scan}, which is not there"
            raise DataError(reason, path=file, remedy=f"scans are named by their path, as {min(names)}")
        said = found.setdefault(row.scan, Said())
        if said.labels.setdefault(row.slice, row.label) != row.label:
            reason = f"line {row.line} calls {row.scan} {row.label}, a line before it {said.labels[row.slice]}"
            raise DataError(reason, path=file, remedy="leave one of the two lines")
        _add(said, row, file)
    if not found:
        raise DataError("holds no label", path=file, remedy=REMEDY)
    return found


def _add(said: Said, row: Label, file: Path) -> None:
    part = WORDS.get(row.split.strip().lower(), "")
    if row.split.strip() and not part:
        reason = f"line {row.line} puts {row.scan} into the part {quoted(row.split)}"
        raise DataError(reason, path=file, remedy=f"the column split has {', '.join(PARTS)} or nothing")
    for before, now in ((said.patient, row.patient.strip()), (said.split, part)):
        if before and now and before != now:
            reason = f"line {row.line} says {quoted(now)} of {row.scan}, a line before it {quoted(before)}"
            raise DataError(reason, path=file, remedy="a scan is of one patient, and in one part")
    said.patient, said.split = said.patient or row.patient.strip(), said.split or part


def whose_of(sources: Collection[ScanSource], table: Table) -> dict[str, str]:
    """Whom each scan is of, by its name; "" where names alone tell that. As the table says, else as PatientID does:
    a patient is called as the table or a study calls one of the scans, else by the first, for the number is nobody's
    business."""
    said = {source.name: table.get(source.name, NOTHING).patient for source in sources}
    ids = {source.name: source.patient for source in sources if source.patient}
    called: dict[str, str] = {}
    for known in (said.get, named_subject, stem_of):
        for name in sorted(ids):
            if who := known(name):
                called.setdefault(ids[name], who)
    return {name: said[name] or called.get(ids.get(name, ""), "") for name in sorted(said)}


def patients_of(sources: Collection[ScanSource]) -> dict[str, str]:
    """Whom each scan is of, by its name: as PatientID says, else as names do."""
    whose = whose_of(sources, {})
    return dict(zip(whose, subjects_of(list(whose), list(whose.values())).tolist(), strict=True))


def check_parts(whose: Mapping[str, str], table: Table, file: Path) -> None:
    """Raises DataError for a patient in two parts: a model would be judged on whom it was trained on."""
    names = [name for name in whose if name in table and table[name].split]
    first: dict[str, str] = {}
    for name, subject in zip(names, subjects_of(names, [whose[name] for name in names]).tolist(), strict=True):
        other = first.setdefault(subject, name)
        if table[other].split != table[name].split:
            reason = f"{other} is in {table[other].split} and {name} in {table[name].split}, both of one patient"
            remedy = "put all scans of a patient into one part, or name the patients in a column patient"
            raise DataError(reason, path=file, remedy=remedy)
