"""Every rival learns, tells a plain lesion, and gives the same answers twice and in any batch."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.marks import slow
from maescan.errors import ConfigError
from maescan.train.rivals import RIVALS, Size, rival

SMALL = Size(width=8, steps=40, batch=8)
STEPS = {"DRAEM": 300}
"""Of those that do not light up a plain spot after SMALL's."""
FAST = ("denoising autoencoder", "PatchCore, random features")
IMAGENET = [name for name in RIVALS if name.endswith("ImageNet features")]  # minutes each
SOME = [*FAST, *slow(*(name for name in RIVALS if name not in (*FAST, *IMAGENET)))]


@pytest.fixture(scope="module")
def fitted(healthy):
    known = {}

    def get(name):
        if name not in known:
            known[name] = rival(name, replace(SMALL, steps=STEPS.get(name, SMALL.steps)))
            known[name].fit(healthy)
        return known[name]

    return get


@pytest.mark.slow
@pytest.mark.parametrize("name", SOME)
def test_a_lesion_raises_the_score_and_lights_the_map(fitted, pairs, name):
    plain, ill, where = pairs
    before, cold = fitted(name).score(plain)
    after, maps = fitted(name).score(ill)
    assert before.shape == (24,) and maps.shape == plain.shape and before.dtype == maps.dtype == np.float32
    assert (after > before).mean() > 0.8
    lit = maps - cold
    assert lit[where].mean() > lit[~where].mean()


@pytest.mark.parametrize("name", SOME)
def test_a_slice_scores_alike_in_any_batch(fitted, pairs, name):
    whole, _ = fitted(name).score(pairs[0])
    assert np.allclose(fitted(name).score(pairs[0][5:7])[0], whole[5:7], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["denoising autoencoder", *slow("f-AnoGAN", "AST, random features")])
def test_a_seed_gives_the_same_rival(healthy, pairs, name):
    few = Size(width=8, steps=6, batch=8)
    scores = []
    for _ in range(2):
        made = rival(name, few)
        made.fit(healthy)
        scores.append(made.score(pairs[1])[0])
    assert np.allclose(*scores, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGENET)
def test_imagenets_features_have_places_for_every_pixel(healthy, pairs, name):
    made = rival(name, Size(width=8, steps=2, batch=2))
    made.fit(healthy[:8])
    scores, maps = made.score(pairs[0][:2])
    assert scores.shape == (2,) and maps.shape == (2, 32, 32) and np.isfinite(maps).all() and maps.std() > 0


def test_another_name_is_refused():
    with pytest.raises(ConfigError, match="unknown rival 'x'"):
        rival("x", SMALL)
