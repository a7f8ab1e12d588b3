"""ONNX files: checked by ONNX, any number of rows and tokens, the names that engines give their arguments by."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers.bundles import SMALL
from maescan.export.onnx import OPSET, build, models, traced
from maescan.models import Classifier, MaskedAutoencoder

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    return MaskedAutoencoder(SMALL.model).eval(), Classifier(SMALL.model).eval()


def test_files_are_checked_and_versions_told(pair, tmp_path):
    versions = build(tmp_path, *pair, SimpleNamespace(preset=SMALL), "fp32")
    assert versions == {"torch": torch.__version__, "onnx": onnx.__version__, "opset": str(OPSET)}
    model = onnx.load(tmp_path / "mae.onnx")
    assert [port.name for port in model.graph.input] == ["visible", "token_ids", "keep_ids", "restore_ids"]
    assert model.opset_import[0].version == OPSET and not list(tmp_path.glob("*.data"))


@pytest.mark.parametrize(("rows", "tokens"), [(1, 16), (5, 7), (3, 1)])
def test_rows_and_tokens_may_be_any_number(pair, rows, tokens):
    ((name, content),) = models(None, pair[1], SMALL, "fp32")
    patches = np.random.default_rng(0).random((rows, tokens, 64), np.float32)
    ids = np.tile(np.arange(tokens, dtype=np.int32), (rows, 1))
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        wanted = pair[1].score(torch.from_numpy(patches), torch.from_numpy(ids)).numpy()
    assert name == "classifier"
    assert np.allclose(session.run(None, {"patches": patches, "token_ids": ids})[0], wanted, atol=1e-5)


@pytest.mark.slow
def test_only_the_networks_that_are_there(pair):
    assert [name for name, _ in models(*pair, SMALL, "fp32")] == ["mae", "classifier"]
    assert [name for name, _ in models(pair[0], None, SMALL, "fp32")] == ["mae"]


@pytest.mark.parametrize(("narrow", "kind"), [(False, 1), (True, 10)])  # FLOAT, FLOAT16
def test_narrow_is_the_mae_in_16_bits_and_told_what_is_hidden(pair, narrow, kind):
    contents = dict(models(*pair, SMALL, "fp16", narrow=narrow))
    mae, classifier = (onnx.load_from_string(contents[name]).graph for name in ("mae", "classifier"))
    assert mae.input[0].type.tensor_type.elem_type == mae.output[0].type.tensor_type.elem_type == kind
    assert [port.name for port in mae.input][3:] == (["hidden_ids"] if narrow else ["restore_ids"])
    assert classifier.input[0].type.tensor_type.elem_type == 1


def test_any_module_can_be_traced():
    class Doubled(torch.nn.Module):
        def forward(self, a):
            return 2 * a

    content = traced(Doubled(), {"a": torch.ones(2, 3)}, ("twice",), OPSET)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(["twice"], {"a": np.ones((4, 1), np.float32)})
    assert found.tolist() == [[2.0]] * 4
