from __future__ import annotations

import numpy as np
import pytest
import torch

from maescan.config import preset
from maescan.datasets import SliceSet
from maescan.engines.eager import TorchEngine
from maescan.errors import ConfigError
from maescan.method import tokens
from maescan.method.score import score_slices
from maescan.models import MaskedAutoencoder
from maescan.options import TrainOptions
from maescan.train import state, steps, train
from maescan.train.state import check_asked

TINY = preset("tiny").replace(
    tokens__method="foreground",
    tokens__margin=0,
    mae__epochs=1,
    mae__batch_size=8,
    classifier__epochs=1,
    classifier__batch_size=8,
)


def discs(count=24, seed=0):
    """Slices with a disc of tissue; every sixth is air."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:64, :64] - 31.5
    radius = np.where(np.arange(count) % 6 == 0, 0, rng.uniform(6, 28, count))[:, None, None]
    images = ((rows**2 + columns**2 < radius**2) * rng.uniform(0.5, 1.5, (count, 64, 64))).astype(np.float32)
    patient = np.array([f"p{i // 6}" for i in range(count)])
    area = (images > 0.04).mean(axis=(1, 2)).astype(np.float32)
    return SliceSet(images, patient, np.arange(count) % 6, np.zeros(count, np.int8), area)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(discs(), TINY, tmp_path_factory.mktemp("fg") / "run", TrainOptions(tensorboard=False))


@pytest.mark.slow
def test_training_chooses_buckets_and_scores_by_them(run):
    chosen = preset(str(run / "preset.json"))
    assert chosen.tokens.buckets[-1] == 64 and len(chosen.tokens.buckets) > 1
    images, ids = discs(seed=1).images, np.arange(24)
    engine = TorchEngine(run, chosen)
    whole = score_slices(images, ids, engine, chosen, maps=True)
    assert (whole.score[::6] == 0).all() and (whole.score.reshape(4, 6)[:, 1:] > 0).all()
    for which in ([5], [7, 3, 6], list(range(23, -1, -1))):
        part = score_slices(images[which], ids[which], engine, chosen, maps=True)
        assert np.abs(part.score - whole.score[which]).max() < 1e-6
        assert np.abs(part.difference - whole.difference[which]).max() < 1e-6


@pytest.mark.slow
def test_a_run_keeps_its_buckets_where_another_maescan_chooses_others(run, monkeypatch):
    buckets = preset(str(run / "preset.json")).tokens.buckets
    monkeypatch.setitem(tokens.PADDING, "foreground", (4, 0.0))
    check_asked(run, TINY, 0)
    assert train(discs(), TINY, run, TrainOptions(tensorboard=False)) == run
    assert preset(str(run / "preset.json")).tokens.buckets == buckets
    monkeypatch.setattr(state, "kept_buckets", lambda out, asked: asked)
    with pytest.raises(ConfigError, match="buckets"):
        check_asked(run, TINY, 0)


@pytest.mark.slow
def test_what_the_models_do_not_see_has_no_difference(run):
    chosen = preset(str(run / "preset.json"))
    images = discs(seed=2).images
    sets = tokens.token_sets(images, chosen)
    seen = np.zeros((24, 64), bool)
    for size, which in sets.groups():
        for i in which:
            seen[i, sets.ids(i, size)] = True
    found = score_slices(images, np.arange(24), TorchEngine(run, chosen), chosen, maps=True)
    per_patch = steps.patchify(torch.from_numpy(found.difference), 8).amax(dim=2).numpy()
    assert (per_patch[~seen] == 0).all() and (per_patch[seen] > 0).mean() > 0.9


def test_a_set_of_all_patches_is_the_full_grid():
    """To the bit: masks, reconstruction and difference do not know the difference."""
    model = MaskedAutoencoder(TINY.model).eval()
    images, ids = discs(4).images, np.arange(4)
    everything = np.tile(np.arange(64, dtype=np.int32), (4, 1))
    grid = steps.reconstruct(model, images, ids, TINY)
    chosen = steps.reconstruct(model, images, ids, TINY, token_ids=everything)
    assert np.array_equal(grid.difference, chosen.difference)


def test_moved_slices_keep_all_their_foreground():
    """However an augmentation has zoomed them, each in one group, groups by size."""
    images = torch.from_numpy(discs(32).images)
    sets = steps.augmented_token_sets(images, TINY)
    assert len(sets) == 4 and sorted(np.concatenate([which for which, _ in sets])) == list(range(32))
    counts = tokens.token_sets(images.numpy(), TINY).count
    for which, ids in sets:
        assert 0 <= ids.shape[1] - counts[which].max() <= 8
        per_patch = steps.patchify(images[which], 8).amax(dim=2) > tokens.air_level(TINY)
        seen = torch.zeros(len(which), 64, dtype=torch.bool).scatter(1, ids.long(), True)
        assert not (per_patch & ~seen).any()
    assert sets[0][1].shape[1] < sets[-1][1].shape[1]
