"""Every open, write, fsync, rename and unlink in the output folder fails once, or is the last thing a process does:
the outcome is always told in one line, and the same call afterwards ends with the same bytes.

`make test` tries some calls of each kind; `make faults` (MAESCAN_FAULTS=all) tries all of them, with every error;
MAESCAN_FAULTS=8 tries so many of each kind with every error.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.faults import ERRORS, KINDS, Driver, library
from helpers.scoring_stub import BUNDLE, Engine, write_scan
from maescan.engines.bundle import Bundle, write_manifest
from maescan.files import PARTIAL
from maescan.scoring.options import ScoreOptions, Shard
from maescan.scoring.pipeline import score_folder

pytestmark = pytest.mark.skipif(library() is None, reason="no C compiler")
ASKED = os.environ.get("MAESCAN_FAULTS", "")


def places(count: int) -> list[int]:
    """Which of `count` calls to try: all, some that are spread evenly, or the first and one in the middle."""
    if not ASKED:
        return sorted({1, count // 2} - {0}) if count else []
    some = count if ASKED == "all" else min(count, int(ASKED))
    return sorted({1 + number * (count - 1) // max(some - 1, 1) for number in range(some)})


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Scans, two shards of them, a bundle and a part for it."""
    folder = tmp_path_factory.mktemp("faults")
    for number in range(3):
        write_scan(folder / "scans" / f"scan{number}.nii.gz", number)
    options = ScoreOptions(maps=True, pictures=1)
    for number in (1, 2):
        score_folder(
            [folder / "scans"], BUNDLE, Engine(), folder / f"shard{number}", replace(options, shard=Shard(number, 2))
        )
    (folder / "engine").mkdir()
    (folder / "engine" / "engine.json").write_text(
        json.dumps({"target": "fake", "precision": "fp32", "versions": {}, "seconds": 0.0})
    )
    (folder / "bundle" / "golden").mkdir(parents=True)
    for name in ("golden/golden.safetensors", "golden/scan.nii.gz", "mae.safetensors"):
        (folder / "bundle" / name).write_bytes(b"weights")
    write_manifest(folder / "bundle", BUNDLE.preset, {})
    return folder


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    made = Driver(tmp_path_factory.mktemp("driver"))
    yield made
    made.close()


def begin(operation: str, inputs: Path, out: Path) -> None:
    """The folder as it is before the operation: a bundle for those that change one, else nothing."""
    shutil.rmtree(out, ignore_errors=True)
    if operation in ("calibrate", "put-engine"):
        shutil.copytree(inputs / "bundle", out)


def content(out: Path) -> dict[str, bytes]:
    """Every file but those that tell the time, and the ledger, whose bytes tell its history. (A bundle has no run of
    its own that would clear away what a kill left half written.)"""
    times = ("run.json", "watch.json", ".maescan", ".lock", "report.html")
    left = PARTIAL if (out / "manifest.json").exists() else "\n"
    files = (file for file in sorted(out.rglob("*")) if file.is_file())
    return {
        file.relative_to(out).as_posix(): file.read_bytes()
        for file in files
        if not set(file.relative_to(out).parts) & set(times) and not file.name.startswith(left)
    }


@pytest.mark.parametrize("operation", ["score", "watch", "prepare", "merge", "calibrate", "put-engine"])
@pytest.mark.timeout(0 if ASKED else 300)
def test_the_disk_fails_at_any_call(driver, inputs, tmp_path, operation):
    out = tmp_path / "out"
    begin(operation, inputs, out)
    outcome, text, counts = driver.run(operation, inputs, out)
    assert outcome == "done", text
    whole, tried, wrong = content(out), 0, []
    assert whole and counts["open"] and counts["write"]
    for kind in KINDS:
        for at in places(counts[kind]):
            for error in ERRORS if ASKED else (["ENOSPC", "kill"] if at == 1 else ["EIO"]):
                begin(operation, inputs, out)
                fault = (kind, at, error)
                outcome, text, _ = driver.run(operation, inputs, out, fault)
                tried += 1
                if outcome == "untyped" or (outcome == "killed") != (error == "kill") or "\n" in text:
                    wrong.append((fault, outcome, text))
                if operation in ("calibrate", "put-engine"):
                    Bundle.load(out)  # sound at any moment
                again, text, _ = driver.run(operation, inputs, out)
                if again != "done" or content(out) != whole:
                    wrong.append((fault, "afterwards", again, text, sorted(content(out).keys() ^ whole.keys())))
    print(f"{operation}: {tried} faults at {counts}")
    assert not wrong, "\n".join(map(str, wrong))
