"""Training, validation and test parts: drawn by a seed in the paper's shares, or read from its split files."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from maescan.content import read_text
from maescan.datasets.items import PARTS, Listed
from maescan.datasets.sliceset import by_patient
from maescan.errors import DataError

Value = TypeVar("Value")
TEST, VAL = 0.4, 0.2  # of the patients, and of those left for training (section 4.1): 176 / 45 / 148 of 369
WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
LABELS = {"normal": 0, "healthy": 0, "abnormal": 1}
FEWEST = 5  # patients that are split: fewer leave a part empty


def split_patients(names: Iterable[str], seed: int) -> Mapping[str, str] | None:
    """Patient -> part. None for fewer than FEWEST patients: the whole set is one part, to train or to judge on."""
    drawn = by_patient(names, seed)
    if len(drawn) < FEWEST:
        return None
    training = int(len(drawn) * (1 - TEST))
    validation = math.ceil(training * VAL)
    sizes = (training - validation, validation, len(drawn) - training)
    return dict(zip(drawn, np.repeat(PARTS, sizes).tolist(), strict=True))


def read_split_lines(folder: Path) -> dict[str, Listed]:
    """Every line, without .npy, of every .txt under `folder`; a path that says train, val or test tells the part, one
    that says normal or abnormal the label. Raises DataError for a folder without such files, and for a line that is
    in two parts or has two labels."""
    files = [(file, part) for file in sorted(Path(folder).rglob("*.txt")) if (part := _last(file, folder, WORDS))]
    if not files:
        remedy = "give the folder of the authors' lists: .txt files with train, val or test in their paths"
        raise DataError("holds no split files", path=folder, remedy=remedy)
    found: dict[str, Listed] = {}
    for file, part in files:
        label = _last(file, folder, LABELS)
        for number, line in enumerate(_lines(file), start=1):
            for word in line.split():
                name = word.rsplit("/", 1)[-1].removesuffix(".npy")
                first = found.setdefault(name, Listed(part, label, file, number))
                if (first.part, first.label) != (part, label):
                    here, there = (f"{('normal ', 'abnormal ', '')[-1 if v is None else v]}{p}"
                                   for p, v in ((part, label), first[:2]))  # fmt: skip
                    reason = f"{name} is in {here} here and in {there} in {first.file.name}"
                    raise DataError(reason, path=file, remedy="leave it in one part")
    return found


def _lines(file: Path) -> list[str]:
    try:
        return read_text(file, "replace").splitlines()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path=file, remedy="check the split file") from error


def _last(file: Path, folder: Path, words: Mapping[str, Value]) -> Value | None:
    """What the last of `words` in its path means, the file's own name first."""
    for word in reversed(re.findall(r"[a-z]+", file.relative_to(folder).as_posix().lower())):
        if word in words:
            return words[word]
    return None


def _own(folder: Path, names: tuple[str, ...]) -> Path:
    """The folder of one data set's lists, where `folder` holds those of several."""
    inside = sorted(path for path in Path(folder).rglob("*") if path.is_dir() and path.name.lower() in names)
    return inside[0] if inside else Path(folder)


def volume_split(folder: Path) -> dict[int, dict[int, Listed]]:
    """volume -> slice -> what is said of it, of lines `volume_V_slice_S`; `folder` may hold a folder brats of them.
    Raises DataError for another line."""
    parts: dict[int, dict[int, Listed]] = {}
    for name, listed in read_split_lines(_own(folder, ("brats", "brats2020"))).items():
        match = re.fullmatch(r"volume_(\d+)_slice_(\d+)", name)
        if match is None:
            reason = f"'{name}' is no volume_V_slice_S.npy"
            raise DataError(reason, path=listed.file, remedy="give BraTS2020's split files")
        parts.setdefault(int(match[1]), {})[int(match[2])] = listed
    return parts


def row_split(folder: Path) -> dict[int, Listed]:
    """Row of candidates.csv -> what is said of it, of lines `ROW.npy`; `folder` may hold a folder luna16 of them.
    Raises DataError for another line."""
    parts = {}
    for name, listed in read_split_lines(_own(folder, ("luna16", "luna"))).items():
        if not name.isdigit():
            raise DataError(f"'{name}' is no ROW.npy", path=listed.file, remedy="give LUNA16's split files")
        parts[int(name)] = listed
    return parts
