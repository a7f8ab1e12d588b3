"""The contract between the path and engines."""

from __future__ import annotations

import numpy as np

from helpers.scoring_stub import Engine as StubEngine
from maescan.engines.tensorrt import TensorRtEngine
from maescan.method.engine import DeviceEngine, TokenBatch


def test_an_engine_with_a_place_of_its_own_is_told_from_one_on_the_host():
    engine = TensorRtEngine.__new__(TensorRtEngine)
    engine.name, engine.batch = "tensorrt-rtx-fp16", 128
    assert isinstance(engine, DeviceEngine)
    assert not isinstance(StubEngine(), DeviceEngine)


def test_a_full_grid_needs_no_ids():
    ids = np.zeros((1, 4), np.int32)
    assert TokenBatch(ids, ids, ids, ids, full=True).token_ids is None
    assert TokenBatch(ids, ids, ids, ids, full=False).token_ids is ids
