"""What a judge sees and says, in torch's operations: numpy's answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maescan import kernels
from maescan.config import PRESETS
from maescan.engines import torch_judge
from maescan.method.judge import judge_features, slice_score, token_map
from maescan.method.masks import make_masks

PRESET = PRESETS["tiny"]
MODEL, RNG = PRESET.model, np.random.default_rng(0)


@pytest.mark.parametrize("strategy", ["random", "complementary"])
@pytest.mark.parametrize("tokens", [64, 24])
@pytest.mark.parametrize("hidden", [False, True])
def test_features_are_numpys(strategy, tokens, hidden):
    masks = PRESET.replace(masks__strategy=strategy).masks
    images = RNG.random((3, 64, 64), np.float32)
    ids = np.sort(np.argsort(RNG.random((3, 64)), axis=1)[:, :tokens]).astype(np.int32) if tokens < 64 else None
    keep_ids, restore_ids = make_masks(masks, np.arange(3), tokens)
    keep = keep_ids.shape[1]
    given = RNG.random((3 * masks.passes, tokens, MODEL.patch_pixels), np.float32)
    wanted = judge_features(images, given, restore_ids, ids, keep=keep, patch=MODEL.patch_size)
    if hidden:  # in the order of their ranks, as a MAE answers that is told them
        given = np.take_along_axis(given, np.argsort(restore_ids, axis=1)[:, keep:, None], axis=1)
    found = torch_judge.features(
        torch.from_numpy(kernels.patchify(images, ids, patch=MODEL.patch_size)),
        torch.from_numpy(given),
        torch.from_numpy(restore_ids),
        keep=keep,
        patch=MODEL.patch_size,
    )
    np.testing.assert_allclose(found.numpy(), wanted, atol=2e-6)


def test_score_and_map_are_numpys():
    logits = RNG.normal(0, 20, (4, 10)).astype(np.float32)
    ids = np.argsort(RNG.random((4, 64)), axis=1)[:, :10].astype(np.int32)
    given = torch.from_numpy(logits), torch.from_numpy(ids)
    np.testing.assert_allclose(torch_judge.score(given[0]).numpy(), slice_score(logits), rtol=1e-6)
    np.testing.assert_allclose(torch_judge.heat(*given, 8, 8).numpy(), token_map(logits, ids, 8, 8), atol=1e-6)
