"""What TensorRT refuses is said in its words."""

from __future__ import annotations

import pytest

from helpers.bundles import SMALL
from helpers.gpu_machine import install, slices_of
from maescan.errors import EngineError
from maescan.method.score import score_slices


def test_a_refused_shape_is_said_with_tensorrts_words(engine_of, monkeypatch, tmp_path):
    cuda, trt = install(monkeypatch, tmp_path)
    engine = engine_of("small").load()
    trt.refuse = "keep_ids"
    with pytest.raises(EngineError, match=r"keep_ids cannot be .*: keep_ids \[\d+, 4\] is outside the profile"):
        score_slices(slices_of(SMALL, 1), [0], engine, SMALL)
    trt.refuse = None
    score_slices(slices_of(SMALL, 1), [0], engine, SMALL)
    engine.close()
    assert cuda.left() == (0, 0, 0, False)
