"""Plans are built where they run, for this card and this TensorRT, and kept."""

from __future__ import annotations

import shutil
import weakref
from dataclasses import replace

import numpy as np
import pytest

from helpers.bundles import SMALL
from helpers.gpu_machine import install, slices_of
from maescan.engines import plans
from maescan.export.onnx import models
from maescan.machine import Gpu
from maescan.method.score import score_slices
from maescan.models import Classifier


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


def test_kernels_of_another_driver_are_replaced(engine_of, monkeypatch, tmp_path):
    """Its cache is refused, and would stay as long as the new one is not longer."""
    _, trt = install(monkeypatch, tmp_path)
    made, folder = engine_of("small"), tmp_path / "maescan/tensorrt-rtx"

    def score():
        engine = made.load()
        score_slices(slices_of(made.preset, 1), [0], engine, made.preset)
        engine.close()
        return {file: file.read_bytes() for file in folder.iterdir()}

    wanted = score()
    for file in wanted:
        file.write_bytes(b"of another driver" * 100)
    trt.other_driver = True
    assert score() == wanted
    trt.mute = True  # as NVIDIA's sample allows for
    assert score() == wanted


def test_other_weights_are_another_plan(engine_of, monkeypatch, tmp_path):
    """They lie beside the graph, which is the same for every model of a preset."""
    _, trt = install(monkeypatch, tmp_path)
    made = engine_of("small")
    folder = tmp_path / "engine"
    shutil.copytree(made.folder, folder)
    for other in (0, 1):
        weights = bytearray((folder / plans.WEIGHTS).read_bytes())
        weights[0] ^= other
        (folder / plans.WEIGHTS).write_bytes(weights)
        replace(made, folder=folder).load().close()
    assert trt.builds == 4


def test_kernels_are_kept_by_driver_release_and_card(engine_of, monkeypatch, tmp_path):
    for change in ({}, {"driver_version": lambda: 13010}, {"driver_version": lambda: 13020}):
        install(monkeypatch, tmp_path)
        for name, value in change.items():
            monkeypatch.setattr(f"maescan.engines.tensorrt.{name}", value)
        made = engine_of("small")
        engine = made.load()
        score_slices(slices_of(made.preset, 1), [0], engine, made.preset)
        engine.close()
    assert len(list((tmp_path / "maescan/tensorrt-rtx").iterdir())) == 3 * 2


def test_a_cache_that_can_only_be_read_is_read(engine_of, monkeypatch, tmp_path):
    _, trt = install(monkeypatch, tmp_path)
    made = engine_of("small")
    made.load().close()
    monkeypatch.setattr("pathlib.Path.touch", lambda self: (_ for _ in ()).throw(PermissionError(13, "no")))
    made.load().close()
    assert trt.builds == 2


def test_tensorrt_builds_for_the_card_and_rtx_for_its_capability(engine_of, monkeypatch, tmp_path):
    _, trt = install(monkeypatch, tmp_path)
    cards = [Gpu(0, name, (9, 0), 1 << 30) for name in ("NVIDIA H100", "NVIDIA H200", "NVIDIA H100")]
    monkeypatch.setattr(plans, "build", lambda trt, file, preset, capability: bytes(len(built.append(1) or built)))
    for rtx, wanted in ((True, 1), (False, 2)):
        built: list[int] = []
        if not rtx:
            monkeypatch.delattr(trt, "ComputeCapability")
        for card in cards:
            plans.plan(trt, engine_of("small").folder / "mae.onnx", SMALL, card)
        assert len(built) == wanted


def test_a_plan_is_let_go_before_what_it_was_made_of(engine_of, monkeypatch, tmp_path):
    install(monkeypatch, tmp_path)
    engine = engine_of("small").load()
    network, gone = engine._networks["mae"], []
    for name, held in {
        "config": network.kernels.config,
        "engine": network.engine,
        "runtime": network.runtime,
    }.items():
        weakref.finalize(held, gone.append, name)
    del held
    network.close()
    assert gone == ["config", "engine", "runtime"]
    engine.close()


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "fused"), [("fp16", True), ("bf16", True), ("fp32", False)])
def test_attention_in_16_bits_is_fused_by_the_builder(tmp_path, precision, fused):
    """The working memory of a slice of 1,024 tokens is less than one block's scores, written out, would take."""
    trt = pytest.importorskip("tensorrt_rtx")
    preset = SMALL.replace(model__image_size=256, model__encoder_dim=256, model__encoder_depth=1)
    ((_, content),) = models(None, Classifier(preset.model).eval(), preset, precision, narrow=True)
    (tmp_path / "classifier.onnx").write_bytes(content)
    plans.build(trt, tmp_path / "classifier.onnx", preset, (8, 9))
    scores = preset.model.encoder_heads * (preset.model.tokens + 1) ** 2 * (4 if precision == "fp32" else 2)
    a_slice = plans.logger(trt)[1].scratch / plans.BATCHES[-1]
    assert a_slice > 0 and (a_slice < scores) == fused, (a_slice, scores)
