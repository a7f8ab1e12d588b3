"""Presets: every parameter of the method, checked, and `brats`, `luna16`, `tiny` with their kin by name."""

from maescan.config.presets import PRESETS, preset
from maescan.config.types import (
    ClassifierTraining,
    GridConfig,
    IntensityConfig,
    MaeTraining,
    MaskConfig,
    ModelConfig,
    Preset,
    PseudoConfig,
    TokenConfig,
)

__all__ = [
    "PRESETS",
    "ClassifierTraining",
    "GridConfig",
    "IntensityConfig",
    "MaeTraining",
    "MaskConfig",
    "ModelConfig",
    "Preset",
    "PseudoConfig",
    "TokenConfig",
    "preset",
]
