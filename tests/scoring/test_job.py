from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np

from helpers.scoring_stub import BUNDLE as STUB
from helpers.scoring_stub import Engine, write_scan
from maescan.errors import ScanError
from maescan.options import ReadOptions
from maescan.results.rows import ScanRow
from maescan.scans.source import ScanSource
from maescan.scoring.job import Job, job_key, listing_key
from maescan.scoring.ledger import Ledger
from maescan.scoring.options import Format, ScoreOptions
from maescan.scoring.pipeline import score_folder

BUNDLE = SimpleNamespace(fingerprint=lambda engine: f"files of {engine}", manifest={})


def test_the_key_is_what_decides_a_score():
    plain = job_key(BUNDLE, "openvino-bf16", ScoreOptions())
    calibrated = SimpleNamespace(**{**vars(BUNDLE), "manifest": {"calibration": {"scans": []}, "aggregation": "max"}})
    same = ScoreOptions(maps=True, pictures=0, format=Format.parquet, alert_rate=0.5, workers=1, force=True)
    assert job_key(calibrated, "openvino-bf16", same) == plain
    other = SimpleNamespace(**{**vars(BUNDLE), "manifest": {"intensity": {"mean": [0, 1]}}})
    assert job_key(other, "openvino-bf16", ScoreOptions()) != plain
    assert job_key(BUNDLE, "openvino-int8", ScoreOptions()) != plain
    assert job_key(BUNDLE, "openvino-bf16", ScoreOptions(read=ReadOptions(volume=1))) != plain


def test_a_listing_changes_with_its_scans(tmp_path):
    def source(name, text="x"):
        (tmp_path / name).write_text(text)
        return ScanSource(name, tmp_path / name, "nifti", (tmp_path / name,))

    both = listing_key([source("a.nii"), source("b.nii")])
    assert listing_key([source("b.nii"), source("a.nii")]) == both != listing_key([source("a.nii")])
    assert listing_key([source("a.nii"), source("b.nii", "longer")]) != both
    lost = ScanSource("\udcff.nii", tmp_path / "lost", "nifti", (tmp_path / "lost",))
    assert listing_key([lost]) != both


def test_every_scan_is_counted_once_whatever_comes_of_it(tmp_path):
    events = []
    ledger = Ledger(tmp_path / "out", "job")
    job = Job(BUNDLE, None, tmp_path / "out", ScoreOptions(), ledger, lambda source, name, facts: events.append(name))
    source = ScanSource("a.nii", tmp_path / "a.nii", "nifti", (tmp_path / "a.nii",))
    known = ledger.know(source, "content")
    assert not job.done(source, known)
    job.fail(source, known, "read", ScanError("\x1b[31mis bad", path="a\nb.nii"))
    assert job.failed["a.nii"].reason == "\\x1b[31mis bad" and job.failed["a.nii"].file == "a b.nii"
    ledger.add(known, "content", ScanRow("a.nii", np.ones(3), np.ones(3)))
    job.scored(source, known, ScanRow("a.nii", np.ones(3), np.ones(3)))
    assert job.seen == {"a.nii"} and not job.failed and job.slices == 3
    assert job.done(source, ledger.know(source, "content")) and job.skipped == 1
    assert events == ["failed", "scored", "skipped"]
    job.times["read"].extend([1.0, 3.0])
    assert json.loads(json.dumps(job.stages()))["read"]["p50"] == 2.0
    ledger.close()


def test_a_scan_whose_folder_was_renamed_is_named(tmp_path):
    """The table called the scan of sub-1 by the name that another's folder has now, without a word."""
    scans, out = tmp_path / "scans", tmp_path / "out"
    files = [write_scan(scans / f"sub-{number}" / "t1.nii.gz", number) for number in (1, 2)]
    notes = [score_folder([scans], STUB, Engine(), out, ScoreOptions(pictures=0)).notes]
    files[0].parent.rename(tmp_path / "away")
    files[1].parent.rename(scans / "sub-0")
    notes += [score_folder([scans], STUB, Engine(), out, ScoreOptions(pictures=0)).notes for _ in range(2)]
    assert notes[0] == [] and notes[1] == notes[2]
    assert notes[1][0].endswith("files or folders were renamed: sub-2/t1.nii.gz is sub-0/t1.nii.gz now")
