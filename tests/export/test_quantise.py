"""int8: ranges are those of training slices as scoring feeds them; what speaks to the score stays wide."""

from __future__ import annotations

import logging
import re
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from helpers.bundles import SMALL
from helpers.stubs import StubEngine
from maescan.engines.bundle import Bundle
from maescan.errors import DataError
from maescan.export import quantise
from maescan.export.quantise import KEPT, MOST, SLICES, Recorder, training_inputs


def bundle(folder, run=None):
    return Bundle(folder, {"preset": SMALL.to_dict(), "files": {}}, "", run=run)


@pytest.mark.parametrize("count", [3, MOST + 5])
def test_inputs_are_those_that_scoring_feeds_slice_by_slice(tmp_path, count):
    images = np.random.default_rng(0).random((count, 32, 32)).astype(np.float32)
    save_file({"images": images, "slice_ids": np.arange(count)}, tmp_path / SLICES)
    seen = training_inputs(bundle(tmp_path / "bundle", tmp_path), StubEngine())
    assert len(seen["mae"]) == len(seen["classifier"]) == min(count, MOST)
    passes = SMALL.masks.passes
    for inputs in seen["mae"]:
        assert {name: len(array) for name, array in inputs.items()} == dict.fromkeys(
            ("visible", "token_ids", "keep_ids", "restore_ids"), passes
        )
    assert all(inputs["patches"].shape == (1, 16, 64) for inputs in seen["classifier"])


@pytest.mark.parametrize("there", [False, True])
def test_without_training_slices_there_are_no_ranges(tmp_path, there):
    with pytest.raises(DataError, match=r"no training slices to quantise with.*--precision int8"):
        training_inputs(bundle(tmp_path / "bundle", tmp_path if there else None), StubEngine())


def test_a_recorder_answers_as_its_engine_and_keeps_the_arrays():
    engine = StubEngine()
    recorder, tokens = Recorder(engine), np.ones((2, 4, 4), np.float32)
    assert recorder.classify(tokens, None).tolist() == engine.classify(tokens, None).tolist()
    assert recorder.seen["classifier"][0]["patches"] is tokens
    recorder.close()


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("patch_embed.proj/aten", True),
        ("head/MatMul", True),
        ("decoder_pred.3", True),
        ("blocks.0", False),
    ],
)
def test_the_first_and_last_linear_maps_stay_wide(name, kept):
    assert any(re.fullmatch(pattern, name) for pattern in KEPT["patterns"]) is kept


@pytest.mark.parametrize(("features", "fix"), [((), "ENABLE"), (("avx2",), "ENABLE"), (("avx512_vnni",), "DISABLE")])
def test_a_cpu_that_would_overflow_gets_7_bits(monkeypatch, features, fix):
    nncf = pytest.importorskip("nncf")
    asked = []
    monkeypatch.setattr(nncf, "quantize", lambda model, data, **named: asked.append(named) or model)
    monkeypatch.setattr(quantise, "cpu_features", lambda: features)
    model = SimpleNamespace()
    assert quantise.quantise(model, [{}, {}]) is model
    assert asked[0]["advanced_parameters"].overflow_fix.name == fix and asked[0]["subset_size"] == 2


def test_a_handler_of_the_process_hears_what_it_heard_before(monkeypatch):
    nncf = pytest.importorskip("nncf")
    logger, handler, during = logging.getLogger("nncf"), logging.NullHandler(logging.INFO), []
    monkeypatch.setattr(nncf, "quantize", lambda *_, **named: during.append(logger.isEnabledFor(logging.WARNING)))
    monkeypatch.setattr(logger, "handlers", [*logger.handlers, handler])
    level = logger.level
    quantise.quantise(SimpleNamespace(), [{}])
    assert during == [False] and (handler.level, logger.level) == (logging.INFO, level)


def test_its_bars_are_not_shown_beside_ours(monkeypatch, capsys):
    """They go to standard output, whatever --quiet says."""
    nncf = pytest.importorskip("nncf")
    from nncf.common.logging.track_progress import track

    monkeypatch.setattr(nncf, "quantize", lambda *_, **named: list(track([1, 2], description="Applying")))
    assert nncf.quantize() == [1, 2] and "Applying" in capsys.readouterr().out
    assert quantise.quantise(SimpleNamespace(), [{}]) == [1, 2] and capsys.readouterr().out == ""
