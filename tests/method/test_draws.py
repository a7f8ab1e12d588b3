"""Random numbers by counter."""

from __future__ import annotations

import numpy as np

from maescan.method import draws


def test_a_draw_depends_on_what_it_is_for_and_on_nothing_else():
    together = draws.uniforms(1, [3, 4, 5], 2, draws.BOXES, 6)
    assert np.array_equal(together[1:2], draws.uniforms(1, [4], 2, draws.BOXES, 6))
    assert np.array_equal(together[:, :2], draws.uniforms(1, [3, 4, 5], 2, draws.BOXES, 2))
    others = [(0, 2, draws.BOXES), (1, 3, draws.BOXES), (1, 2, draws.PIXELS)]
    assert not any((draws.uniforms(s, [3, 4, 5], e, p, 6) == together).any() for s, e, p in others)


def test_numbers_are_uniform_and_not_tied_to_each_other():
    u = draws.uniforms(0, np.arange(4000), 0, draws.AUGMENT, 4)
    assert u.min() >= 0 and u.max() < 1
    counts = np.stack([np.histogram(column, 20, (0, 1))[0] for column in u.T])
    assert np.abs(counts - 200).max() < 75  # five deviations
    assert np.abs(np.corrcoef(u.T) - np.eye(4)).max() < 0.08
    assert abs(np.corrcoef(u[:-1, 0], u[1:, 0])[0, 1]) < 0.08


def test_purposes_are_different_numbers():
    numbers = [v for k, v in vars(draws).items() if k.isupper() and isinstance(v, int)]
    masks = {draws.PAIR_MASKS + 1, draws.VALIDATION_MASKS + 1}  # each has two
    assert len(set(numbers)) == len(numbers) and not masks & set(numbers)


def test_the_order_of_an_epoch_is_a_permutation_of_its_own():
    first, second = draws.order(0, 0, 50), draws.order(0, 1, 50)
    assert sorted(first) == sorted(second) == list(range(50)) and not np.array_equal(first, second)
    assert 0 <= draws.seed_of(2**40, 3, draws.NOISE, 7) < 2**31
