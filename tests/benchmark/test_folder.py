"""Folders of artificial scans, in both formats."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.bundles import SMALL
from helpers.marks import slow
from maescan.benchmark import folder
from maescan.options import EngineOptions


@pytest.mark.parametrize("form", ["nifti", *slow("dicom")])
def test_a_generated_folder_is_scored_to_the_end(bundle, tmp_path, form):
    if not folder.can_write(form):
        pytest.skip("needs pydicom")
    scans = folder.write_scans(tmp_path / "scans", 5, (24, 20, 4), SMALL, form)
    engine = EngineOptions(target="openvino", precision="fp32", threads=1)
    found = folder.measure(scans, bundle, tmp_path / "out", engine, 1)
    assert (found["scans"], found["failed"], found["slices"]) == (5, 0, 20)
    assert 0 < found["engine_busy"] <= 1 and {"read", "engine", "write"} <= set(found["stages"])


def test_both_formats_hold_the_same_scan(tmp_path):
    pytest.importorskip("pydicom")
    from maescan.scans import axial_view, find_scans, read_scan

    views = []
    for form in ("nifti", "dicom"):
        (source,) = find_scans([folder.write_scans(tmp_path / form, 1, (24, 20, 4), SMALL, form)])
        views.append(axial_view(read_scan(source))[0])
    assert np.array_equal(*views)
