"""Training, validation and test parts: drawn by a seed in the paper's shares, or read from its split files."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from maescan.datasets.items import PARTS
from maescan.errors import DataError

TEST, VAL = 0.4, 0.2  # of the patients, and of those left for training (section 4.1): 176 / 45 / 148 of 369
WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
FEWEST = 5  # patients that are split: fewer leave a part empty


def split_patients(names: Iterable[str], seed: int) -> Mapping[str, str] | None:
    """Patient -> part. None for fewer than FEWEST patients: the whole set is one part, to train or to judge on."""
    patients = np.array(sorted(set(names)))
    if len(patients) < FEWEST:
        return None
    drawn = np.random.default_rng(seed).permutation(patients)
    training = int(len(drawn) * (1 - TEST))
    validation = math.ceil(training * VAL)
    sizes = (training - validation, validation, len(drawn) - training)
    return dict(zip(drawn.tolist(), np.repeat(PARTS, sizes).tolist(), strict=True))


def read_split_lines(folder: Path) -> list[tuple[str, str, Path]]:
    """(line without .npy, part, file) of every line of every .txt under `folder`; a path that says train, val or test
    tells the part. Raises DataError for a folder without such files, and for a line that is in two parts."""
    files = [(file, part) for file in sorted(Path(folder).rglob("*.txt")) if (part := _part_of(file, folder))]
    if not files:
        remedy = "give the folder of the authors' lists: .txt files with train, val or test in their paths"
        raise DataError("holds no split files", path=folder, remedy=remedy)
    found: dict[str, tuple[str, str, Path]] = {}
    for file, part in files:
        for line in file.read_text(encoding="utf-8", errors="replace").split():
            name = line.rsplit("/", 1)[-1].removesuffix(".npy")
            if found.setdefault(name, (name, part, file))[1] != part:
                reason = f"{name} is in {part} here and in {found[name][1]} in {found[name][2].name}"
                raise DataError(reason, path=file, remedy="leave it in one part")
    return list(found.values())


def _part_of(file: Path, folder: Path) -> str | None:
    """The last word of its path that is a part's name, the file's own name first."""
    for word in reversed(re.findall(r"[a-z]+", file.relative_to(folder).as_posix().lower())):
        if word in WORDS:
            return WORDS[word]
    return None


def volume_split(folder: Path) -> dict[int, dict[int, str]]:
    """volume -> slice -> part, of lines `volume_V_slice_S`. Raises DataError for another line."""
    parts: dict[int, dict[int, str]] = {}
    for name, part, file in read_split_lines(folder):
        match = re.fullmatch(r"volume_(\d+)_slice_(\d+)", name)
        if match is None:
            raise DataError(f"'{name}' is no volume_V_slice_S.npy", path=file, remedy="give BraTS2020's split files")
        parts.setdefault(int(match[1]), {})[int(match[2])] = part
    return parts


def row_split(folder: Path) -> dict[int, str]:
    """Row of candidates.csv -> part, of lines `ROW.npy`. Raises DataError for another line."""
    parts = {}
    for name, part, file in read_split_lines(folder):
        if not name.isdigit():
            raise DataError(f"'{name}' is no ROW.npy", path=file, remedy="give LUNA16's split files")
        parts[int(name)] = part
    return parts
