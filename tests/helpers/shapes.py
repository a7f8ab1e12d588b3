"""Simple shapes in made slices."""

from __future__ import annotations

import numpy as np


def ball(air: float, low: float, high: float, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """(slices [12, 40, 40] float32 with a ball of tissue from `low` to `high` in air, where the ball is)."""
    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[-1:1:12j, -1:1:40j, -1:1:40j]
    inside = (x**2 + y**2 + z**2) < 0.7
    values = np.where(
        inside, rng.uniform(low, high, inside.shape), air + np.abs(rng.normal(0, 1, inside.shape)) * noise
    )
    return values.astype(np.float32), inside
