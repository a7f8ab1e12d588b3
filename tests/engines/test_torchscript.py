"""TorchScript's places, tried on the CPU without a graph; tests marked needs_cuda capture."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from helpers.bundles import SMALL
from helpers.gpu_machine import CASES, same, slices_of
from maescan.engines import torchscript
from maescan.engines.torchscript import GraphEngine, load_torchscript
from maescan.export.mixed import halved
from maescan.export.networks import networks
from maescan.export.torchscript import build
from maescan.method.engine import DeviceEngine
from maescan.method.score import score_slices
from maescan.method.tokens import token_sets
from maescan.models import Classifier, MaskedAutoencoder

VALUES = {"target": "torchscript", "precision": "fp32", "versions": {}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("torchscript")
    build(path, MaskedAutoencoder(SMALL.model).eval(), Classifier(SMALL.model).eval(), bundle(SMALL), "fp32")
    return path


def bundle(preset):
    class OfPreset:
        def __init__(self):
            self.preset = preset

    return OfPreset()


@pytest.mark.parametrize(
    ("name", "precision"),
    [("small", "fp32"), ("small", "fp16"), ("small-fg", "bf16"), ("l2", "fp32"), ("reconstruction", "fp32"),
     ("ssim", "fp16")],
)  # fmt: skip
def test_a_place_of_torch_answers_as_the_host(folder, monkeypatch, name, precision):
    """The networks are fp32's; in 16 bits slices go up in float16, whose values these are."""
    monkeypatch.setattr(torchscript, "SIZES", (1, 2, 4))
    monkeypatch.setattr(torchscript, "PLACES", 3)
    preset = CASES[name]
    host = load_torchscript(folder, VALUES, device="cpu", threads=1, preset=preset)
    places = GraphEngine(folder, VALUES | {"precision": precision}, device="cpu", threads=1, preset=preset)
    assert isinstance(places, DeviceEngine) and not isinstance(host, DeviceEngine)
    for count, maps in ((1, False), (9, True), (6, False)):
        images, ids = slices_of(preset, count), np.arange(count) + 3
        found = score_slices(images, ids, places, preset, maps=maps)
        wanted = score_slices(images, ids, host, preset, maps=maps)
        for field, value in vars(wanted).items():
            assert value is None or np.allclose(getattr(found, field), value, atol=1e-6), field
        assert len(places.places) <= 3
        up = {"fp32": 4}.get(precision, 2) * preset.model.image_size**2
        assert {held._up["images"][0].nbytes for held in places.places.values()} <= {up}
    assert places.places
    places.close()


def build_as_before(folder, mae, classifier, preset, precision):
    """Files without PORTS: the MAE takes float32 and sorts restore_ids, and answers for all tokens."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        for name, module, example in networks(mae, classifier, preset):
            traced = torch.jit.trace(halved(module, precision), tuple(example.values()))
            torch.jit.save(torch.jit.freeze(traced), folder / f"{name}.pt")


SLOWER = [("small", "fp32"), ("small-fg", "bf16"), ("small-fg", "fp16"), ("no paste", "bf16")]


def sorts(module):
    return any("sort" in node.kind() for node in module.inlined_graph.nodes())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "precision"),
    [("small", "fp16"), *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOWER)],
)
def test_hidden_tokens_alone_come_from_the_mae_in_its_own_type(tmp_path, monkeypatch, name, precision):
    """And scores are those of the files of before, which still load."""
    monkeypatch.setattr(torchscript, "SIZES", (1, 2, 4))
    preset, results = CASES[name], []
    torch.manual_seed(0)
    mae, classifier = MaskedAutoencoder(preset.model).eval(), Classifier(preset.model).eval()
    torch.nn.init.normal_(classifier.head.weight, std=0.5)
    lean, images = name != "no paste", slices_of(preset, 9)
    for new in (False, True):
        folder = tmp_path / str(new)
        folder.mkdir()
        if new:
            build(folder, mae, classifier, bundle(preset), precision)
        else:
            build_as_before(folder, mae, classifier, preset, precision)
        values = VALUES | {"precision": precision}
        host = load_torchscript(folder, values, device="cpu", threads=1, preset=preset)
        places = GraphEngine(folder, values, device="cpu", threads=1, preset=preset)
        network, answers = places.networks["mae"], []
        assert sorts(network) == (lean and not new)
        places.networks["mae"] = lambda *given, network=network, answers=answers: (
            answers.append((given[0].dtype, network(*given))) or answers[-1][1]
        )
        results += [score_slices(images, np.arange(9), engine, preset, maps=True) for engine in (host, places)]
        wide = (
            getattr(torch, {"fp16": "float16", "bf16": "bfloat16"}[precision])
            if new and precision != "fp32"
            else None
        )
        tokens = {answer.shape[1] for _, answer in answers}
        assert {d for seen, answer in answers for d in (seen, answer.dtype)} == {wide or torch.float32}
        assert max(tokens) == preset.model.tokens * (3 if new and lean else 4) // 4
        places.close()
    first, *others = results
    for found in others:
        for field, value in vars(first).items():
            assert np.allclose(getattr(found, field), value, atol=2e-6), field


@pytest.mark.parametrize(("measure", "kind"), [("judge", "TorchScriptEngine"), ("classifier", "GraphEngine")])
def test_a_judge_keeps_its_kernels_on_the_host(monkeypatch, measure, kind):
    class OfMeasure:
        def __init__(self):
            self.measure = measure

    for name in ("TorchScriptEngine", "GraphEngine"):
        monkeypatch.setattr(torchscript, name, lambda *_, name=name, **given: (name, given["device"]))
    assert load_torchscript(None, VALUES, device="cuda", threads=1, preset=OfMeasure()) == (kind, "cuda")


def test_no_size_is_reckoned_with_a_number_that_loading_would_put_on_the_gpu(folder):
    """There each is waited for, which no capture allows."""
    for file in (folder / "mae.pt", folder / "classifier.pt"):
        assert not numbers(loaded(file))


class Halves(torch.nn.Module):
    """Reckons with a size, as files of before did."""

    def forward(self, x):
        return x[:, : x.shape[1] // 2] * 2


@pytest.mark.needs_cuda
def test_files_of_before_can_be_captured(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.freeze(torch.jit.trace(Halves().eval(), torch.zeros(2, 4)))
        torch.jit.save(traced, tmp_path / "net.pt")
    network = loaded(tmp_path / "net.pt", "cuda")
    assert {value.device.type for value in numbers(network)} == {"cuda"}
    torchscript.keep_sizes_on_host(network)
    x, side, graph = torch.rand(3, 8, device="cuda"), torch.cuda.Stream(), torch.cuda.CUDAGraph()
    with torch.cuda.stream(side):
        wanted = [network(x) for _ in range(3)][-1]
    with torch.cuda.graph(graph, stream=side):
        found = network(x)
    graph.replay()
    assert torch.equal(found, wanted)


def loaded(file, where="cpu"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load(file, map_location=where)


def numbers(network):
    values = [node.output().toIValue() for node in network.graph.findAllNodes("prim::Constant")]
    return [value for value in values if getattr(value, "ndim", None) == 0 and not value.is_floating_point()]


@pytest.mark.needs_cuda
@pytest.mark.parametrize(
    ("name", "files", "precision"),
    [("small", build, "fp32"), ("small-fg", build, "fp16"), ("small", None, "bf16"), ("no paste", None, "fp16")],
)
def test_a_captured_place_answers_as_one_step_by_step(tmp_path, monkeypatch, name, files, precision):
    """files None: as they were exported before."""
    preset, found = CASES[name], []
    torch.manual_seed(0)
    made = MaskedAutoencoder(preset.model).eval(), Classifier(preset.model).eval()
    if files:
        build(tmp_path, *made, bundle(preset), precision)
    else:
        build_as_before(tmp_path, *made, preset, precision)
    images, ids, values = slices_of(preset, 75), np.arange(75), VALUES | {"precision": precision}
    for graphs in (True, False):
        monkeypatch.setattr("maescan.engines.place.GRAPHS", graphs)
        engine = load_torchscript(tmp_path, values, device="cuda", threads=None, preset=preset)
        found += [score_slices(images, ids, engine, preset, maps=True) for _ in range(2)]
        assert {place.graph is not None for place in engine.places.values()} == {graphs}
        engine.close()
    for other in found[1:]:
        same(found[0], other)


@pytest.mark.needs_cuda
def test_what_cannot_be_captured_runs_step_by_step_and_says_so(folder, caplog):
    preset = CASES["small"]
    images, ids = slices_of(preset, 9), np.arange(9)
    engine = load_torchscript(folder, VALUES, device="cuda", threads=None, preset=preset)
    wanted = score_slices(images, ids, engine, preset)
    engine.close()
    engine = load_torchscript(folder, VALUES, device="cuda", threads=None, preset=preset)
    network = engine.networks["classifier"]
    engine.networks["classifier"] = lambda tokens, ids: network(tokens * float((ids.max() >= 0).item()), ids)
    same(score_slices(images, ids, engine, preset), wanted)
    assert "one step at a time" in caplog.text
    assert {place.graph for place in engine.places.values()} == {None}
    engine.close()


@pytest.mark.needs_cuda
@pytest.mark.parametrize("name", ["small", "small-fg", "ssim"])
def test_raw_voxels_answer_as_the_slices_made_of_them(folder, name):
    preset, raw_scans = CASES[name], pytest.importorskip("helpers.raw_scans", reason="needs what reads scans")
    raw = raw_scans.raw_of(preset)
    engine = load_torchscript(folder, VALUES, device="cuda", threads=None, preset=preset)
    host, ids = raw.extracted(), np.arange(len(raw))
    sets = token_sets(host, preset)
    for _ in range(2):
        same(score_slices(raw, ids, engine, preset, maps=True, sets=sets),
             score_slices(host, ids, engine, preset, maps=True, sets=sets))  # fmt: skip
    engine.close()
