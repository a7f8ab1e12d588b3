"""Folders of artificial scans, in both formats."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.bundles import SMALL
from helpers.marks import slow
from helpers.stubs import StubEngine
from maescan.benchmark import folder
from maescan.config import PRESETS
from maescan.options import EngineOptions, ReadOptions
from maescan.scans import find_scans


@pytest.mark.parametrize("form", ["nifti", *slow("dicom")])
def test_a_generated_folder_is_scored_to_the_end(bundle, tmp_path, form):
    if not folder.can_write(form):
        pytest.skip("needs pydicom")
    scans = folder.write_scans(tmp_path / "scans", 5, (24, 20, 4), SMALL, form)
    engine = EngineOptions(target="openvino", precision="fp32", threads=1)
    found = folder.measure(scans, bundle, tmp_path / "out", engine, 1)
    assert (found["scans"], found["failed"], found["slices"]) == (5, 0, 20)
    assert found["share"] == found["slices_per_second"] / found["alone_slices_per_second"]
    assert 0 < found["engine_busy"] <= 1 and {"read", "engine", "write"} <= set(found["stages"])


def test_the_engine_alone_scores_what_the_folder_holds(tmp_path, monkeypatch):
    """The same slices, keys and sizes of token sets, each batch of one size."""
    from maescan.scoring.readers import read_and_prepare

    preset = PRESETS["tiny-fast"].replace(tokens__buckets=(16, 32, 48))
    scans, batches = folder.write_scans(tmp_path, 2, (24, 20, 8), preset), []
    monkeypatch.setattr(folder, "score_slices", lambda *given, sets: batches.append((*given, sets)))
    monkeypatch.setattr(folder, "timed", lambda call, *_, **__: [call() or 0.5])
    assert folder._alone(scans, StubEngine(), preset) == 32
    read = [read_and_prepare(source, preset, ReadOptions()) for source in find_scans([scans])]
    wanted = [each for prepared, _, facts in read for each in zip(prepared.keys, facts["sets"].size, strict=True)]
    scored = [each for _, ids, *_, sets in batches for each in zip(ids, sets.size, strict=True)]
    assert sorted(scored) == sorted(wanted)
    assert all(len(set(sets.size)) == 1 for *_, sets in batches) and len({size for _, size in wanted}) > 1


def test_both_formats_hold_the_same_scan(tmp_path):
    pytest.importorskip("pydicom")
    from maescan.scans import axial_view, read_scan

    views = []
    for form in ("nifti", "dicom"):
        (source,) = find_scans([folder.write_scans(tmp_path / form, 1, (24, 20, 4), SMALL, form)])
        views.append(axial_view(read_scan(source))[0])
    assert np.array_equal(*views)
