"""Readers and preprocessing of one scan of BraTS's size in each format.

python -m pytest bench/test_readers.py --benchmark-only
"""

from __future__ import annotations

from typing import Any

import pytest

from maescan.benchmark import folder
from maescan.config import preset
from maescan.method.preprocess import prepare
from maescan.scans import find_scans, read_scan
from maescan.scans.source import ScanSource

SHAPE = (240, 240, 64)


@pytest.fixture(scope="module", params=sorted(folder.FORMATS))
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ScanSource:
    if not folder.can_write(request.param):
        pytest.skip("needs pydicom")
    scans = folder.write_scans(tmp_path_factory.mktemp("scans"), 1, SHAPE, preset("brats"), request.param)
    (found,) = find_scans([scans])
    return found


def test_read(benchmark: Any, source: ScanSource) -> None:
    assert sorted(benchmark(read_scan, source).shape) == sorted(SHAPE)


def test_prepare(benchmark: Any, source: ScanSource) -> None:
    scan = read_scan(source)
    assert benchmark(prepare, scan, preset("brats")).images.shape == (64, 224, 224)
