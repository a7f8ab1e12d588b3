"""Plans are built where they run, for this card and this TensorRT, and kept."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.gpu_machine import install, slices_of
from maescan.method.score import score_slices


def test_a_start_again_builds_nothing_and_the_kernel_cache_grows(engine_of, monkeypatch, tmp_path):
    _, trt = install(monkeypatch, tmp_path)
    made, sizes = engine_of("small"), []
    for count in (1, 8, 32):
        engine = made.load()
        score_slices(slices_of(made.preset, count), np.arange(count), engine, made.preset)
        engine.close()
        sizes.append(sum(file.stat().st_size for file in (tmp_path / "maescan/tensorrt-rtx").iterdir()))
    assert trt.builds == 2 and sizes == sorted(set(sizes))


def test_a_spoilt_cache_is_built_anew(engine_of, monkeypatch, tmp_path):
    _, trt = install(monkeypatch, tmp_path)
    made = engine_of("small")
    made.load().close()
    for file in (tmp_path / "maescan/plans").iterdir():
        file.write_bytes(file.read_bytes()[:7])
    made.load().close()
    assert trt.builds == 4


@pytest.mark.parametrize("change", ["version", "capability"])
def test_another_release_or_card_builds_its_own(engine_of, monkeypatch, tmp_path, change):
    _, trt = install(monkeypatch, tmp_path)
    made = engine_of("small")
    made.load().close()
    _, trt = install(monkeypatch, tmp_path, capability=(12, 0) if change == "capability" else (8, 9))
    trt.__version__ = "1.8.0" if change == "version" else trt.__version__
    made.load().close()
    assert trt.builds == 2
