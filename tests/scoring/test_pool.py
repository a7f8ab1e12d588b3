from __future__ import annotations

import contextlib
import queue
import time

import pytest

from helpers.scoring_stub import BUNDLE, Engine, write_scan
from maescan.errors import ConfigError
from maescan.scans import find_scans
from maescan.scoring import pool as pools
from maescan.scoring.options import ScoreOptions
from maescan.scoring.pipeline import opened_job
from maescan.scoring.pool import ReaderPool


@pytest.fixture
def job(tmp_path):
    for index in range(4):
        write_scan(tmp_path / "in" / f"scan{index}.nii.gz", index)
    options = ScoreOptions(queue_bytes=1)
    with opened_job(BUNDLE, Engine(), tmp_path / "out", options, lambda *_: None) as job:
        yield job


def test_the_queue_is_bounded_and_all_scans_come(job, tmp_path):
    pool, taken = ReaderPool(job, iter(find_scans(tmp_path / "in")), 2), []
    while (scan := pool.get(wait=True)) is not None:
        time.sleep(0.1)
        with contextlib.suppress(queue.Empty):  # only one fits, and it is not released yet
            assert pool.get(wait=False) is None
        taken.append(scan.known.label)
        assert scan.left == len(scan.images) == 6 and len(scan.reading.images) == 0
        pool.release(scan)
    assert sorted(taken) == [f"scan{index}.nii.gz" for index in range(4)]


def test_a_bad_scan_is_a_row(job, tmp_path):
    (tmp_path / "in" / "bad.nii").write_bytes(b"bad")
    pool, count = ReaderPool(job, iter(find_scans(tmp_path / "in")), 1), 0
    while (scan := pool.get(wait=True)) is not None:
        count += 1
        pool.release(scan)
    assert count == 4 and list(job.failed) == ["bad.nii"] and job.broken is None


def test_what_is_no_scans_fault_ends_the_run(job, tmp_path, monkeypatch):
    def refuse(*_):
        raise ConfigError("no such option")

    monkeypatch.setattr(pools.Reader, "content", refuse)
    pool = ReaderPool(job, iter(find_scans(tmp_path / "in")), 2)
    assert pool.get(wait=True) is None and isinstance(job.broken, ConfigError)
