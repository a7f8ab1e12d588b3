"""The graph of the whole path on a GPU that is not there: the host's answers, and what goes up and down."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.gpu_machine import install, same, slices_of
from helpers.marks import slow
from maescan.config import PRESETS
from maescan.method.score import score_slices

NAMED = [name for name in PRESETS if name not in ("tiny-fg", "tiny+")]
FITS = ["small", "tiny-fg", "tiny+", *slow("small-fg", "complementary", "judge", *NAMED)]
"""Every preset that there is, with token sets smaller than the grid where it has sets."""


@pytest.mark.slow
@pytest.mark.parametrize("name", FITS)
def test_a_place_gives_the_graphs_own_answers(engine_of, monkeypatch, tmp_path, name):
    cuda, trt = install(monkeypatch, tmp_path)
    made = engine_of(name, "fp16" if name == "small-fg" else "fp32", whole=True)
    monkeypatch.setattr("maescan.engines.tensorrt.BATCHES", (1, 2, 4))
    engine, host = made.load(), made.whole()
    for count, maps in ((3, True), (9, False)):
        images, ids = slices_of(made.preset, count), np.arange(5, 5 + count)
        same(
            score_slices(images, ids, engine, made.preset, maps=maps),
            score_slices(images, ids, host, made.preset, maps=maps),
        )
    assert trt.builds == 1 and engine.path == ["scores"]
    assert (len({shape.tokens for shape, _ in engine.places}) > 1) == (made.preset.tokens.method != "all")
    engine.close()
    assert cuda.left() == (0, 0, 0, False)


@pytest.mark.parametrize("name", FITS)
def test_the_graph_is_the_cpus_path(engine_of, name):
    made = engine_of(name, whole=True)
    images, ids = slices_of(made.preset, 5), np.arange(3, 8)
    found = score_slices(images, ids, made.whole(), made.preset, maps=True)
    for field, value in vars(score_slices(images, ids, made.host(), made.preset, maps=True)).items():
        np.testing.assert_allclose(getattr(found, field), value, rtol=2e-6, atol=2e-6, err_msg=field)


@pytest.mark.parametrize("name", slow("brats", "brats-fg"))
def test_ids_and_slices_of_16_bits_go_up_and_scores_come_down(engine_of, monkeypatch, tmp_path, name):
    cuda, _ = install(monkeypatch, tmp_path)
    made = engine_of(name, "fp16", whole=True)
    engine = made.load()
    images, ids = np.repeat(slices_of(made.preset, 3)[-1:], 32, axis=0), np.arange(32)
    for maps in (False, True):
        score_slices(images, ids, engine, made.preset, maps=maps)
        cuda.up = cuda.down = cuda.launches = cuda.calls = cuda.kernels.called = 0
        score_slices(images, ids, engine, made.preset, maps=maps)
        tokens = 0 if name == "brats" else made.preset.model.tokens
        assert cuda.up == 32 * (224 * 224 * 2 + 8 + tokens * 4)
        assert cuda.down == 32 * (12 + (2 * 224 * 224 * 4 if maps else 0))
        assert cuda.launches == 1 and cuda.calls == 1 + 1 + 1 and cuda.kernels.called == 0
    engine.close()


def test_a_network_alone_is_loaded_when_it_is_asked_for(engine_of, monkeypatch, tmp_path):
    _, trt = install(monkeypatch, tmp_path)
    made = engine_of("small", whole=True)
    engine, host = made.load(), made.host()
    rng, grid = np.random.default_rng(0), np.tile(np.arange(16, dtype=np.int32), (8, 1))
    restore = np.argsort(rng.random((8, 16)), axis=1).astype(np.int32)
    keep = np.argsort(restore, axis=1)[:, :4].astype(np.int32)
    given = rng.random((8, 4, 64), np.float32), grid, keep, restore
    found, hidden = engine.reconstruct(*given), restore >= 4
    assert np.array_equal(found, host.reconstruct(*given)) and not found[~hidden].any() and found[hidden].all()
    assert trt.builds == 2
    engine.close()


def test_networks_take_turns_where_the_whole_path_cannot_be_built(engine_of, monkeypatch, tmp_path, caplog):
    """Not another device, and the same answers: a warning says what became of the graph."""
    _, trt = install(monkeypatch, tmp_path)
    made = engine_of("small", whole=True)
    folder = tmp_path / "engine"
    folder.mkdir()
    for file in made.folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    build = trt.Builder

    def refusing(log):
        builder = build(log)
        real = builder.build_serialized_network
        builder.build_serialized_network = lambda network, config: (
            None if network.num_inputs == 5 else real(network, config)
        )
        return builder

    monkeypatch.setattr(trt, "Builder", refusing, raising=False)
    engine = made.load()
    images = slices_of(made.preset, 5)
    same(
        score_slices(images, range(5), engine, made.preset), score_slices(images, range(5), made.host(), made.preset)
    )
    assert engine.path == ["mae", "classifier"] and "cannot build scores" in caplog.text
    engine.close()
