"""Boxes of the pseudo-abnormal module: drawn by (seed, slice, epoch), inside the slice, in the paper's ranges."""

from __future__ import annotations

import numpy as np
import pytest

from maescan.config import PRESETS, PseudoConfig
from maescan.errors import ConfigError
from maescan.method import draws
from maescan.method.pseudo import draw_boxes, pseudo_abnormal

PAPER = PseudoConfig()
BRATS = PRESETS["brats"].replace(model__image_size=64)
TISSUE = PseudoConfig(where="tissue")


def test_boxes_are_in_the_papers_ranges_and_inside():
    boxes, beta = draw_boxes(PAPER, np.arange(4000), 224, seed=0)
    count = (boxes[:, :, 2] > 0).sum(axis=1)
    used = boxes[boxes[:, :, 2] > 0]
    assert set(np.unique(count)) == set(range(1, 10))
    assert set(np.unique(used[:, 2:])) == set(range(10, 40))
    assert used[:, :2].min() == 0 and (used[:, :2] + used[:, 2:]).max() == 223
    assert 0 <= beta.min() < 0.01 and 0.99 < beta.max() < 1 and abs(beta.mean() - 0.5) < 0.01


def test_counts_are_uniform():
    boxes, _ = draw_boxes(PAPER, np.arange(9000), 224, seed=1)
    counts = np.bincount((boxes[:, :, 2] > 0).sum(axis=1))[1:]
    assert np.abs(counts - 1000).max() < 150  # five standard deviations


def test_a_slice_gets_the_same_boxes_in_any_batch():
    together, factors = draw_boxes(PAPER, [3, 8, 5], 64, seed=7, epoch=2)
    alone, factor = draw_boxes(PAPER, [8], 64, seed=7, epoch=2)
    assert np.array_equal(together[1], alone[0]) and np.array_equal(factors[1], factor[0])


@pytest.mark.parametrize("other", [{"seed": 8}, {"epoch": 3}])
def test_another_seed_or_epoch_draws_anew(other):
    one, _ = draw_boxes(PAPER, range(10), 64, **{"seed": 7, "epoch": 2})
    two, _ = draw_boxes(PAPER, range(10), 64, **{"seed": 7, "epoch": 2, **other})
    assert not (one == two).all(axis=(1, 2)).any()


def test_pixels_are_multiplied_by_the_boxes():
    boxes, beta = draw_boxes(PAPER, [0, 1], 64, seed=3)
    wanted = np.ones((2, 64, 64), np.float32)
    for b in range(2):
        for (top, left, height, width), factor in zip(boxes[b], beta[b], strict=True):
            wanted[b, top : top + height, left : left + width] *= factor
    ones = np.ones((2, 64, 64), np.float32)
    altered = pseudo_abnormal(ones, BRATS, ones, [0, 1], seed=3)
    assert np.allclose(altered, wanted, rtol=1e-6) and (altered < 0.9).any()


def test_one_factor_a_pixel():
    config = PseudoConfig(beta="pixel")
    boxes, beta = draw_boxes(config, [4], 64, seed=3)
    covered = np.zeros((64, 64), bool)
    for top, left, height, width in boxes[0]:
        covered[top : top + height, left : left + width] = True
    twos = np.full((1, 64, 64), 2.0, np.float32)
    altered = pseudo_abnormal(twos, BRATS.replace(pseudo=config), twos, [4], seed=3)
    assert np.array_equal(altered[0], np.where(covered, 2 * beta[0], 2).astype(np.float32))
    assert len(np.unique(altered)) > covered.sum() // 2


def test_boxes_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="do not fit"):
        draw_boxes(PseudoConfig(size=(10, 80)), [0], 64, seed=0)


def test_a_box_as_wide_as_the_slice_fits():
    boxes, _ = draw_boxes(PseudoConfig(size=(64, 65)), np.arange(50), 64, seed=0)
    assert boxes[..., :2].max() == 0 and (boxes[..., 2] % 64 == 0).all()


def test_boxes_lie_around_tissue_and_inside():
    tissue = np.zeros((300, 64, 64), bool)
    tissue[:, 40:60, 2:9] = True
    boxes, _ = draw_boxes(TISSUE, np.arange(300), 64, seed=0, tissue=tissue)
    used = boxes[boxes[:, :, 2] > 0]
    middle = used[:, :2] + used[:, 2:] // 2
    held = [tissue[0, top : top + h, left : left + w].any() for top, left, h, w in used]
    assert all(held) and used[:, :2].min() >= 0 and (used[:, :2] + used[:, 2:]).max() <= 64
    assert middle[:, 0].min() >= 40 and set(np.unique(middle[:, 0])) >= set(range(40, 45))


def test_over_air_a_box_changes_nothing_and_in_tissue_it_does():
    slices = np.zeros((200, 64, 64), np.float32)
    slices[:, 24:40, 24:40] = 1
    same = []
    for where in ("anywhere", "tissue"):
        preset = BRATS.replace(pseudo__where=where, pseudo__boxes=(1, 3), pseudo__size=(5, 12))
        altered = pseudo_abnormal(slices, preset, slices, np.arange(200), seed=0)
        same.append((altered == slices).all(axis=(1, 2)).mean())
    assert same[0] > 0.3 and same[1] == 0


def test_a_slice_without_tissue_has_boxes_all_the_same():
    tissue = np.zeros((400, 64, 64), bool)
    boxes, _ = draw_boxes(TISSUE, np.arange(400), 64, seed=0, tissue=tissue)
    used = boxes[boxes[:, :, 2] > 0]
    assert used[:, :2].min() == 0 and (used[:, :2] + used[:, 2:]).max() == 64 and len(np.unique(used[:, 0])) > 40


def test_draws_are_uniform_and_unrelated():
    u = draws.uniforms(5, np.arange(20000), 0, draws.BOXES, 4)
    counts = np.histogram(u, bins=20, range=(0, 1))[0]
    assert ((counts - 4000) ** 2 / 4000).sum() < 45  # chi-square, 19 degrees of freedom, p < 0.001
    assert np.abs(np.corrcoef(u.T) - np.eye(4)).max() < 0.04
    assert np.abs(np.corrcoef(u[:-1, 0], u[1:, 0])[0, 1]) < 0.04


def test_purposes_and_seeds_do_not_share_draws():
    streams = [draws.uniforms(s, [9], e, p, 1)[0, 0] for s in range(8) for e in range(8) for p in (1, 2, 3, 4)]
    assert len(set(streams)) == len(streams)


def test_order_is_a_permutation_of_its_epoch():
    one, two = draws.order(1, 0, 50), draws.order(1, 1, 50)
    assert sorted(one) == list(range(50)) and not np.array_equal(one, two)
    assert np.array_equal(one, draws.order(1, 0, 50))
