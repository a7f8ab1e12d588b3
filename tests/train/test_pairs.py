"""Which samples the classifier learns from, and with which betas it is trained."""

from __future__ import annotations

import errno
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.tiny_training import PRESET
from maescan.config import PRESETS
from maescan.errors import DataError
from maescan.train import pairs
from maescan.train.pairs import pair_inputs, training_samples

KEPT, SKIPPED = (PRESETS["tiny"].replace(classifier__altered_blanks=kept) for kept in (True, False))


def images():
    made = np.random.default_rng(0).random((130, 8, 8)).astype(np.float16)
    made[3], made[100] = 0, -0.44
    return made


def test_a_slice_of_one_value_has_no_altered_sample():
    left_out = set(training_samples(images(), KEPT)) - set(training_samples(images(), SKIPPED))
    assert left_out == {6, 200}  # 2 i is slice i altered


def test_samples_are_all_where_blanks_are_altered_too():
    assert np.array_equal(training_samples(images(), KEPT), np.arange(260))


@pytest.mark.parametrize("kind", ["l1", "l2", "reconstruction"])
def test_pairs_are_normal_and_altered_reconstructions(kind):
    preset = PRESET.replace(input=kind)
    x, pairs = np.full((1, 16, 16), 0.5, np.float32), np.stack([np.full((1, 16, 16), v, np.float32) for v in (1, 2)])
    normal, altered = pair_inputs(preset, x[[0, 0]], pairs, np.array([1, 0]), seed=0, epoch=0)
    assert np.allclose(normal, {"l1": 0.5, "l2": 0.25, "reconstruction": 1}[kind])
    untouched = {"l1": 1.5, "l2": 2.25, "reconstruction": 2}[kind]
    assert 0 < np.isclose(altered, untouched).mean() < 1


ALONE = SimpleNamespace(barrier=lambda: None, is_global_zero=True, global_rank=0, world_size=1, autocast=nullcontext)


def test_pairs_that_the_disk_has_no_room_for_are_an_error(monkeypatch, tmp_path):
    """A map that finds none when it is written to ends the process by SIGBUS, without a word."""

    def refused(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pairs.os, "posix_fallocate", refused)
    with pytest.raises(DataError, match=r"pairs.npy: cannot write: No space left on device"):
        pairs.Pairs(ALONE, tmp_path / "pairs.npy", None, images(), PRESET, seed=0)(0)
    assert not any(tmp_path.iterdir())


def test_pairs_say_how_far_they_are(monkeypatch, tmp_path):
    """They take minutes, between the phases that show themselves."""
    told = []
    monkeypatch.setattr(pairs, "part", lambda what, unit: nullcontext(lambda done, total: told.append((done, total))))
    monkeypatch.setattr(pairs.steps, "reconstructions", lambda model, images, *rest, **more: images)
    made = pairs.Pairs(ALONE, tmp_path / "pairs.npy", None, images(), PRESET, seed=0)(0)
    used = (tmp_path / "pairs.npy").stat().st_blocks * 512
    assert (
        used >= made.nbytes
        and made.shape == (2, 130, 8, 8)
        and told == [(at, 260) for at in (0, 64, 128, 130, 194, 258)]
    )
