"""Bundles, engines and slices that bench/gpu_steps.py measures: random weights, discs on air."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


class HostOnly:
    """An engine without its places: its networks run on the device, everything between on the host."""

    def __init__(self, engine: Any) -> None:
        self.name, self.batch, self.close = engine.name, engine.batch, lambda: None
        self.reconstruct, self.classify = engine.reconstruct, engine.classify


def engines_of(given: argparse.Namespace) -> Iterator[tuple[dict[str, Any], tuple[Any, Any] | None]]:
    """(what is known of it, bundle and engine or None) of each target and precision that was asked for."""
    from maescan import engines
    from maescan.engines.bundle import Bundle
    from maescan.engines.golden import golden_drift

    with tempfile.TemporaryDirectory(prefix="maescan-gpu-") as temporary:
        bundle = Bundle.load(bundle_of(given, Path(temporary)))
        for values in bundle.engines().values():
            wanted = {"target": values["target"], "precision": values["precision"]}
            if wanted["target"] not in given.to or wanted["precision"] not in given.precision:
                continue
            try:
                start = time.perf_counter()
                engine = engines.load(bundle, device=given.device, trust=True, **wanted)
                found = {"load_s": time.perf_counter() - start, "drift": golden_drift(bundle, engine)}
                yield {**wanted, **found, "device": engine.device_name}, (bundle, engine)
            except Exception as error:  # whatever it is, the other engines are measured
                yield {**wanted, "refused": f"{type(error).__name__}: {error}"}, None


def bundle_of(given: argparse.Namespace, at: Path) -> Path:
    """The bundle of the step `bundle`, or one of this step's own."""
    made = given.bundle and given.bundle / "random" / "bundle"
    return made if made and made.exists() else random_bundle(given, at, tuple(given.to), tuple(given.precision))


def random_bundle(given: argparse.Namespace, at: Path, to: tuple[str, ...], precisions: tuple[str, ...]) -> Path:
    """A bundle of random weights with these engines, its slices discs on air."""
    from maescan.benchmark import weights
    from maescan.config import preset

    images = slices_of(preset(given.preset), 48)
    chosen = weights.with_buckets(preset(given.preset), images)
    return weights.random_bundle(chosen, at / "random", precisions, images, to=to)


def raw_of(preset: Any, count: int) -> Any:
    """As many slices of 240 x 240 int16, as a scanner writes them, and their token sets."""
    from maescan.method.preprocess import raw_slices
    from maescan.method.tokens import token_sets
    from maescan.scans import Scan

    y, x, _ = np.mgrid[:240, :240, :count] / 240 - 0.5
    noise = np.random.default_rng(0).integers(80, 220, (240, 240, count))
    voxels = np.where(y**2 + x**2 < 0.09, noise, 0).astype(np.int16)
    slope, intercept = (5.0, -1000.0) if preset.intensity.method == "hu" else (1.0, 0.0)
    raw = raw_slices(Scan(voxels, slope, intercept, np.eye(4), "a", Path("a"), "made up"), preset).packed()
    return raw, token_sets(raw.extracted(), preset)


def slices_of(preset: Any, count: int) -> Any:
    """Discs [N, H, W] of noise on air, of the sizes that the slices of a head have."""
    size, rng = preset.model.image_size, np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size - 0.5
    radius = 0.05 + 0.3 * np.sin(np.linspace(0.1, np.pi - 0.1, count))
    inside = y**2 + x**2 < radius[:, None, None] ** 2
    air = -10.0 if preset.intensity.method == "hu" else 0.0
    return np.where(inside, rng.random((count, size, size)) + 0.5, air).astype(np.float32)
