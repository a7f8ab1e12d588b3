"""fp8 and nvfp4: what TensorRT-RTX builds of them, and what it costs the classifier."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from helpers.bundles import SMALL
from maescan.engines import plans
from maescan.errors import EngineError
from maescan.export.low_precision import KEPT, OPSETS, quantised
from maescan.export.onnx import models
from maescan.models import Classifier

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def given():
    rng = np.random.default_rng(0)
    grid = np.tile(np.arange(16, dtype=np.int32), (1, 1))
    return [{"patches": rng.random((1, 16, 64), np.float32), "token_ids": grid} for _ in range(4)]


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    made = Classifier(SMALL.model).eval()
    torch.nn.init.normal_(made.head.weight, std=0.5)
    return made


def network(classifier, precision):
    ((_, content),) = models(None, classifier, SMALL, "fp16", narrow=True, opset=min(OPSETS[precision], 20))
    return content


def answers(content, given):
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, one)[0] for one in given])


def test_fp8_is_near_fp16_and_keeps_what_speaks_to_the_score(classifier, given):
    content = network(classifier, "fp8")
    low = quantised(content, "fp8", given)
    model = onnx.load_from_string(low)
    kept = [n.name for n in model.graph.node if n.op_type == "MatMul" and KEPT.search(n.name)]
    assert kept and sum(node.op_type == "QuantizeLinear" for node in model.graph.node) == 7
    difference = np.abs(answers(low, given) - answers(content, given))
    assert 1e-6 < difference.max() < 0.05


@pytest.mark.parametrize(
    ("precision", "cards", "refused"), [("fp8", [(8, 9), (12, 0)], (8, 6)), ("nvfp4", [(12, 0)], (8, 9))]
)
def test_tensorrt_rtx_builds_it_for_the_cards_that_have_it(classifier, given, precision, cards, refused, tmp_path):
    trt = pytest.importorskip("tensorrt_rtx")
    file = tmp_path / "classifier.onnx"
    file.write_bytes(quantised(network(classifier, precision), precision, given))
    for card in cards:
        assert len(plans.build(trt, file, SMALL, card)) > 10_000
    with pytest.raises(EngineError, match="cannot build classifier"):
        plans.build(trt, file, SMALL, refused)
