"""What TensorRT refuses is said in its words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.bundles import SMALL
from helpers.gpu_machine import install, slices_of
from helpers.trt_standin import Context
from helpers.trt_standin import EngineInvalidityDiagnostics as Faults
from maescan.errors import EngineError
from maescan.method.score import score_slices


def test_a_refused_shape_is_said_with_tensorrts_words(engine_of, monkeypatch, tmp_path):
    cuda, trt = install(monkeypatch, tmp_path)
    engine = engine_of("small").load()
    for made in (0, 2):  # slots: their scratch memory is asked for with shapes, too
        trt.refuse = "keep_ids"
        with pytest.raises(EngineError, match=r"keep_ids cannot be .*: keep_ids \[\d+, 4\] is outside the profile"):
            score_slices(slices_of(SMALL, 3), range(3), engine, SMALL)
        assert len(engine._slots) == made
        trt.refuse = None
        score_slices(slices_of(SMALL, 33), range(33), engine, SMALL)
    score_slices(slices_of(SMALL, 1), [0], engine, SMALL)
    engine.close()
    assert cuda.left() == (0, 0, 0, False)


@pytest.mark.parametrize(
    ("fault", "said", "remedy"),
    [(Faults.INSUFFICIENT_GPU_MEMORY, "insufficient gpu memory", "end other programs on the GPU"),
     (Faults.OLD_CUDA_DRIVER, "old cuda driver", "driver to 580 or newer")],
)  # fmt: skip
def test_what_the_machine_lacks_is_no_spoilt_plan(engine_of, monkeypatch, tmp_path, fault, said, remedy):
    """Another plan would lack it, too: none is built."""
    _, trt = install(monkeypatch, tmp_path)
    made = engine_of("small")
    made.load().close()
    built, trt.machine_lacks = trt.builds, fault
    with pytest.raises(EngineError, match=f"{said}, .*{remedy}"):
        made.load()
    assert trt.builds == built


def test_a_plan_takes_the_smallest_set_of_its_preset(engine_of, monkeypatch, tmp_path):
    install(monkeypatch, tmp_path)
    made = engine_of("small-fg")
    preset = made.preset.replace(tokens__buckets=(2, 8), tokens__margin=0, masks__ratio=0.5)
    engine, image = replace(made, preset=preset).load(), np.zeros((1, 32, 32), np.float32)
    image[:, 9:12, 9:12] = 1.0
    found, wanted = (score_slices(image, [0], each, preset) for each in (engine, made.host()))
    assert {shape.tokens for shape, _ in engine.places} == {2} and np.array_equal(found.score, wanted.score)
    engine.close()


def test_what_tensorrts_bindings_raise_is_an_engines_error(engine_of, monkeypatch, tmp_path):
    """Their infer_shapes does; a RuntimeError would pass by what finds out whether the GPU is lost."""
    cuda, _ = install(monkeypatch, tmp_path)

    def refuse(_):
        raise RuntimeError("broadcast dimensions must be conformable")

    engine = engine_of("small").load()
    with monkeypatch.context() as patch, pytest.raises(EngineError, match="fit together: broadcast"):
        patch.setattr(Context, "infer_shapes", refuse)
        score_slices(slices_of(SMALL, 1), [0], engine, SMALL)
    engine.close()
    assert cuda.left() == (0, 0, 0, False)
