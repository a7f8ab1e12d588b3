"""Folders scored on a GPU that is not there: readers send raw voxels, and files are what the host's slices give."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from helpers.gpu_machine import install
from helpers.inputs import given
from helpers.scoring_stub import files_of
from helpers.stubs import stub_bundle
from maescan.method.raw import MOST_BYTES, RawSlices
from maescan.scoring import pool
from maescan.scoring.options import ScoreOptions
from maescan.scoring.pipeline import score_folder

SCANS = {"a": (24, "int16"), "b": (31, "uint16"), "c": (40, "float32"), "d": (24, "uint8"), "wide": (760, "int16")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Heads in air of four types and sizes, and one whose slices are too large to go up raw."""
    path = tmp_path_factory.mktemp("scans")
    for seed, (name, (side, dtype)) in enumerate(SCANS.items()):
        rng, slices = np.random.default_rng(seed), 3 if name == "wide" else 7
        at = np.mgrid[:side, : side + 4] / side - 0.5
        inside = (at[0] ** 2 + at[1] ** 2)[..., None] < np.linspace(0, 0.2, slices)
        voxels = np.where(inside, rng.integers(80, 220, inside.shape), 0).astype(dtype)
        nibabel.Nifti1Image(voxels, np.diag([240 / side, 240 / side, 5, 1])).to_filename(path / f"{name}.nii.gz")
        given(path / f"{name}.nii.gz")
    return path


def scored(folder, out, engine, preset, seen=None, **options):
    """The files of a run. seen: takes what every scan's slices were."""
    real = pool.LoadedScan.__post_init__

    def post(scan):
        real(scan)
        if seen is not None:
            seen[scan.source.name] = type(scan.images)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool.LoadedScan, "__post_init__", post)
        summary = score_folder([folder], stub_bundle(preset), engine, out, ScoreOptions(workers=1, **options))
    assert len(summary.scored) == len(SCANS) and summary.failures == []
    return files_of(out)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "whole", "kept"),
    [("small", True, ""), ("small", False, "healthy"), ("small-fg", True, "maps"), ("small-fg", False, "")],
)
def test_files_are_those_of_slices_made_on_the_host(engine_of, monkeypatch, tmp_path, folder, name, whole, kept):
    monkeypatch.setattr("maescan.engines.tensorrt.BATCHES", (1, 2, 4))
    cuda, _ = install(monkeypatch, tmp_path)
    made = engine_of(name, "fp32", whole)
    options = {"pictures": 2, "batch": 5} | ({kept: True} if kept else {})
    engine, seen = made.load(), {}
    found = scored(folder, tmp_path / "raw", engine, made.preset, seen, **options)
    assert {name[:-7]: kind for name, kind in seen.items()} == {
        name: np.ndarray if name == "wide" else RawSlices for name in SCANS
    }
    assert MOST_BYTES < 760 * 764 * 2
    assert any(shape.raw and shape.maps == bool(kept) for shape, _ in engine.places)
    with monkeypatch.context() as patch:
        patch.setattr(pool, "RAW", False)
        slices = scored(folder, tmp_path / "slices", engine, made.preset, **options)
    host = made.whole() if whole else made.host()
    host.name, host.precision, host.target = engine.name, engine.precision, engine.target
    with monkeypatch.context() as patch:
        patch.setattr(pool, "RAW", False)
        wanted = scored(folder, tmp_path / "host", host, made.preset, **options)
    assert len(found) > 2 and found == slices == wanted
    engine.close()
    assert cuda.left() == (0, 0, 0, False)
