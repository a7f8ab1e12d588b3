"""Which rows of LUNA16's table of candidates belong to which part (section 4.1)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maescan.datasets.items import PARTS
from maescan.datasets.splits import row_split
from maescan.errors import DataError
from maescan.method.candidates import Candidates

NORMAL = {"train": 50_000, "val": 3_000, "test": 10_000}  # of 549,714 candidates that are no nodule
ABNORMAL = {"val": 351, "test": 1_000}  # all nodules of candidates.csv


def draw(label: NDArray[np.int8], there: NDArray[np.bool_], seed: int) -> dict[int, str]:
    """Row -> part, of rows that are `there`; the rest of the normal ones is left out."""
    rng = np.random.default_rng(seed)
    normal, abnormal = (rng.permutation(np.flatnonzero(there & (label == value))) for value in (0, 1))
    wanted = sum(NORMAL.values())
    available = min(len(normal), wanted)
    val, test = (NORMAL[part] * available // wanted for part in ("val", "test"))
    counts = [available - val - test, val, test]
    validation = round(len(abnormal) * ABNORMAL["val"] / sum(ABNORMAL.values()))
    parts = np.repeat(PARTS, counts)
    found = dict(zip(normal[: len(parts)].tolist(), parts.tolist(), strict=True))
    parts = np.repeat(["val", "test"], [validation, len(abnormal) - validation])
    return found | dict(zip(abnormal.tolist(), parts.tolist(), strict=True))


def listed(rows: Candidates, there: NDArray[np.bool_], split_dir: Path) -> dict[int, str]:
    """Row -> part, of the rows that are `there` and that the authors' files name. Raises DataError where these are
    of another table, ConfigError where they call a nodule normal or the other way round."""
    said = row_split(split_dir)
    for row, line in sorted(said.items(), key=lambda pair: (pair[1].file, pair[1].line)):
        if row >= len(rows.label):
            reason = f"line {line.line} names row {row}, the table has {len(rows.label)}"
            raise DataError(reason, path=line.file, remedy=_EDITION)
        if line.part == "train" and rows.label[row]:
            reason = f"line {line.line} trains on row {row}, which is a nodule"
            raise DataError(reason, path=line.file, remedy=_EDITION)
        line.check(int(rows.label[row]))
    return {row: line.part for row, line in said.items() if there[row]}


_EDITION = "they belong to candidates.csv, not to candidates_V2.csv"
