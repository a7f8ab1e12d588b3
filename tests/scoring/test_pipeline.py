from __future__ import annotations

import json
import os
import signal
import time

import nibabel
import numpy as np
import pytest

from helpers.scoring_stub import BUNDLE, Engine, rows, write_scan
from helpers.stubs import stub_bundle
from maescan.errors import DataError, DeviceLostError, EngineError, ScanError
from maescan.results.rows import AGAIN
from maescan.scans import find_scans
from maescan.scoring import pipeline, readers
from maescan.scoring.options import ReadOptions, ScoreOptions
from maescan.scoring.pipeline import score_folder


@pytest.fixture
def folder(tmp_path):
    for index in range(5):
        write_scan(tmp_path / "scans" / f"scan{index}.nii.gz", index)
    return tmp_path / "scans"


def test_every_slice_of_every_scan_is_scored(folder, tmp_path):
    summary = score_folder([folder], BUNDLE, Engine(), tmp_path / "out", ScoreOptions(maps=True))
    assert len(summary.scored) == 5 and summary.failures == [] and summary.slices == 30
    found = [(row["scan"], int(row["slice"])) for row in rows(tmp_path / "out" / "scores.csv")]
    assert found == [(f"scan{scan}.nii.gz", index) for scan in range(5) for index in range(6)]
    for scan in range(5):
        source = nibabel.load(folder / f"scan{scan}.nii.gz")
        heat = nibabel.load(tmp_path / "out" / "maps" / f"scan{scan}.nii.gz_anomaly.nii.gz")
        assert heat.shape == source.shape and np.allclose(heat.affine, source.affine)
        assert heat.get_fdata().max() > 0


@pytest.mark.slow
def test_scores_do_not_depend_on_batch_workers_shards_or_order(folder, tmp_path):
    def scores(name, paths=(folder,), **options):
        score_folder(list(paths), BUNDLE, Engine(), tmp_path / name, ScoreOptions(**options))
        return [
            (os.path.basename(row["scan"]), row["slice"], row["score"])
            for row in rows(tmp_path / name / "scores.csv")
        ]

    whole = scores("a")
    assert scores("b", batch=1, workers=1) == scores("c", batch=7) == whole
    assert sorted(scores("d", shard=(1, 2)) + scores("e", shard=(2, 2))) == whole
    assert sorted(scores("f", sorted(folder.iterdir(), reverse=True))) == whole


def test_a_bad_scan_is_a_row_and_the_others_are_scored(folder, tmp_path):
    (folder / "broken.nii.gz").write_bytes((folder / "scan0.nii.gz").read_bytes()[:200])
    summary = score_folder([folder], BUNDLE, Engine(), tmp_path / "out")
    assert len(summary.scored) == 5
    (failure,) = rows(tmp_path / "out" / "failures.csv")
    assert (
        failure["scan"] == "broken.nii.gz" and failure["stage"] == "read" and failure["reason"] and failure["remedy"]
    )


@pytest.mark.slow
def test_a_second_run_scores_only_what_is_new(folder, tmp_path):
    score_folder([folder], BUNDLE, Engine(), tmp_path / "out")
    before = (tmp_path / "out" / "scores.csv").read_bytes()
    again = score_folder([folder], BUNDLE, Engine(), tmp_path / "out")
    assert (again.skipped, again.slices) == (5, 0) and (tmp_path / "out" / "scores.csv").read_bytes() == before
    write_scan(folder / "scan3.nii.gz", 99)
    changed = score_folder([folder], BUNDLE, Engine(), tmp_path / "out")
    assert (changed.skipped, changed.slices) == (4, 6)
    forced = score_folder([folder], BUNDLE, Engine(), tmp_path / "out", ScoreOptions(force=True))
    assert (forced.skipped, forced.slices) == (0, 30)


def test_a_scan_unlike_training_is_scored_and_flagged(folder, tmp_path):
    bundle = stub_bundle(intensity={"share": [0.01, 0.02], "mean": [0.0, 2.0]})
    score_folder([folder], bundle, Engine(), tmp_path / "out")
    found = rows(tmp_path / "out" / "scans.csv")
    assert len(found) == 5 and all("outside training's 0.01 to 0.02" in row["warnings"] for row in found)


def test_no_scans_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no scans found"):
        score_folder([tmp_path / "empty"], BUNDLE, Engine(), tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("error", [RuntimeError("two\nlines"), MemoryError(), EngineError("lost")])
def test_an_engine_that_raises_costs_the_scan_alone(folder, tmp_path, monkeypatch, error):
    whole = score_folder([folder], BUNDLE, Engine(), tmp_path / "whole", ScoreOptions(maps=True, pictures=0))
    (bad,) = (source for source in find_scans(folder) if "scan2" in source.name)
    refused = readers.read_and_prepare(bad, BUNDLE.preset, ReadOptions())[1]
    real = pipeline.mapped_slices

    def mapped_slices(images, *arguments, **options):
        if any(np.array_equal(image, refused[3]) for image in images):
            raise error
        return real(images, *arguments, **options)

    monkeypatch.setattr(pipeline, "mapped_slices", mapped_slices)
    summary = score_folder([folder], BUNDLE, Engine(), tmp_path / "out", ScoreOptions(maps=True, pictures=0))
    assert [(row["scan"], row["stage"]) for row in summary.failures] == [(bad.name, "score")]
    assert summary.scored == [row for row in whole.scored if row["scan"] != bad.name]
    maps = {path.name for path in (tmp_path / "out").rglob("*.nii.gz")}
    assert len(maps) == len(summary.scored) and not any("scan2" in name for name in maps)


@pytest.mark.parametrize("text", ["std::bad_alloc", "two\nResource temporarily unavailable", "Too many open files"])
def test_what_the_system_gives_no_more_of_is_no_bundles_fault(folder, tmp_path, text):
    class Starved(Engine):
        def classify(self, tokens, token_ids):
            raise RuntimeError(text)

    summary = score_folder([folder], BUNDLE, Starved(), tmp_path / "out", ScoreOptions(pictures=0))
    told = {
        (row["reason"].partition(" no more ")[0], row["remedy"].partition(" with ")[0]) for row in summary.failures
    }
    assert told == {("the engine failed: the system gives", "see this shell's limits")}


def test_a_zone_that_there_cannot_be_costs_no_tables(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "UTC+25")
    time.tzset()
    try:
        score_folder([folder], BUNDLE, Engine(), tmp_path / "out", ScoreOptions(pictures=0))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["written"].endswith("+00:00")


def test_a_gpu_that_is_lost_ends_the_run_and_fails_no_scan(folder, tmp_path):
    """Whatever comes behind would fail, too; the same command goes on."""

    class Lost(Engine):
        def classify(self, tokens, token_ids):
            raise DeviceLostError("the GPU is lost")

    with pytest.raises(DeviceLostError):
        score_folder([folder], BUNDLE, Lost(), tmp_path / "out", ScoreOptions(batch=3))
    summary = score_folder([folder], BUNDLE, Engine(), tmp_path / "out", ScoreOptions(batch=3))
    assert len(summary.scored) == 5 and not summary.failures


def test_scores_that_are_no_numbers_leave_no_map(folder, tmp_path):
    class Nan(Engine):
        def classify(self, tokens, token_ids):
            return np.full(len(tokens), np.nan, np.float32)

    summary = score_folder([folder], BUNDLE, Nan(), tmp_path / "out", ScoreOptions(maps=True))
    assert not summary.scored and {row["stage"] for row in summary.failures} == {"score"}
    assert not list((tmp_path / "out").rglob("*.nii.gz")) and not list((tmp_path / "out").rglob("*.png"))


class Crashing(readers.ScanReader):
    def read(self, source):
        if "scan2" in source.name:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().read(source)


@pytest.mark.slow
def test_a_crash_of_the_reader_costs_one_scan(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "ScanReader", Crashing)
    summary = score_folder([folder], BUNDLE, Engine(), tmp_path / "out")
    assert [row["scan"] for row in summary.failures] == ["scan2.nii.gz"]
    assert "crashed" in summary.failures[0]["reason"] and len(summary.scored) == 4


def test_a_reader_over_its_time_is_stopped(folder):
    reader = readers.Reader(BUNDLE.preset, ReadOptions(limit_s=0.0))
    with pytest.raises(ScanError, match="took over"):
        reader.read(find_scans([folder])[0])
    reader.close()


def test_globs_that_leave_nothing_are_named(tmp_path):
    write_scan(tmp_path / "in" / "a.nii.gz", 0)
    with pytest.raises(DataError, match="of 1 scan none is left by --include and --exclude"):
        score_folder([tmp_path / "in"], BUNDLE, Engine(), tmp_path / "out", ScoreOptions(include=("zzz*",)))


def test_a_scored_scan_that_is_unreadable_for_a_moment_keeps_its_scores(folder, tmp_path):
    """As where a disk behind a link is away. The tables say so; nothing is scored again when it is back."""
    away, out, options = tmp_path / "disk" / "x.nii.gz", tmp_path / "out", ScoreOptions(maps=True)
    write_scan(away, 9)
    (folder / "linked.nii.gz").symlink_to(away)
    score_folder([folder], BUNDLE, Engine(), out, options)
    before = {name: (out / name).read_bytes() for name in ("scores.csv", "scans.csv", "failures.csv")}
    (tmp_path / "disk").rename(tmp_path / "elsewhere")
    summary = score_folder([folder], BUNDLE, Engine(), out, options)
    assert [row["scan"] for row in summary.failures] == ["linked.nii.gz"] and len(summary.scored) == 5
    assert "its scores of before stay" in rows(out / "failures.csv")[0]["reason"]
    assert (out / "scores.csv").read_bytes() == before["scores.csv"]
    said = {row["scan"]: row["warnings"] for row in rows(out / "scans.csv")}
    assert said.pop("linked.nii.gz") == AGAIN and not any(said.values())
    assert (out / "maps" / "linked.nii.gz_anomaly.nii.gz").is_file()
    (tmp_path / "elsewhere").rename(tmp_path / "disk")
    summary = score_folder([folder], BUNDLE, Engine(), out, options)
    assert summary.skipped == 6 and summary.failures == []
    assert {name: (out / name).read_bytes() for name in before} == before
