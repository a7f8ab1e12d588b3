"""maescan: masked-autoencoder anomaly detection for medical scans.

    import maescan

    with maescan.load("bundle") as model:
        result = model.score_scan("scan.nii.gz")
    result.score, result.slice_scores, result.map

>>> import maescan
>>> maescan.preset("tiny").model.image_size
64

Names of `__all__` are loaded when they are asked for; everything else may change.
"""

from __future__ import annotations

import os
import sys

# OpenVINO tells its makers of every import through this package, where it is installed; scoring opens no connection.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
# ONNX Runtime tells its makers of models, errors and this machine.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

TYPE_CHECKING = False  # without typing, which takes longest: until main() runs, Ctrl-C is the interpreter's
if TYPE_CHECKING:
    from maescan.config import Preset, preset
    from maescan.errors import (
        BundleError,
        ConfigError,
        DataError,
        EngineError,
        MaescanError,
        ScanError,
        TrainingError,
    )
    from maescan.options import CandidateTable, EngineOptions, LungTiles, ReadOptions
    from maescan.results.rows import Failure
    from maescan.scans import Scan, find_scans, read_scan
    from maescan.scoring.model import Model, ScanScores, load
    from maescan.scoring.options import ScoreOptions
    from maescan.scoring.summary import Summary

__version__ = "0.1.0"

_HOMES = {
    "config": ("Preset", "preset"),
    "errors": (
        "BundleError",
        "ConfigError",
        "DataError",
        "EngineError",
        "MaescanError",
        "ScanError",
        "TrainingError",
    ),
    "options": ("CandidateTable", "EngineOptions", "LungTiles", "ReadOptions"),
    "results.rows": ("Failure",),
    "scans": ("Scan", "find_scans", "read_scan"),
    "scoring.model": ("Model", "ScanScores", "load"),
    "scoring.options": ("ScoreOptions",),
    "scoring.summary": ("Summary",),
}
__all__ = [
    "BundleError",
    "CandidateTable",
    "ConfigError",
    "DataError",
    "EngineError",
    "EngineOptions",
    "Failure",
    "LungTiles",
    "MaescanError",
    "Model",
    "Preset",
    "ReadOptions",
    "Scan",
    "ScanError",
    "ScanScores",
    "ScoreOptions",
    "Summary",
    "TrainingError",
    "find_scans",
    "load",
    "preset",
    "read_scan",
]


if not TYPE_CHECKING:  # type checkers take the imports above

    def __getattr__(name: str) -> object:
        import importlib

        for home, names in _HOMES.items():
            if name in names:
                return getattr(importlib.import_module(f"maescan.{home}"), name)
        raise AttributeError(f"module 'maescan' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
