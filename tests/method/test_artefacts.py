"""Artefacts for training: reproducible, alike on both slices of a pair, of the whole slice."""

import numpy as np
import pytest

from maescan.config import PRESETS
from maescan.method.anomalies import field
from maescan.method.artefacts import ARTEFACTS, OF_CT, put_artefacts
from maescan.method.tokens import tissue_of

ALWAYS = PRESETS["tiny+"].replace(judge__artefacts=1.0)


def pairs(count=12, size=64):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : 1j * size, -1 : 1 : 1j * size]
    plain = np.stack([1 + 0.3 * field(size, 1.5, rng) for _ in range(count)]).clip(0.2, 2)
    plain = np.where(x**2 + y**2 < 0.6, plain, 0)
    altered = np.where(x**2 + y**2 < 0.02, 0.5 * plain, plain)
    return np.stack([altered, plain]).astype(np.float32)


PAIRS = pairs()
TISSUE = tissue_of(PAIRS[1], ALWAYS)


def put(given=PAIRS, ids=None, seed=0, epoch=0, preset=ALWAYS):
    return put_artefacts(given, np.arange(given.shape[1]) if ids is None else ids, preset, seed=seed, epoch=epoch)


def test_a_draw_depends_on_seed_slice_and_epoch():
    first = put()
    assert np.array_equal(first, put())
    for other in (put(seed=1), put(epoch=1), put(ids=np.arange(12) + 50)):
        assert not np.array_equal(first, other)
    assert np.array_equal(put(PAIRS[:, 3:5], [3, 4])[:, 0], first[:, 3])


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_slices_has_one(share):
    made = np.concatenate(
        [put(seed=seed, preset=ALWAYS.replace(judge__artefacts=share)) for seed in range(20)], axis=1
    )
    changed = (made != np.tile(PAIRS, (1, 20, 1, 1))).any(axis=(2, 3))
    assert np.array_equal(changed[0], changed[1]) and changed[0].mean() == pytest.approx(share, abs=0.1)


@pytest.mark.parametrize("kind", [*ARTEFACTS, *OF_CT])
def test_both_slices_of_a_pair_are_changed_alike_and_keep_their_anomaly(kind):
    for seed in range(8):
        made = (ARTEFACTS | OF_CT)[kind](PAIRS[:, 2], TISSUE[2], np.random.default_rng(seed))
        again = (ARTEFACTS | OF_CT)[kind](PAIRS[:, 2], TISSUE[2], np.random.default_rng(seed))
        assert np.array_equal(made, again) and np.isfinite(made).all()
        before, after = PAIRS[0, 2] - PAIRS[1, 2], made[0] - made[1]
        assert np.corrcoef(before[TISSUE[2]], after[TISSUE[2]])[0, 1] > 0.6
        assert np.abs(made[1] - PAIRS[1, 2])[TISSUE[2]].mean() < 0.5 * PAIRS[1, 2][TISSUE[2]].mean()


def test_values_stay_in_range_and_air_and_the_input_as_they_are():
    given = PAIRS.copy()
    given[:, 4] = 0
    kept = given.copy()
    made = put(given)
    assert np.array_equal(given, kept) and not made[:, 4].any() and made.dtype == np.float32
    assert made.min() >= 0 and made.max() <= 3
    z_scored = put(given - 1, preset=ALWAYS.replace(intensity__method="standard"))
    assert z_scored.min() >= given.min() - 1 and z_scored.max() <= given.max() - 1 + 1e-6


def test_ghosts_reach_into_air():
    made = ARTEFACTS["ghosts"](PAIRS[:, 0], TISSUE[0], np.random.default_rng(3))
    assert (made[1] > 0)[~TISSUE[0]].any()


def test_hounsfield_units_stay_what_they_are_but_for_noise():
    preset = PRESETS["luna16+"].replace(judge__artefacts=1.0)
    units = np.where(TISSUE, -8 + 3 * PAIRS, -10.24).astype(np.float32)
    made = put(units, preset=preset)
    assert abs((made - units)[:, TISSUE].mean()) < 0.02 < (made - units)[:, TISSUE].std()
    assert np.array_equal(made[:, ~TISSUE], units[:, ~TISSUE])
