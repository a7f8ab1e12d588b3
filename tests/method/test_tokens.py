from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.spatial

from maescan.config import preset
from maescan.datasets.phantom import make_phantom
from maescan.datasets.phantom.lesions import plan
from maescan.errors import ConfigError
from maescan.method import tokens
from maescan.method.preprocess import prepare, to_grid
from maescan.scans import Scan


def test_margin_reaches_into_the_next_patch():
    foreground = np.zeros((1, 32, 32), bool)
    foreground[0, 13, 5] = True
    assert tokens.foreground_patches(foreground, 16, margin=2).tolist() == [[True, False, False, False]]
    assert tokens.foreground_patches(foreground, 16, margin=3).tolist() == [[True, False, True, False]]


def test_set_is_foreground_and_its_nearest_neighbours():
    patches = np.zeros((4, 4), bool)
    patches[1:3, 1:3] = True
    assert sorted(tokens.patch_order(patches.reshape(1, -1))[0, :8].tolist()) == [1, 2, 4, 5, 6, 7, 9, 10]


def test_sets_of_slices_are_buckets_of_their_foreground():
    tiny = preset("tiny").replace(tokens__method="foreground", tokens__buckets=(8, 24), tokens__margin=0)
    images = np.zeros((4, 64, 64), np.float32)
    images[1, 20:24, 20:24], images[2, 8:32, 8:40], images[3] = 1, 1, 1
    sets = tokens.token_sets(images, tiny)
    assert sets.count.tolist() == [0, 1, 12, 64] and sets.size.tolist() == [0, 8, 24, 64]
    assert [(size, which.tolist()) for size, which in sets.groups()] == [(8, [1]), (24, [2]), (64, [3])]
    ids = sets.ids(np.array([1]), 8)
    assert ids.shape == (1, 8) and ids.dtype == np.int32 and 18 in ids and (np.diff(ids) > 0).all()
    assert np.array_equal(tokens.token_sets(images[2:3], tiny).order[0], sets.order[2])


def test_whole_slices_need_no_sets_and_zscores_have_none():
    assert tokens.token_sets(np.ones((1, 64, 64)), preset("tiny")) is None
    with pytest.raises(ConfigError, match="zscore"):
        tokens.token_sets(
            np.ones((1, 64, 64)), preset("tiny").replace(tokens__method="foreground", intensity__method="zscore")
        )


@pytest.mark.parametrize("method", tokens.PADDING)
@pytest.mark.parametrize("seed", range(5))
def test_buckets_waste_little_and_hold_every_slice(seed, method):
    counts, (multiple, waste) = np.random.default_rng(seed).integers(0, 90, 500), tokens.PADDING[method]
    buckets = tokens.choose_buckets(counts, preset("brats-fg").replace(tokens__method=method))
    least = sum(-(-c // multiple) * multiple for c in counts)
    padded = [min(b for b in buckets if b >= c) for c in counts if c]
    assert sum(padded) <= max((1 + waste) * counts.sum(), least) and buckets[-1] == 196
    assert all(size % multiple == 0 for size in buckets[:-1]) and len(buckets) <= -(-90 // multiple) + 1


def test_one_bucket_where_one_is_enough():
    brats, tiny = preset("brats-fg"), preset("tiny-fg")
    assert tokens.choose_buckets([196] * 10, brats) == (196,)
    assert tokens.choose_buckets([0, 0], tiny) == (64,)
    assert tokens.choose_buckets([8] * 10 + [64], tiny) == (8, 64)


def test_of_every_set_a_token_is_visible():
    """Where nine of ten are hidden, none of 8 would be."""
    hidden = preset("tiny").replace(tokens__method="foreground", masks__ratio=0.9)
    assert tokens.choose_buckets([8] * 10 + [30] * 10 + [64], hidden)[0] == 16


def test_complementary_masks_divide_every_set():
    masks = {"masks__strategy": "complementary", "masks__ratio": 6 / 7, "masks__passes": 7}
    seven = preset("brats-fg").replace(**masks)
    assert all(size % 7 == 0 for size in tokens.choose_buckets([30, 50, 90, 100], seven))


def test_a_hole_in_the_foreground_is_inside():
    foreground = np.ones((1, 64, 64), bool)
    foreground[0, 16:48, 16:48] = foreground[0, :16, 32:48] = False
    inside = tokens.foreground_patches(foreground, 16, margin=0).reshape(4, 4)
    assert inside[1:3, 1].all() and not inside[:3, 2].any()


def convex(foreground):
    """The convex hull of one slice [H, W] by the sides of its corners, whether pixels' centres lie in it."""
    at = np.argwhere(foreground)
    hull = scipy.spatial.ConvexHull(at)
    places = np.argwhere(np.ones_like(foreground))
    outside = places @ hull.equations[:, :2].T + hull.equations[:, 2]
    return (outside <= 1e-6).all(axis=1).reshape(foreground.shape)


@pytest.mark.parametrize("seed", range(8))
def test_hull_is_that_of_the_tissue_and_little_more(seed):
    rng, (rows, columns) = np.random.default_rng(seed), np.mgrid[:224, :224] - 112.0
    turn, height, width = rng.uniform(0, 3), rng.uniform(20, 100), rng.uniform(20, 100)
    down, across = np.cos(turn) * rows - np.sin(turn) * columns, np.sin(turn) * rows + np.cos(turn) * columns
    tissue = (down / height) ** 2 + (across / width) ** 2 < 1
    tissue &= rng.random(tissue.shape) < 0.5
    tissue[(rows - 20) ** 2 + (columns - 40) ** 2 < rng.uniform(5, 40) ** 2] = False  # as dark as air
    share = convex(tissue).reshape(14, 16, 14, 16).mean(axis=(1, 3))
    found = tokens.hull_patches(tissue[None], 16)[0].reshape(14, 14)
    assert found[share >= tokens.LEAST].all() and not found[share == 0].any()
    assert (found & (share < tokens.LEAST)).sum() <= 1


def test_hull_reaches_the_edges_and_is_of_each_slice_alone():
    foreground = np.zeros((4, 48, 40), bool)  # rows of 40 pixels, which bytes do not cut at patches
    foreground[1, 0, 0] = foreground[1, 47, 39] = True
    foreground[2, 10:14, 12:20] = True
    foreground[3] = True
    found = tokens.hull_patches(foreground, 8).reshape(4, 6, 5)
    assert not found[0].any() and found[3].all()
    assert found[1, 0, 0] and found[1, 5, 4] and not found[1, 0, 4] and not found[1, 5, 0]
    assert np.argwhere(found[2]).tolist() == [[1, 1], [1, 2]]
    assert np.array_equal(tokens.hull_patches(foreground[1:2], 8)[0], found[1].reshape(-1))


def beside(places):
    """[S, H, W] and the pixels next to them in their slice."""
    wide = np.pad(places, ((0, 0), (1, 1), (1, 1)))
    return np.lib.stride_tricks.sliding_window_view(wide, (3, 3), axis=(1, 2)).any(axis=(3, 4))


@pytest.mark.slow
def test_two_hundred_lesions_of_the_phantom_are_inside_their_sets():
    """Those at the rim and those as dark as air among them."""
    fg, seen, at_rim = preset("tiny-fg"), 0, 0
    for index in range(140):
        made = make_phantom("brain", index, 7, ill=True, shape=(64, 64, 20))
        scan = Scan(made.voxels, 1.0, 0.0, made.affine, name=str(index), path=Path("x.nii"), format="NIfTI")
        prepared = prepare(scan, fg)
        mask = to_grid(prepared.axes.to_axial(made.mask), prepared)
        sets = tokens.token_sets(prepared.images, fg)
        lesion = tokens.foreground_patches(mask, fg.model.patch_size, margin=0)
        for i in np.flatnonzero(lesion.any(axis=1)):
            ids = sets.order[i, : sets.count[i]]  # before padding
            assert set(np.flatnonzero(lesion[i])) <= set(ids.tolist()), (index, i)
        seen += len(plan(7, index))
        at_rim += bool((mask & beside(prepared.images <= 0.04)).any())
    assert seen >= 200 and at_rim >= 40, (seen, at_rim)


def test_sets_of_single_slices_are_gathered_from_many_scans():
    config = preset("tiny-fg").replace(tokens__buckets=(16, 32, 64))
    size = config.model.image_size
    images = np.zeros((6, size, size), np.float32)
    for index in range(6):
        images[index, : 8 * index + 8, : 8 * index + 4] = 1
    scans = [tokens.token_sets(part, config) for part in (images[:2], images[2:])]
    picked = [(scans[1], 3), (scans[0], 0), (scans[1], 0)]
    found, wanted = tokens.TokenSets.gathered(picked), tokens.token_sets(images[[5, 0, 2]], config)
    for name, value in vars(wanted).items():
        assert np.array_equal(getattr(found, name), value) and getattr(found, name).dtype == value.dtype


def test_the_order_is_by_distance_to_the_nearest_patch_of_the_foreground():
    patches = np.random.default_rng(3).random((40, 49)) < np.linspace(0, 0.3, 40)[:, None]
    distance = tokens.patch_distances(7).astype(float)
    nearest = np.where(patches[:, None], distance, np.inf).min(axis=2)
    assert np.array_equal(tokens.patch_order(patches), np.argsort(nearest, axis=1, kind="stable"))


def test_where_air_has_no_value_it_is_the_lowest_of_its_slice():
    images = np.array([[[-3.0, -3.0], [-2.0, 5.0]], [[1.0, 2.0], [2.0, 1.0]]])
    wanted = [[[False, False], [True, True]], [[False, True], [True, False]]]
    assert tokens.not_air(images).tolist() == wanted
    assert tokens.tissue_of(images, preset("tiny").replace(intensity__method="zscore")).tolist() == wanted


def test_of_a_patch_of_a_ct_lung_is_tissue_and_what_lies_beside_the_ct_is_not():
    images = np.array([[[-10.24, -8.5], [-5.0, 0.4]]], np.float32)
    assert tokens.tissue_of(images, preset("luna16+")).tolist() == [[[False, True], [True, True]]]
    whole = preset("luna16").replace(grid__field_mm=300.0)
    assert tokens.tissue_of(images, whole).tolist() == [[[False, False], [False, True]]]
