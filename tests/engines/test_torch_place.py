"""Places of torch on a real GPU: captured, they answer as step by step."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.gpu_machine import CASES, same, slices_of
from helpers.torchscript_files import VALUES, networks_in
from maescan.engines.torchscript import load_torchscript
from maescan.method.score import score_slices
from maescan.method.tokens import token_sets

pytestmark = pytest.mark.needs_cuda


@pytest.mark.parametrize(
    ("name", "before", "precision"),
    [("small", False, "fp32"), ("small-fg", False, "fp16"), ("small", True, "bf16"), ("no paste", True, "fp16"),
     ("judge", False, "fp16"), ("hull", False, "bf16"), ("complementary", False, "fp16"), ("l2", False, "fp16"),
     ("image", False, "fp16")],
)  # fmt: skip
def test_a_captured_place_answers_as_one_step_by_step(tmp_path, monkeypatch, name, before, precision):
    """before: with files as they were once exported."""
    preset, found = CASES[name], []
    networks_in(tmp_path, preset, precision, before=before)
    images, ids, values = slices_of(preset, 75), np.arange(75), VALUES | {"precision": precision}
    for graphs in (True, False):
        monkeypatch.setattr("maescan.engines.place.GRAPHS", graphs)
        engine = load_torchscript(tmp_path, values, device="cuda", threads=None, preset=preset)
        found += [score_slices(images, ids, engine, preset, maps=True) for _ in range(2)]
        assert {place.graph is not None for place in engine.places.values()} == {graphs}
        engine.close()
    for other in found[1:]:
        same(found[0], other)


def test_what_cannot_be_captured_runs_step_by_step_and_says_so(tmp_path, caplog):
    preset = CASES["small"]
    folder = networks_in(tmp_path, preset, "fp32")
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


def test_a_capture_that_fails_spoils_no_other(tmp_path):
    """Not those made before, nor those to come on the same stream."""
    preset = CASES["small"]
    engine = load_torchscript(
        networks_in(tmp_path, preset, "fp32"), VALUES, device="cuda", threads=None, preset=preset
    )
    images, ids = slices_of(preset, 9), np.arange(9)
    wanted = score_slices(images, ids, engine, preset), score_slices(images[:1], ids[:1], engine, preset)
    first, network = dict(engine.places), engine.networks["classifier"]
    engine.networks["classifier"] = lambda tokens, ids: network(tokens * float((ids.max() >= 0).item()), ids)
    score_slices(images[:1], ids[:1], engine, preset, maps=True)
    engine.networks["classifier"] = network
    same(score_slices(images, ids, engine, preset), wanted[0])
    found = [score_slices(images[:count], ids[:count], engine, preset, maps=True) for count in (9, 9, 1)]
    same(found[0], found[1])
    graphs = {key: place.graph for key, place in engine.places.items() if key not in first}
    assert sum(graph is None for graph in graphs.values()) == 1 and len(graphs) >= 2
    same(score_slices(images[:1], ids[:1], engine, preset), wanted[1])
    engine.close()


def test_closing_gives_the_memory_back(tmp_path):
    torch = pytest.importorskip("torch")
    preset = CASES["small"]
    engine = load_torchscript(
        networks_in(tmp_path, preset, "fp32"), VALUES, device="cuda", threads=None, preset=preset
    )
    engine.networks["more"] = torch.zeros(2**26, device="cuda")
    score_slices(slices_of(preset, 9), np.arange(9), engine, preset)
    free = torch.cuda.mem_get_info()[0]
    engine.close()
    assert torch.cuda.mem_get_info()[0] - free >= 2**27  # of the 2**28 bytes: libraries keep some of their own


@pytest.mark.parametrize("name", ["small", "small-fg", "ssim", "hull"])
def test_raw_voxels_answer_as_the_slices_made_of_them(tmp_path, name):
    pytest.importorskip("nibabel", reason="needs what reads scans")
    from helpers import raw_scans

    preset = CASES[name]
    folder, raw = networks_in(tmp_path, preset, "fp32"), raw_scans.raw_of(preset)
    engine = load_torchscript(folder, VALUES, device="cuda", threads=None, preset=preset)
    host, ids = raw.extracted(), np.arange(len(raw))
    sets = token_sets(host, preset)
    for _ in range(2):
        same(score_slices(raw, ids, engine, preset, maps=True, sets=sets),
             score_slices(host, ids, engine, preset, maps=True, sets=sets))  # fmt: skip
    engine.close()
