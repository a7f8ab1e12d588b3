"""What an evaluation or a stress test replaces, and whose folders they take."""

from __future__ import annotations

import pytest

from helpers.labelled import evaluated, labelled_slices
from helpers.stubs import StubEngine, stub_bundle
from maescan import engines
from maescan.errors import DataError
from maescan.evaluate import evaluate
from maescan.evaluate.acceptance import stress
from maescan.evaluate.output import EVALUATION, STRESS, output
from maescan.files import claim, kind_of
from maescan.folders import taken
from maescan.options import EvaluateOptions, StressOptions

FEW = EvaluateOptions(resamples=0, stressed=0, draw=False)


@pytest.fixture
def stubbed(monkeypatch):
    monkeypatch.setattr(engines, "load", lambda *_, **__: StubEngine())
    return stub_bundle()


def names(out):
    return {path.name for path in out.iterdir()} - {".maescan"}


def test_pictures_of_an_earlier_evaluation_go_and_it_is_told(stubbed, tmp_path):
    evaluated(tmp_path)
    assert {"roc.png", "slices.png"} <= names(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    said = []
    evaluate(labelled_slices(4), stubbed, tmp_path, options=FEW, listen=said.append)
    assert said == [f"{tmp_path}: replaces an evaluation of before"]
    assert names(tmp_path) == {"metrics.json", "report.md", "slices.csv", "speed.json", "notes.txt"}
    evaluate(labelled_slices(5), stubbed, tmp_path, options=FEW, listen=said.append)
    assert f": replaces an evaluation of before: bundle {stubbed.path} (" in said[1]


def test_a_stress_test_and_an_evaluation_refuse_each_others_folders(stubbed, tmp_path):
    evaluate(labelled_slices(), stubbed, tmp_path / "evaluated", options=FEW)
    said = []
    for _ in range(2):
        stress(labelled_slices(), stubbed, tmp_path / "stressed", None, StressOptions(slices=4), said.append)
    assert len(said) == 1 and "replaces a stress test of before: bundle" in said[0]
    with pytest.raises(DataError, match="holds a stress test"):
        evaluate(labelled_slices(), stubbed, tmp_path / "stressed", options=FEW)
    with pytest.raises(DataError, match="holds an evaluation"):
        stress(labelled_slices(), stubbed, tmp_path / "evaluated")


def test_a_stress_test_of_before_is_known_by_its_files(tmp_path):
    claim(tmp_path, EVALUATION)
    (tmp_path / "stress.json").write_text("{}")
    with pytest.raises(DataError, match="holds a stress test"), output(tmp_path, EVALUATION):
        pass
    with output(tmp_path, STRESS) as run:
        assert "replaces a stress test of before" in run.replaces
    assert kind_of(tmp_path) == STRESS


def test_a_stress_test_that_lies_beside_an_evaluation_of_before_stays(tmp_path):
    """Both had one kind, and either was written beside the other."""
    claim(tmp_path, EVALUATION)
    for name in ("stress.json", "stress.png", "metrics.json", "roc.png"):
        (tmp_path / name).write_text("{}")
    with output(tmp_path, EVALUATION) as run:
        run.replace(["metrics.json"], "")
    assert {file.name for file in tmp_path.glob("*.*")} - {".maescan"} == {"stress.json", "stress.png"}


def test_two_at_once_are_refused_before_a_slice_is_scored(stubbed, tmp_path):
    for kind, run in ((EVALUATION, evaluate), (STRESS, stress)):
        with (
            taken(tmp_path / kind, kind),
            pytest.raises(DataError, match="another run is writing here"),
        ):
            run(labelled_slices(), stubbed, tmp_path / kind)
