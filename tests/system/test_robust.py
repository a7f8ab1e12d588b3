from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from helpers.inputs import given
from helpers.scoring_stub import BUNDLE, Engine, answer_of, files_of, started, write_scan
from maescan.errors import DataError
from maescan.scoring.options import ScoreOptions
from maescan.scoring.pipeline import score_folder


@pytest.fixture
def folder(tmp_path):
    for index in range(6):
        write_scan(tmp_path / "scans" / f"scan{index}.nii.gz", index)
    (tmp_path / "scans" / "broken.nii.gz").write_bytes(b"no gzip")
    return tmp_path / "scans"


def test_killed_at_any_moment_a_resumed_run_writes_the_files_of_an_unbroken_one(folder, tmp_path):
    assert answer_of(folder, tmp_path / "whole", maps=True, pictures=2, pause=0.02) == "done"
    start = time.perf_counter()
    assert answer_of(folder, tmp_path / "again", maps=True, pictures=2, pause=0.02) == "done"
    lasts = time.perf_counter() - start
    expected = files_of(tmp_path / "whole")
    assert len(expected) == 13 and files_of(tmp_path / "again") == expected
    moments, killed = random.Random(0), 0
    for kill in range(20):
        out = tmp_path / f"out{kill // 4}"  # killed up to four times before it may end
        process, pipe = started(folder, out, maps=True, pictures=2, pause=0.02)
        time.sleep(moments.uniform(0, lasts))
        process.kill()
        process.join()
        killed += not pipe.poll(0) or process.exitcode != 0
        pipe.close()
        if kill % 4 == 3:
            assert answer_of(folder, out, maps=True, pictures=2) == "done"
            assert files_of(out) == expected
    assert killed >= 5


def test_what_a_killed_run_left_half_written_goes(folder, tmp_path):
    half = tmp_path / "out" / "maps" / ".maescan-part-abc.nii.gz"
    score_folder([folder], BUNDLE, Engine(), tmp_path / "out", ScoreOptions(maps=True))
    half.write_bytes(b"half")
    score_folder([folder], BUNDLE, Engine(), tmp_path / "out", ScoreOptions(maps=True))
    assert not half.exists()


def test_a_lost_map_is_made_again(folder, tmp_path):
    score_folder([folder], BUNDLE, Engine(), tmp_path / "out", ScoreOptions(maps=True))
    lost = tmp_path / "out" / "maps" / "scan3.nii.gz_anomaly.nii.gz"
    before = lost.read_bytes()
    lost.unlink()
    again = score_folder([folder], BUNDLE, Engine(), tmp_path / "out", ScoreOptions(maps=True))
    assert again.skipped == 5 and lost.read_bytes() == before


def test_a_scan_damaged_since_it_was_scored_fails_and_has_no_score(folder, tmp_path):
    score_folder([folder], BUNDLE, Engine(), tmp_path / "out")
    (folder / "scan2.nii.gz").write_bytes(b"damaged")
    given(folder / "scan2.nii.gz")
    again = score_folder([folder], BUNDLE, Engine(), tmp_path / "out")
    assert sorted(row["scan"] for row in again.failures) == ["broken.nii.gz", "scan2.nii.gz"]
    assert len(again.scored) == 5 and b"scan2" not in (tmp_path / "out" / "scans.csv").read_bytes()


def test_a_full_disk_is_said_and_a_run_after_it_ends_the_same(folder, tmp_path):
    assert answer_of(folder, tmp_path / "whole", maps=True, pictures=2) == "done"
    for place, largest in (("ledger", 8_000), ("map", 2_000)):
        out = tmp_path / place
        if place == "map":
            score_folder([folder / "broken.nii.gz", folder / "scan0.nii.gz"], BUNDLE, Engine(), out)
        answer = answer_of(folder, out, maps=True, largest=largest)
        assert "free space" in answer and str(out) in answer
        assert not any(".maescan-part-" in name for name in files_of(out))
        assert answer_of(folder, out, maps=True, pictures=2) == "done"
        assert files_of(out) == files_of(tmp_path / "whole")


def test_an_output_that_cannot_be_written_is_refused(folder, open_folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        score_folder([folder], BUNDLE, Engine(), tmp_path / "file" / "out")
    if os.getuid() == 0:
        out = open_folder / "readonly"
        out.mkdir(mode=0o555)
        assert "another --out" in answer_of(folder, out, user=65534)


def test_two_runs_on_one_output_are_one_too_many(folder, tmp_path):
    process, pipe = started(folder, tmp_path / "out", pause=0.1)
    while not (tmp_path / "out" / ".maescan" / "ledger.sqlite").exists():
        time.sleep(0.02)
    with pytest.raises(DataError, match="another run"):
        score_folder([folder], BUNDLE, Engine(), tmp_path / "out")
    assert pipe.poll(60) and pipe.recv() == "done"
    process.join()
    pipe.close()


def test_scores_that_are_not_finite_fail_the_scan_alone(folder, tmp_path):
    class Nan(Engine):
        batch = 6

        def classify(self, tokens, token_ids):
            return np.where(next(calls) == 0, np.nan, tokens.mean(axis=(1, 2)))

    calls = itertools.count()
    summary = score_folder([folder], BUNDLE, Nan(), tmp_path / "out", ScoreOptions(workers=1))
    assert len(summary.scored) == 5
    failed = {row["stage"]: row["scan"] for row in summary.failures}
    assert failed == {"read": "broken.nii.gz", "score": "scan0.nii.gz"}


def test_a_script_needs_no_main_guard_from_a_file_or_a_pipe(tmp_path):
    write_scan(tmp_path / "scans" / "scan.nii.gz", 0)
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from pathlib import Path\n"
        "from maescan.scoring.pipeline import score_folder\n"
        "from helpers.scoring_stub import BUNDLE, Engine\n"
        "before = dict(vars(sys.modules['__main__']))\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "found = score_folder([folder / 'scans'], BUNDLE, Engine(), folder / 'out')\n"
        "print(len(found.scored), [n for n in ('__file__', '__spec__') if globals().get(n) is not before.get(n)])\n"
    )
    (tmp_path / "script.py").write_text(script)
    for command in ([sys.executable, str(tmp_path / "script.py")], [sys.executable]):
        done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=120)
        assert done.stdout == "1 []\n", done.stderr
        shutil.rmtree(tmp_path / "out")
