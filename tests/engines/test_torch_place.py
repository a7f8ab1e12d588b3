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
     ("judge", False, "fp16")],
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


@pytest.mark.parametrize("name", ["small", "small-fg", "ssim"])
def test_raw_voxels_answer_as_the_slices_made_of_them(tmp_path, name):
    preset, raw_scans = CASES[name], pytest.importorskip("helpers.raw_scans", reason="needs what reads scans")
    folder, raw = networks_in(tmp_path, preset, "fp32"), raw_scans.raw_of(preset)
    engine = load_torchscript(folder, VALUES, device="cuda", threads=None, preset=preset)
    host, ids = raw.extracted(), np.arange(len(raw))
    sets = token_sets(host, preset)
    for _ in range(2):
        same(score_slices(raw, ids, engine, preset, maps=True, sets=sets),
             score_slices(host, ids, engine, preset, maps=True, sets=sets))  # fmt: skip
    engine.close()
