"""What the judge sees of a reconstruction, and what its logits say of a slice."""

import numpy as np
import pytest

from maescan import kernels
from maescan.config import PRESETS
from maescan.method.judge import judge_features, slice_score, token_map
from maescan.method.masks import make_masks
from maescan.method.score import score_slices

TINY = PRESETS["tiny"]
PATCH, PIXELS, TOKENS = TINY.model.patch_size, TINY.model.patch_pixels, TINY.model.tokens
RNG = np.random.default_rng(0)
IMAGES = RNG.random((3, 64, 64), np.float32)


def features(preset=TINY, images=IMAGES, token_ids=None, predict=None):
    count = TOKENS if token_ids is None else token_ids.shape[1]
    keep_ids, restore_ids = make_masks(preset.masks, np.arange(len(images)), count)
    passes = preset.masks.passes
    predictions = np.random.default_rng(1).random((len(images) * passes, count, PIXELS), np.float32)
    if predict is not None:
        predictions[:] = predict
    made = judge_features(images, predictions, restore_ids, token_ids, keep=keep_ids.shape[1], patch=PATCH)
    return made, predictions.reshape(len(images), passes, count, PIXELS), restore_ids, keep_ids.shape[1]


def test_differences_and_spread_are_of_the_passes_that_hid_a_token():
    made, predictions, restore_ids, keep = features()
    assert made.shape == (3, TOKENS, TINY.model.judge_features) and made.dtype == np.float32
    pixels = kernels.patchify(IMAGES, None, patch=PATCH)
    hidden = (restore_ids >= keep).reshape(3, -1, TOKENS)
    for slice_, token in [(0, 0), (1, 17), (2, 63)]:
        seen = predictions[slice_, hidden[slice_, :, token], token]
        if not len(seen):
            continue
        mean = seen.mean(axis=0)
        np.testing.assert_allclose(made[slice_, token, :PIXELS], pixels[slice_, token] - mean, atol=1e-5)
        np.testing.assert_allclose(made[slice_, token, PIXELS : 2 * PIXELS], seen.std(axis=0), atol=1e-5)
        assert made[slice_, token, -3] == pytest.approx(mean.mean(), abs=1e-5)
        assert np.array_equal(made[slice_, token, 2 * PIXELS : 3 * PIXELS], pixels[slice_, token])


def test_a_token_that_no_pass_hid_has_no_difference():
    made, _, restore_ids, keep = features(TINY.replace(masks__passes=1))
    shown = restore_ids < keep
    assert shown.any() and (made[shown][:, : 2 * PIXELS] == 0).all()
    assert (np.abs(made[~shown][:, :PIXELS]).max(axis=1) > 0).all()


def test_predictions_of_visible_tokens_are_never_read():
    keep_ids, restore_ids = make_masks(TINY.masks, np.arange(3), TOKENS)
    predictions = RNG.random((12, TOKENS, PIXELS), np.float32)
    spoilt = predictions.copy()
    spoilt[restore_ids < keep_ids.shape[1]] = 99
    first, second = (
        judge_features(IMAGES, p, restore_ids, None, keep=keep_ids.shape[1], patch=PATCH)
        for p in (predictions, spoilt)
    )
    assert np.array_equal(first, second)


def test_every_token_that_looks_worse_raises_the_score():
    logits = RNG.normal(-4, 2, (4, 20)).astype(np.float32)
    worse = logits.copy()
    worse[np.arange(4), [0, 5, 9, 19]] += 0.5
    before, after = slice_score(logits), slice_score(worse)
    assert (after > before).all() and (before > 0).all() and (after < 1).all()
    assert slice_score(np.full((1, 8), 1e4, np.float32))[0] == 1


def test_the_map_stands_where_the_token_is_and_is_zero_outside_the_set():
    ids = np.array([[0, 9, 10, 63]], np.int32)
    logits = np.array([[-9.0, 9.0, 9.0, -9.0]], np.float32)
    heat = token_map(logits, ids, 8, 8)[0]
    assert heat.shape == (64, 64) and heat[12, 12] > 0.9 and heat[40, 40] == 0
    assert np.unravel_index(heat.argmax(), heat.shape)[0] // 8 == 1


class Engine:
    """Predicts zeros; a token's logit is its mean difference."""

    def reconstruct(self, visible, token_ids, keep_ids, restore_ids):
        return np.zeros((len(visible), restore_ids.shape[1], visible.shape[2]), np.float32)

    def classify(self, tokens, token_ids):
        assert tokens.shape[2] == TINY.model.judge_features and tokens.shape[:2] == token_ids.shape
        return tokens[..., :PIXELS].mean(axis=2)


@pytest.mark.parametrize("name", ["tiny", "tiny+"])
def test_scoring_asks_the_judge_and_shows_its_map(name):
    preset = PRESETS[name].replace(measure="judge")
    images = np.zeros((3, 64, 64), np.float32)
    images[:2, 16:48, 16:48] = 1 + IMAGES[:2, 16:48, 16:48]
    made = score_slices(images, np.arange(3), Engine(), preset, maps=True)
    alone = score_slices(images[1:2], [1], Engine(), preset, maps=True)
    assert made.score[1] == alone.score[0] and np.array_equal(made.difference[1], alone.difference[0])
    assert 0 < made.difference.max() <= 1 and (made.score[:2] > 0.5).all()
    if name == "tiny+":
        assert made.score[2] == 0 and not made.difference[2].any()
