"""Golden answers: how far an engine may be from them, remembered where it ran, refused with the numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from helpers.stubs import StubEngine
from maescan.config import preset
from maescan.engines import golden
from maescan.engines.bundle import Bundle
from maescan.engines.golden import TOLERANCE, check, golden_drift, golden_scan, refuse
from maescan.errors import BundleError
from maescan.machine import cache_folder
from maescan.method.score import score_slices

PRESET = preset("tiny")


class Shifted(StubEngine):
    """Scores that are off by so much."""

    version, device_name, off = "stub 1", "a CPU", 0.0

    def classify(self, tokens, token_ids):
        return super().classify(tokens, token_ids) + np.float32(self.off)


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A bundle whose golden answers are the stub's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    images, ids = np.random.default_rng(0).random((4, 64, 64), np.float32), np.arange(4)
    answers = score_slices(images, ids, StubEngine(), PRESET, maps=True)
    (tmp_path / "golden").mkdir()
    arrays = {"images": images, "slice_ids": ids, "score": answers.score, "difference": answers.difference,
              "prepared": images, "rows": ids}  # fmt: skip
    save_file(arrays, tmp_path / "golden" / "golden.safetensors")
    engine = tmp_path / "engines" / "stub-fp32"
    engine.mkdir(parents=True)
    made = Bundle(tmp_path, {"preset": PRESET.to_dict(), "files": {}}, "")
    monkeypatch.setattr(Bundle, "engines", lambda self: {"stub-fp32": {"precision": "fp32"}})
    monkeypatch.setattr(Bundle, "engine_folder", lambda self, name: engine)
    return made


def test_the_engine_that_answered_does_not_drift_and_another_does(bundle):
    assert golden_drift(bundle, StubEngine()) == {"score": 0.0, "difference": 0.0, "order": 0.0}
    engine = Shifted()
    engine.off = 0.25
    drift = golden_drift(bundle, engine)
    assert drift["score"] == pytest.approx(0.25, abs=1e-6) and drift["difference"] == 0


@pytest.mark.parametrize(
    ("moved", "step"),
    [([0.1, 0.2, 0.3, 0.9], 0.0), ([0.5, 0.6, 0.7, 0.8], 0.0), ([0.2, 0.1, 0.3, 0.9], 0.1),
     ([0.4, 0.2, 0.3, 0.9], 0.2), ([0.1, 0.2, 0.2, 0.9], 0.0), ([0.1, np.nan, 0.3, 0.9], np.nan)],
)  # fmt: skip
def test_ranks_that_change_count_by_the_step_between_them(moved, step):
    found = golden._exchanged(np.array(moved, np.float32), np.array([0.1, 0.2, 0.3, 0.9], np.float32))
    assert found == pytest.approx(step, nan_ok=True)


def test_scores_that_are_no_probabilities_count_by_the_largest(bundle):
    """An error of the mean, in units of the preset's slices, has no unit of its own."""
    bundle.manifest["preset"] = PRESET.replace(measure="mse").to_dict()
    images = bundle.golden()["images"]
    answers = score_slices(images, np.arange(4), StubEngine(), bundle.preset, maps=True)
    file = bundle.path / "golden" / "golden.safetensors"
    save_file({**bundle.golden(), "score": answers.score * 2, "difference": answers.difference}, file)
    assert golden_drift(bundle, StubEngine())["score"] == pytest.approx(0.5)


@pytest.mark.parametrize("precision", TOLERANCE)
def test_each_precision_may_drift_so_far_and_no_further(tmp_path, precision):
    allowed = TOLERANCE[precision]
    refuse(dict(allowed), precision, tmp_path)
    for name in allowed:
        for bad in (allowed[name] * 1.01, float("nan"), float("inf")):
            with pytest.raises(BundleError, match=rf"{name} by .*\({allowed[name]:g} is allowed\)"):
                refuse({**allowed, name: bad}, precision, tmp_path)
        with pytest.raises(BundleError, match=f"{name} by nan|{name}"):
            refuse(
                {key: value for key, value in allowed.items() if key != name} | {name: np.nan}, precision, tmp_path
            )


def test_an_unknown_precision_is_held_to_the_closest(tmp_path):
    with pytest.raises(BundleError, match=r"0\.001 is allowed"):
        refuse({"score": 0.01, "difference": 0.0, "order": 0.0}, "int2", tmp_path)


def test_what_was_proved_here_is_not_proved_again(bundle, monkeypatch):
    engine, ran = Shifted(), []
    real = golden.golden_drift
    monkeypatch.setattr(golden, "golden_drift", lambda *given: ran.append(1) or real(*given))
    assert check(bundle, "stub-fp32", engine) == check(bundle, "stub-fp32", engine) and len(ran) == 1
    engine.version = "stub 2"
    check(bundle, "stub-fp32", engine)
    engine.device_name = "another CPU"
    check(bundle, "stub-fp32", engine)
    bundle.manifest["files"]["engines/stub-fp32/1/mae.xml"] = "other"
    check(bundle, "stub-fp32", engine)
    assert len(ran) == 4


def test_what_was_refused_is_refused_again(bundle):
    engine = Shifted()
    engine.off = 0.5
    for _ in range(2):
        with pytest.raises(BundleError, match=r"score by 0\.5"):
            check(bundle, "stub-fp32", engine)


@pytest.mark.parametrize("content", ["", "[]", '{"score": "0"}', "[" * 9000, "{"])
def test_a_damaged_cache_is_no_proof(bundle, content):
    engine = Shifted()
    check(bundle, "stub-fp32", engine)
    (file,) = (cache_folder() / "golden").iterdir()
    file.write_text(content)
    assert check(bundle, "stub-fp32", engine) == {"score": 0.0, "difference": 0.0, "order": 0.0}
    assert json.loads(file.read_text()) == {"score": 0.0, "difference": 0.0, "order": 0.0}


def test_a_cache_that_cannot_be_written_costs_time_alone(bundle, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert check(bundle, "stub-fp32", Shifted())["score"] == 0


def test_a_user_without_a_home_has_no_cache_and_an_engine(bundle, monkeypatch):
    """As in a container that runs as a number."""

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("pathlib.Path.home", homeless)
    assert check(bundle, "stub-fp32", Shifted())["score"] == 0


def test_a_relative_cache_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert cache_folder() == tmp_path / ".cache" / "maescan"
    monkeypatch.setenv("HOME", "here")
    with pytest.raises(OSError, match="directory"):
        cache_folder().mkdir(parents=True)


def test_slices_of_the_golden_scan_are_compared(bundle, monkeypatch):
    images = bundle.golden()["images"]
    monkeypatch.setattr(golden, "prepare_golden", lambda file, of: images)
    assert golden_scan(bundle) == 0
    monkeypatch.setattr(golden, "prepare_golden", lambda file, of: images + np.float32(0.01))
    with pytest.raises(BundleError, match=r"makes other slices of the golden scan: by 0\.01"):
        golden_scan(bundle)
    monkeypatch.setattr(golden, "prepare_golden", lambda file, of: images * np.nan)
    with pytest.raises(BundleError, match="by nan"):
        golden_scan(bundle)
    monkeypatch.setattr(golden, "prepare_golden", lambda file, of: images[:2])
    with pytest.raises(BundleError, match="golden scan cannot be prepared"):
        golden_scan(bundle)


@pytest.mark.parametrize("lost", ["images", "slice_ids", "difference", "score"])
def test_golden_slices_that_are_none_are_refused(bundle, lost):
    file = bundle.path / "golden" / "golden.safetensors"
    arrays = bundle.golden()
    save_file({name: values for name, values in arrays.items() if name != lost}, file)
    with pytest.raises(BundleError, match=f"cannot answer its golden slices: '{lost}'"):
        golden_drift(bundle, StubEngine())
    save_file({**arrays, "difference": arrays["difference"][:3]}, file)
    with pytest.raises(BundleError, match="cannot answer its golden slices: "):
        golden_drift(bundle, StubEngine())


@pytest.mark.parametrize("fault", [RuntimeError("from\n\nshapes {2,56} and {0,0}\n"), AssertionError()])
def test_an_engine_that_cannot_answer_is_refused(bundle, monkeypatch, fault):
    def classify(*_):
        raise fault

    engine = StubEngine()
    monkeypatch.setattr(engine, "classify", classify)
    with pytest.raises(BundleError, match=r"golden slices: (shapes|AssertionError)"):
        golden_drift(bundle, engine)


@pytest.mark.parametrize("rows", [np.zeros(10**7, np.int64), np.zeros((2, 2), np.int64), np.arange(3)])
def test_rows_that_are_not_the_prepared_ones_are_refused_before_they_are_taken(exported_bundle, rows, monkeypatch):
    loaded = Bundle.load(exported_bundle)
    arrays = {**loaded.golden(), "rows": rows}
    monkeypatch.setattr(Bundle, "golden", lambda _: arrays)
    with pytest.raises(BundleError, match="are said to be of its"):
        golden_scan(loaded)
