from __future__ import annotations

import numpy as np
import pytest

from maescan.errors import BundleError
from maescan.method.healthy import (
    CELLS,
    HealthyMaps,
    cell_index,
    cell_maxima,
    gather,
    level_counts,
    profile,
    scan_heat,
)
from maescan.method.heat import levels

BOX = ((2.0, 20.0), (3.0, 40.0), (5.0, 33.0))
SHAPE = (24, 44, 36)


def maps(seed, count=1):
    rng = np.random.default_rng(seed)
    return [rng.gamma(1, 0.1, SHAPE).astype(np.float32) for _ in range(count)]


def reference(count=9):
    return HealthyMaps.of(1.0, np.ones(256, np.int64), [cell_maxima(each, BOX, 1.0) for each in maps(1, count)])


def test_cells_divide_the_box_and_reach_to_the_rim():
    for index, (low, high), cells in zip(cell_index(BOX, SHAPE), BOX, CELLS, strict=True):
        assert (np.diff(index) >= 0).all() and index[0] == 0 and index[-1] == cells - 1
        assert (
            index[int(low)] == 0 and index[int(high) - 1] == cells - 1 and index[int((low + high) / 2)] == cells // 2
        )


def test_the_share_of_healthy_scans_as_high_at_this_place():
    found, (view,) = reference(), maps(2)
    shares = found.exceedance(view.copy(), BOX)
    z, y, x = cell_index(BOX, SHAPE)
    for place in [(0, 0, 0), (12, 20, 20), (23, 43, 35), (7, 30, 10)]:
        cell = z[place[0]], y[place[1]], x[place[2]]
        as_high = sum(
            each[np.ix_(z == cell[0], y == cell[1], x == cell[2])].max() >= view[place] for each in maps(1, 9)
        )
        assert shares[place] == pytest.approx((1 + as_high) / 10, abs=1e-6)
    assert shares.min() >= 0.1 and shares.max() <= 1


@pytest.mark.parametrize(("count", "over"), [(9, 0), (19, 0), (20, 1), (40, 2)])
def test_few_healthy_scans_are_over_what_is_rare_anywhere(count, over):
    found, seen = reference(count), maps(1, count)
    inside = [each[2:20, 3:40, 5:33] for each in seen]
    assert sum((each > found.rare).any() for each in inside) <= over
    assert sum((each > 0.9 * found.rare).any() for each in inside) > over


@pytest.mark.slow
def test_a_healthy_scan_is_seldom_rare_at_a_place():
    """Conformal: of all places of healthy scans at most a tenth are as high as none of nine others."""
    found = reference()
    rare = [found.exceedance(view, BOX)[4:20:3, 4:40:9, 6:32:9].min(axis=0) for view in maps(3, 40)]
    assert np.mean([share <= 0.1 for share in rare]) < 0.6  # the least of 6 voxels, each in a cell of its own
    one = [found.exceedance(view, BOX)[10, 20, 20] <= 0.1 for view in maps(4, 200)]
    assert np.mean(one) < 0.1 + 3 * (0.1 * 0.9 / 200) ** 0.5


def test_99_percent_of_healthy_tissue_is_lower():
    view = np.concatenate(maps(5, 4))
    tissue = np.ones(view.shape, bool)
    tissue[:3] = False
    heats = [scan_heat(view, tissue, cell_maxima(maps(1)[0], BOX, 1.0), 1.0)] * 3
    found = gather(heats, 1.0)
    assert (view[tissue] < found.p99).mean() == pytest.approx(0.99, abs=0.003) and len(found.cells) == 3
    assert level_counts(view, tissue, 1.0).sum() == tissue.sum()


def test_it_travels_in_a_manifest_and_says_whose_is_what_of_nobody():
    found = reference()
    again = HealthyMaps.from_json(found.to_json())
    assert np.array_equal(again.cells, found.cells) and (again.p99, again.full) == (found.p99, found.full)
    assert (np.diff(found.cells.astype(int), axis=0) >= 0).all()
    assert HealthyMaps.from_json(None) is None


@pytest.mark.parametrize(
    "change",
    [
        {"cells": "?"},
        {"cells": ""},
        {"cells": "eJwDAAAAAAE="},
        {"cells": 3},
        {"scans": 8},
        {"scans": -1},
        {"scans": 10**12},
        {"scans": "many"},
        {"p99": float("nan")},
        {"p99": 0},
        {"full": None},
    ],
)
def test_what_is_none_is_refused(change):
    with pytest.raises(BundleError, match=r"maps cannot be read \(calibrate it anew\)"):
        HealthyMaps.from_json({**reference().to_json(), **change})
    with pytest.raises(BundleError):
        HealthyMaps.from_json("maps")


def test_levels_of_cells_are_those_of_their_highest_voxel():
    (view,) = maps(6)
    found = cell_maxima(view, ((0, 12), (0, 16), (0, 16)), 1.0)
    assert found.max() == levels(view.max(), 1.0) and found[0, 0, 0] == levels(view[0, 0, 0], 1.0)


def test_profiles_are_brought_together_along_the_tissue():
    """Scans of 10 and 30 slices whose scores rise from 0 to 1 over their tissue."""
    short = np.clip((np.arange(10) - 2) / 5, 0, 1).astype("<f4")
    long = np.clip((np.arange(30) - 4) / 20, 0, 1).astype("<f4")
    low, middle, high = profile([short, long], [(2, 8), (4, 25)])
    assert np.allclose(middle, np.linspace(0, 1, 25), atol=1e-5) and np.allclose(low, high, atol=1e-5)
