"""What is told of a scan comes from its tables, and a worker that is lost costs the results alone."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.dicom_results import CALIBRATION, write_oriented
from helpers.scoring_stub import Engine, rows
from helpers.stubs import stub_bundle
from maescan.errors import ScanError
from maescan.method.heat import units
from maescan.results.dicom.make import DicomMaker
from maescan.scans.worker import Worker, WorkerLostError
from maescan.scoring.options import ScoreOptions
from maescan.scoring.pipeline import score_folder

BUNDLE = stub_bundle(calibration=CALIBRATION, card={"intended_use": "to try it"})


def score(folder, out, monkeypatch, call):
    real = Worker.call

    def called(self, method, *arguments, **more):
        if method == "make":
            return call(self, real, method, *arguments, **more)
        return real(self, method, *arguments, **more)

    monkeypatch.setattr(Worker, "call", called)
    options = ScoreOptions(dicom=("sr", "seg"), workers=1, pictures=0)
    return score_folder([folder], BUNDLE, Engine(), out, options)


@pytest.mark.slow
def test_the_finding_is_what_the_tables_say(tmp_path, monkeypatch):
    write_oriented(tmp_path / "in")
    seen = []

    def call(worker, real, method, source, finding, maker, request, **more):
        seen.append(finding)
        return DicomMaker().make(source, finding, maker, request)

    score(tmp_path / "in", tmp_path / "out", monkeypatch, call)
    (finding,), (row,) = seen, rows(tmp_path / "out" / "scans.csv")
    slices = rows(tmp_path / "out" / "scores.csv")
    assert [f"{finding.score:.6f}", f"{finding.p_value:.6f}"] == [row["score"], row["p_value"]]
    assert finding.alert == (row["alert"] == "yes") and finding.threshold == 0.4 and finding.fit == row["fit"]
    assert [f"{score:.6f}" for score in finding.scores.tolist()] == [found["score"] for found in slices]
    assert finding.units == units(BUNDLE.preset) and finding.notes[0] == "intended use: to try it"
    assert finding.volume.shape == (40, 36, 20) and np.array_equal(finding.levels, np.arange(20))


@pytest.mark.slow
def test_a_worker_that_is_lost_costs_the_results_and_not_the_scores(tmp_path, monkeypatch):
    write_oriented(tmp_path / "in")

    def call(worker, real, method, *arguments, path, **more):
        raise WorkerLostError("the reader crashed (SIGSEGV)", path=path, remedy="export it anew")

    summary = score(tmp_path / "in", tmp_path / "out", monkeypatch, call)
    assert "SIGSEGV" in summary.refused[0]["reason"] and len(rows(tmp_path / "out" / "scans.csv")) == 1
    assert isinstance(WorkerLostError("x"), ScanError)
