"""TorchScript's places, tried on the CPU without a graph; test_torch_place.py captures them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from helpers.bundles import SMALL
from helpers.gpu_machine import CASES, slices_of
from helpers.torchscript_files import VALUES, networks_in
from maescan.engines import torchscript
from maescan.engines.torchscript import GraphEngine, load_torchscript
from maescan.method.engine import DeviceEngine
from maescan.method.score import score_slices


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return networks_in(tmp_path_factory.mktemp("torchscript"), SMALL, "fp32")


@pytest.mark.parametrize(
    ("name", "precision"),
    [("small", "fp32"), ("small", "fp16"), ("small-fg", "bf16"), ("l2", "fp32"), ("reconstruction", "fp32"),
     ("ssim", "fp16"), ("complementary", "fp32"), ("judge", "fp32"), ("hull", "fp32"), ("image", "fp32")],
)  # fmt: skip
def test_a_place_of_torch_answers_as_the_host(folder, tmp_path, monkeypatch, name, precision):
    """The networks are fp32's; in 16 bits slices go up in float16, whose values these are."""
    monkeypatch.setattr(torchscript, "SIZES", (1, 2, 4))
    monkeypatch.setattr(torchscript, "PLACES", 3)
    preset = CASES[name]
    folder = networks_in(tmp_path, preset, "fp32") if preset.network == "judge" else folder
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


@pytest.mark.parametrize(
    ("changes", "dtype"),
    [({}, "float16"), ({"intensity__method": "standard"}, "float32"), ({"intensity__clip": False}, "float32")],
)
def test_intensities_without_a_range_go_up_in_float32(folder, changes, dtype):
    """They may be beyond float16's largest number."""
    preset = SMALL.replace(**changes)
    engine = GraphEngine(folder, VALUES | {"precision": "fp16"}, device="cpu", threads=1, preset=preset)
    score_slices(slices_of(preset, 2), np.arange(2), engine, preset)
    assert {str(place._up["images"].dtype) for place in engine.places.values()} == {f"torch.{dtype}"}
    engine.close()


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
    lean, images = name != "no paste", slices_of(preset, 9)
    for new in (False, True):
        folder = networks_in(tmp_path / str(new), preset, precision, before=not new)
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
    torchscript.settle(network)
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
