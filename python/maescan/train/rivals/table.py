"""The rivals by name."""

from __future__ import annotations

from collections.abc import Callable

from maescan.errors import ConfigError
from maescan.train.rivals.adversarial import AnoVaeGan, FAnoGan
from maescan.train.rivals.autoencoder import DenoisingAutoencoder
from maescan.train.rivals.common import Rival, Size
from maescan.train.rivals.dinomaly import Dinomaly
from maescan.train.rivals.distillation import Ast, ReverseDistillation
from maescan.train.rivals.draem import Draem
from maescan.train.rivals.iterative import IterativeMasking
from maescan.train.rivals.patchcore import PatchCore
from maescan.train.rivals.threshold import Threshold

RIVALS: dict[str, Callable[[Size], Rival]] = {
    "thresholding": Threshold,
    "denoising autoencoder": DenoisingAutoencoder,
    "PatchCore, random features": PatchCore,
    "AnoVAEGAN": AnoVaeGan,
    "f-AnoGAN": FAnoGan,
    "RD4AD, random features": ReverseDistillation,
    "AST, random features": Ast,
    "Dinomaly, random features": Dinomaly,
    "DRAEM": Draem,
    "iterative masking": IterativeMasking,
}


def rival(name: str, size: Size) -> Rival:
    """The rival `name`, not yet fitted. Raises ConfigError for another name."""
    if name not in RIVALS:
        raise ConfigError(f"unknown rival '{name}'", remedy=f"use one of {', '.join(RIVALS)}")
    return RIVALS[name](size)
