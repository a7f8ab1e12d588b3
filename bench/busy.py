"""How full the engine is kept: a folder of BraTS-size .nii.gz scans and an engine that takes a given time a slice.

python bench/busy.py --scans 24 --milliseconds 10 --json busy.json
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil

from maescan.config import Preset, preset
from maescan.datasets.phantom import Look, write_phantom
from maescan.scoring.options import ScoreOptions
from maescan.scoring.pipeline import score_folder
from maescan.scoring.summary import Summary


class Sleeper:
    """Predicts zeros after `pause` seconds per slice, as an engine on a device of its own would: it uses no core."""

    name, batch = "sleeper", 8

    def __init__(self, pause: float):
        self.pause = pause

    def reconstruct(self, visible: Any, token_ids: Any, keep_ids: Any, restore_ids: Any) -> Any:
        return np.zeros((len(visible), restore_ids.shape[1], visible.shape[2]), np.float32)

    def classify(self, tokens: Any, token_ids: Any) -> Any:
        time.sleep(self.pause * len(tokens))
        return tokens.mean(axis=(1, 2))


class Peak(threading.Thread):
    """The most memory that this process and its readers had for themselves."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes, self.over = 0, threading.Event()

    def run(self) -> None:
        here = psutil.Process()
        while not self.over.wait(0.25):
            total = 0
            for process in [here, *here.children(recursive=True)]:
                try:
                    total += process.memory_full_info().uss
                except psutil.Error:
                    continue
            self.bytes = max(self.bytes, total)


def no_bundle(chosen: Preset) -> Any:
    """What scoring asks of a bundle, where an engine of no bundle scores."""
    return SimpleNamespace(preset=chosen, manifest={}, hash="0" * 64, path="none", fingerprint=str, cautions=list)


def measure(folder: Path, scans: int, milliseconds: float, workers: int, name: str) -> dict[str, Any]:
    write_phantom(folder / "made", healthy=2, lesions=0, seed=0, look=Look(shape=(240, 240, 155)))
    made = sorted((folder / "made" / "healthy").iterdir())
    (folder / "scans").mkdir()
    for index in range(scans):
        os.link(made[index % len(made)], folder / "scans" / f"scan{index:03d}.nii.gz")
    bundle = no_bundle(preset(name))
    peak = Peak()
    peak.start()
    engine = Sleeper(milliseconds / 1000)
    options = ScoreOptions(pictures=0, workers=workers)
    summary: Summary = score_folder([folder / "scans"], bundle, engine, folder / "out", options)
    peak.over.set()
    return {
        "scans": scans,
        "slices": summary.slices,
        "milliseconds_a_slice": milliseconds,
        "preset": name,
        "seconds": round(summary.seconds, 2),
        "slices_per_second": round(summary.slices / summary.seconds, 1),
        "engine_share": round(summary.slices * milliseconds / 1000 / summary.seconds, 3),
        "peak_mib": round(peak.bytes / 2**20),
        "stages": {stage: {k: round(v, 4) for k, v in values.items()} for stage, values in summary.stages.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=24)
    parser.add_argument("--milliseconds", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--preset", default="brats")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), options.scans, options.milliseconds, options.workers, options.preset)
    print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
