"""What stands for a trained model: a bundle without files, an engine without networks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from maescan.config import Preset, preset
from maescan.engines.bundle import Bundle
from maescan.engines.manifest import SCHEMA_VERSION


def stub_bundle(of: Preset | str = "tiny", **fields: Any) -> Bundle:
    """A bundle of a preset that lists no files. fields: others of its manifest, calibration or intensity."""
    chosen = preset(of) if isinstance(of, str) else of
    manifest = {"schema_version": SCHEMA_VERSION, "preset": chosen.to_dict(), "provenance": {}, "files": {}}
    return Bundle(Path("bundle"), {**manifest, **fields}, "0" * 64)


class StubEngine:
    """Predicts zeros; calls a slice's mean difference its score. Sleeps `pause` seconds a batch, and remembers the
    (slices, tokens) of what it judged."""

    name, batch, target, precision = "fake-fp32", 4, "fake", "fp32"

    def __init__(self, pause: float = 0.0):
        self.pause = pause
        self.seen: list[tuple[int, int]] = []

    def reconstruct(
        self, visible: np.ndarray, token_ids: np.ndarray, keep_ids: np.ndarray, restore_ids: np.ndarray
    ) -> np.ndarray:
        time.sleep(self.pause)
        return np.zeros((len(visible), restore_ids.shape[1], visible.shape[2]), np.float32)

    def classify(self, tokens: np.ndarray, token_ids: np.ndarray) -> np.ndarray:
        self.seen.append(tokens.shape[:2])
        scores: np.ndarray = np.asarray(tokens).mean(axis=(1, 2))
        return scores

    def close(self) -> None: ...
