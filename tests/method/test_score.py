from __future__ import annotations

import csv

import nibabel
import numpy as np
import pytest

from helpers.stubs import StubEngine, stub_bundle
from maescan.config import preset
from maescan.method.score import score_slices
from maescan.scoring.options import ScoreOptions
from maescan.scoring.pipeline import score_folder

BUNDLE = stub_bundle(preset("tiny-fg").replace(tokens__buckets=(16, 32, 64)))


def a_folder(path, scans=6):
    """Scans whose slices are discs of all sizes; the first and last slice are air."""
    path.mkdir()
    rows, columns = np.mgrid[:40, :40] - 19.5
    rng = np.random.default_rng(0)
    for number in range(scans):
        voxels = np.zeros((40, 40, 12), np.int16)
        for z in range(1, 11):
            inside = rows**2 + columns**2 < rng.uniform(3, 19) ** 2
            voxels[inside, z] = rng.integers(200, 900, inside.sum())
        nibabel.Nifti1Image(voxels, np.diag([4.0, 4, 5, 1])).to_filename(path / f"scan{number}.nii.gz")
    return path


def scored(folder, out, **options):
    engine = StubEngine()
    summary = score_folder([folder], BUNDLE, engine, out, ScoreOptions(pictures=0, **options))
    with open(out / "scores.csv", newline="") as stream:
        return {(row["scan"], row["slice"]): row["score"] for row in csv.DictReader(stream)}, engine.seen, summary


def test_batches_are_of_one_token_count_and_air_costs_nothing(tmp_path):
    scores, seen, summary = scored(a_folder(tmp_path / "scans"), tmp_path / "out", maps=True)
    assert len(scores) == summary.slices == 72 and not summary.failures
    assert {tokens for _, tokens in seen} == {16, 32, 64} and sum(count for count, _ in seen) == 60
    assert all((float(score) == 0) == (number in ("0", "11")) for (_, number), score in scores.items())


def test_air_scores_least_by_every_measure():
    images = np.random.default_rng(0).uniform(0.2, 1, (3, 64, 64)).astype(np.float32)
    images[1] = 0
    for measure in ("classifier", "mse", "mae", "ssim"):
        score = score_slices(images, np.arange(3), StubEngine(), BUNDLE.preset.replace(measure=measure)).score
        assert score.argmin() == 1 and (score[[0, 2]] > score[1]).all(), measure


@pytest.mark.slow
def test_scores_do_not_depend_on_the_neighbours_in_a_bucket(tmp_path):
    folder = a_folder(tmp_path / "scans")
    whole = scored(folder, tmp_path / "a")[0]
    assert (
        scored(folder, tmp_path / "b", batch=1)[0] == scored(folder, tmp_path / "c", batch=64, workers=1)[0] == whole
    )
    for shard in (1, 2):
        part = scored(folder, tmp_path / f"shard{shard}", shard=(shard, 2))[0]
        assert part and all(whole[key] == score for key, score in part.items())


def test_a_small_queue_holds_no_scan_back(tmp_path):
    """Every bucket waits for more slices than there are, and only one scan fits the queue."""
    scores, _, _ = scored(a_folder(tmp_path / "scans"), tmp_path / "out", batch=1000, queue_bytes=1)
    assert len(scores) == 72
