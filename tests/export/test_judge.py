"""A judge in a bundle: exported to every target that runs here, scoring as the reference does, and said to fail where
its training found so."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from helpers.bundles import a_run, checkpoints
from helpers.training import SMALL
from maescan import engines, export
from maescan.config import PRESETS
from maescan.engines.bundle import Bundle, cautions_at
from maescan.engines.eager import TorchEngine
from maescan.errors import DataError, MaescanError
from maescan.export.checkpoint import import_checkpoint
from maescan.files import write_json
from maescan.method.score import score_slices
from maescan.models import Judge
from maescan.models.weights import save_weights

pytestmark = pytest.mark.slow

PRESET = SMALL.replace(tokens__buckets=(16, 32))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with a judge of random weights whose scores spread."""
    folder = a_run(tmp_path_factory.mktemp("judge"), PRESET.replace(measure="classifier"))
    torch.manual_seed(1)
    judge = Judge(PRESET.model, PRESET.judge)
    torch.nn.init.normal_(judge.head.weight, std=0.5)
    save_weights(folder / "judge.safetensors", judge)
    write_json(folder / "preset.json", PRESET.to_dict())
    report = json.loads((folder / "run.json").read_text())
    write_json(folder / "run.json", report | {"warnings": ["no better than a coin on lesions of these kinds: flat"]})
    return folder


@pytest.fixture(scope="module")
def bundle(run):
    return Bundle.load(
        export.export(run, run.parent / "bundle", to=("openvino", "torchscript", "onnx"), precision=("fp32", "int8"))
    )


@pytest.mark.parametrize("name", ["openvino-fp32", "openvino-int8", "torchscript-fp32", "onnx-fp32"])
def test_every_target_scores_as_the_reference(run, bundle, name):
    target, _, precision = name.rpartition("-")
    golden = load_file(run / "golden.safetensors")
    engine = engines.load(bundle, device="cpu", precision=precision, target=target, trust=True)
    try:
        ours = score_slices(golden["images"], golden["slice_ids"], engine, PRESET, maps=True)
    finally:
        engine.close()
    reference = score_slices(golden["images"], golden["slice_ids"], TorchEngine(run, PRESET), PRESET, maps=True)
    atol = 0.1 if precision == "int8" else 1e-3
    np.testing.assert_allclose(ours.score, reference.score, atol=atol)
    assert reference.difference.max() > 0 and np.ptp(reference.score) > 0
    np.testing.assert_allclose(ours.difference, reference.difference, atol=2 * atol)


def test_int8_is_the_maes_alone(bundle):
    """A judge in 8 bits was no faster, and a real one's export was refused for its drift."""
    folder = bundle.engine_folder("openvino-int8")
    quantised = {name: "FakeQuantize" in (folder / f"{name}.xml").read_text() for name in ("mae", "classifier")}
    assert quantised == {"mae": True, "classifier": False}


def test_nothing_is_built_before_a_later_engine_is_refused(bundle, monkeypatch):
    monkeypatch.setattr("maescan.export.build", lambda *_: pytest.fail("built"))
    for later, precision, reason in (
        (["tensorrt-rtx"], ["fp8"], "fp8 is for a classifier's linear maps"),
        (["torch-tensorrt"], ["fp16"], "runs a judge in one graph"),
        ([], ["int8"], "there are no training slices to quantise with"),
    ):
        with pytest.raises(MaescanError, match=reason):
            export.add_engine(bundle.path, ["openvino", *later], ["bf16", *precision])


def test_a_bundle_carries_the_judge_alone_and_what_its_training_found(bundle):
    assert (bundle.path / "judge.safetensors").exists() and not (bundle.path / "classifier.safetensors").exists()
    assert cautions_at(bundle.path) == ["this model is no better than a coin on lesions of these kinds: flat"]
    assert cautions_at(bundle.path / "engines") == []


def test_a_judge_is_not_among_public_weights(tmp_path):
    with pytest.raises(DataError, match="scores with a judge, which no public weights hold"):
        import_checkpoint(*checkpoints(tmp_path, PRESET), PRESET, tmp_path / "run")


def test_random_weights_serve_to_measure_a_judge(tmp_path):
    from maescan.benchmark.weights import random_bundle

    images = np.random.default_rng(0).random((8, 32, 32), np.float32)
    made = random_bundle(PRESET, tmp_path, ("fp32",), images)
    assert Bundle.load(made).preset.measure == "judge" and PRESETS["brats+"].network == "judge"
