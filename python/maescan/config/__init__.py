"""Presets: every parameter of the method, checked, and `brats`, `luna16`, `tiny` with their kin by name."""

from maescan.config.presets import PRESETS, preset
from maescan.config.training import ClassifierTraining, JudgeTraining, MaeTraining
from maescan.config.types import (
    GridConfig,
    IntensityConfig,
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
    "JudgeTraining",
    "MaeTraining",
    "MaskConfig",
    "ModelConfig",
    "Preset",
    "PseudoConfig",
    "TokenConfig",
    "preset",
]
