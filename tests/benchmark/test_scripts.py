"""What pages tell people to run of bench/ starts: its tests are found, and an engine of no bundle scores a folder."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from maescan.config import preset
from maescan.datasets.phantom import write_phantom
from maescan.scoring.options import ScoreOptions
from maescan.scoring.pipeline import score_folder

ROOT = Path(__file__).resolve().parents[2]


def ran(*typed):
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}  # no worker's
    done = subprocess.run([sys.executable, *map(str, typed)], cwd=ROOT, env=alone, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_the_benchmarks_that_make_bench_runs_are_found():
    pytest.importorskip("pytest_benchmark")
    code, said = ran("-m", "pytest", "bench", "--collect-only", "-q")
    assert code == 0 and "bench/test_kernels.py" in said, said


def test_a_folder_is_scored_by_an_engine_of_no_bundle(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "bench")
    busy = importlib.import_module("busy")
    write_phantom(tmp_path / "made", healthy=1, lesions=0, seed=0)
    given = [tmp_path / "made" / "healthy"], busy.no_bundle(preset("tiny")), busy.Sleeper(0)
    summary = score_folder(*given, tmp_path / "out", ScoreOptions(pictures=0, workers=1))
    assert summary.slices == 32 and not summary.failures


@pytest.mark.slow
def test_what_is_no_option_trains_no_demo():
    code, said = ran("bench/demo_bundle.py", "--help")
    assert code == 1 and "no option: --help" in said
