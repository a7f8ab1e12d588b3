"""Anomaly measures without a classifier (paper, table 2a): how far a reconstruction is from its slice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from maescan import kernels
from maescan.errors import ConfigError

Slices = NDArray[np.float32]


def mse(slices: Slices, reconstructions: Slices) -> NDArray[np.float32]:
    """Mean squared error [B] of reconstructions [B, H, W]."""
    return np.square(slices - reconstructions).mean(axis=(1, 2), dtype=np.float64).astype(np.float32)


def mae(slices: Slices, reconstructions: Slices) -> NDArray[np.float32]:
    """Mean absolute error [B] of reconstructions [B, H, W]."""
    return np.abs(slices - reconstructions).mean(axis=(1, 2), dtype=np.float64).astype(np.float32)


def ssim(slices: Slices, reconstructions: Slices) -> NDArray[np.float32]:
    """Structural similarity [B] of reconstructions [B, H, W]; 1 is identical."""
    return kernels.ssim(slices, reconstructions)


def anomaly(measure: str, slices: Slices, reconstructions: Slices) -> NDArray[np.float32]:
    """The score [B] of `measure`, higher is more abnormal (so minus the SSIM). Raises ConfigError for others."""
    known: dict[str, Callable[[Slices, Slices], NDArray[np.float32]]] = {
        "mse": mse,
        "mae": mae,
        "ssim": lambda x, y: -ssim(x, y),
    }
    if measure not in known:
        raise ConfigError(f"unknown measure '{measure}'", remedy=f"use one of {', '.join(known)}")
    return known[measure](slices, reconstructions)
