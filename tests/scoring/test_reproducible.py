from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from helpers.bundles import SMALL, a_run
from helpers.scoring_stub import files_of, write_scan
from maescan import engines
from maescan.config import GridConfig
from maescan.engines.bundle import Bundle
from maescan.errors import DataError
from maescan.export import export
from maescan.scoring.merge import merge
from maescan.scoring.options import ScoreOptions
from maescan.scoring.pipeline import score_folder

pytestmark = pytest.mark.slow

PRESET = SMALL.replace(grid=GridConfig(None), tokens__method="foreground")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield Bundle.load(export(a_run(folder, PRESET), folder / "bundle"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    for index in range(7):
        write_scan(folder / f"scan{index}.nii.gz", index, slices=5 + index)
    (folder / "broken.nii.gz").write_bytes(b"no gzip")
    return folder


@pytest.fixture(scope="module")
def whole(bundle, folder, tmp_path_factory):
    return score(bundle, [folder], tmp_path_factory.mktemp("whole"), maps=True)


def score(bundle, paths, out, threads=None, **options):
    engine = engines.load(bundle, threads=threads)
    score_folder(paths, bundle, engine, out, ScoreOptions(**options))
    engine.close()
    return out


def table(out):
    with open(out / "scores.csv", newline="") as stream:
        return {(row["scan"], row["slice"]): float(row["score"]) for row in csv.DictReader(stream)}


def test_slices_differ_in_score_and_in_tokens(whole):
    scores = list(table(whole).values())
    assert len(scores) == 56 and np.ptp(scores) > 0.01 and len(set(scores)) > 40


def test_any_order_and_any_second_run_give_the_same_bytes(bundle, folder, whole, tmp_path):
    backwards = score(bundle, sorted(folder.iterdir(), reverse=True), tmp_path / "backwards", maps=True)
    assert files_of(backwards) == files_of(whole)
    assert files_of(score(bundle, [folder], tmp_path / "twice", maps=True, workers=1)) == files_of(whole)


def test_a_resumed_run_gives_the_same_bytes(bundle, folder, whole, tmp_path):
    score(bundle, [folder], tmp_path / "out", maps=True, shard=(2, 3))
    assert files_of(score(bundle, [folder], tmp_path / "out", maps=True)) == files_of(whole)


def test_merged_shards_are_the_whole(bundle, folder, whole, tmp_path):
    parts = [score(bundle, [folder], tmp_path / f"{i}", maps=True, shard=(i, 3)) for i in (1, 2, 3)]
    summary = merge(parts[::-1], bundle, tmp_path / "merged")
    assert files_of(tmp_path / "merged") == files_of(whole)
    assert (len(summary.scored), len(summary.failures), summary.slices) == (7, 1, 56)
    assert json.loads((tmp_path / "merged" / "run.json").read_text())["scans"]["scored"] == 7


def test_a_merge_of_what_does_not_belong_together_is_refused(bundle, folder, tmp_path):
    parts = [score(bundle, [folder], tmp_path / f"{i}", shard=(i, 2), maps=i == 3) for i in (1, 2)]
    with pytest.raises(DataError, match="the shards are 1/2"):
        merge(parts[:1], bundle, tmp_path / "out")
    with pytest.raises(DataError, match="the shards are 2/2, 2/2"):
        merge([parts[1], parts[1]], bundle, tmp_path / "out")
    with pytest.raises(DataError, match="no finished run"):
        merge([parts[0], tmp_path / "none"], bundle, tmp_path / "out")
    with pytest.raises(DataError, match="other options"):
        merge(
            [parts[0], score(bundle, [folder], tmp_path / "maps", shard=(2, 2), maps=True)], bundle, tmp_path / "out"
        )


@pytest.mark.parametrize(("batch", "threads"), [(1, 1), (7, 2), (64, 1), (64, 2)])
def test_batch_and_threads_do_not_move_six_decimals(bundle, folder, whole, tmp_path, batch, threads):
    other = table(score(bundle, [folder], tmp_path / "out", threads, batch=batch))
    expected = table(whole)
    assert other.keys() == expected.keys()
    assert max(abs(other[slice_] - expected[slice_]) for slice_ in expected) <= 1.001e-6
