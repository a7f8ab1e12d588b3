"""What changes the time."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.bundles import SMALL
from maescan.benchmark import scaling
from maescan.options import EngineOptions


@pytest.mark.slow
def test_scaling_over_threads_passes_tokens_and_folders(bundle, images, tmp_path):
    engine = EngineOptions(target="openvino", precision="fp32", threads=1)
    rows = scaling.threads(bundle, images, [1], 0.01, engine)
    assert rows[0]["threads"] == 1
    rows = scaling.sizes(bundle, images, 0.01, engine)
    assert [row["passes"] for row in rows] == [1, 2, 4, 8, 4, 4, 4]
    assert rows[3]["operations"] > 3 * rows[0]["operations"] and rows[4]["tokens"] == SMALL.model.tokens // 4
    (row,) = scaling.folders(bundle, tmp_path, (2,), engine, 1)
    assert row["scans"] == 2 and row["slices"] == 2 * scaling.SHAPE[2]


@pytest.mark.slow
def test_masks_that_show_each_token_once_have_no_other_number_of_passes(tmp_path):
    from maescan.cli.demo import unpack

    images = np.random.default_rng(0).random((4, 64, 64), np.float32)
    rows = scaling.sizes(unpack(tmp_path / "bundle"), images, 0.01, EngineOptions(threads=1))
    assert [row["tokens"] for row in rows] == [16, 32, 64]
