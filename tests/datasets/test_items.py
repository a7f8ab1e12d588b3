"""A data set before it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from maescan.datasets.items import LabelledScan, Listed
from maescan.errors import ConfigError


def item(**values):
    return LabelledScan("scan", (Path("scan.nii"),), lambda preset: None, **values)


def test_parts_are_of_the_scan_or_of_its_slices():
    assert item().parts([1, 2]) is None
    assert item(split="test").parts([1, 2]).tolist() == ["test", "test"]
    assert item(split={1: "train"}).parts([1, 2]).tolist() == ["train", ""]


def test_a_list_that_the_data_contradict_is_named_by_its_first_line():
    said = {n: Listed("train", 0, Path("normal.txt"), line) for n, line in ((1, 7), (2, 3))}
    item(listed=said).check([1, 2, 9], [0, -1, 1])  # equal, unknown, not listed
    with pytest.raises(ConfigError, match=r"normal\.txt: line 3 calls normal what is abnormal in the data"):
        item(listed=said).check([1, 2], [1, 1])
