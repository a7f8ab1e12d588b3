"""What phantoms are made of."""

from __future__ import annotations

import numpy as np
import pytest

from maescan.datasets.phantom.fields import Grid, below, blend, ellipsoid, turned

COARSE, FINE = Grid((12, 10, 8), (240.0, 200.0, 160.0)), Grid((24, 20, 16), (240.0, 200.0, 160.0))


def test_points_are_millimetres_from_the_centre():
    points = COARSE.points()
    assert np.allclose(points.mean(axis=(1, 2, 3)), 0, atol=1e-4)
    assert points[:, 1, 0, 0] - points[:, 0, 0, 0] == pytest.approx([20, 0, 0])


def test_a_finer_grid_holds_the_same_field():
    coarse, fine = (grid.smooth(np.random.default_rng(3), 60) for grid in (COARSE, FINE))
    means = fine.reshape(12, 2, 10, 2, 8, 2).mean(axis=(1, 3, 5))
    assert np.abs(means - coarse).max() < 0.1 < coarse.std()


def test_a_field_has_mean_0_and_deviation_1():
    fields = np.stack([COARSE.smooth(np.random.default_rng(seed), 30) for seed in range(20)])
    assert abs(fields.mean()) < 0.1 and abs(fields.std() - 1) < 0.1


def test_deforming_moves_by_about_the_amplitude():
    points = COARSE.points()
    moved = COARSE.deform(points, np.random.default_rng(0), 5, 60) - points
    assert 2 < np.sqrt((moved**2).mean()) < 8


def test_an_ellipsoid_is_negative_inside_and_its_edge_soft():
    points = FINE.points()
    distance = ellipsoid(points, (10, 0, 0), (60, 40, 40))
    inside = ((points[0] - 10) / 60) ** 2 + (points[1] / 40) ** 2 + (points[2] / 40) ** 2 < 1
    assert np.array_equal(distance < 0, inside)
    weight = below(distance, 2)
    assert weight[distance < -10].min() > 0.99 and weight[distance > 10].max() < 0.01
    assert np.allclose(blend(np.zeros_like(weight), weight, 7.0), 7 * weight)


def test_turning_keeps_lengths():
    points = COARSE.points()
    around = turned(points, np.random.default_rng(1), 5)
    assert not np.allclose(around, points, atol=1)
    assert np.allclose(np.linalg.norm(around, axis=0), np.linalg.norm(points, axis=0), atol=1e-3)
