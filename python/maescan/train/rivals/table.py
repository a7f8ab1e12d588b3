"""The rivals by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from maescan.errors import ConfigError
from maescan.train.rivals.adversarial import AnoVaeGan, FAnoGan
from maescan.train.rivals.autoencoder import DenoisingAutoencoder
from maescan.train.rivals.common import Rival, Size
from maescan.train.rivals.dinomaly import Dinomaly
from maescan.train.rivals.distillation import Ast, ReverseDistillation
from maescan.train.rivals.draem import Draem
from maescan.train.rivals.features import imagenet_weights
from maescan.train.rivals.iterative import IterativeMasking
from maescan.train.rivals.patchcore import PatchCore
from maescan.train.rivals.threshold import Threshold

BY_FEATURES: dict[str, Callable[[Size], Rival]] = {
    "PatchCore": PatchCore,
    "RD4AD": ReverseDistillation,
    "AST": Ast,
    "Dinomaly": Dinomaly,
}


def on(made: Callable[[Size], Rival], features: str) -> Callable[[Size], Rival]:
    """A rival that looks at the features of that name."""
    return lambda size: made(replace(size, features=features))


IMAGENET = {f"{name}, ImageNet features": on(made, "imagenet") for name, made in BY_FEATURES.items()}
RIVALS: dict[str, Callable[[Size], Rival]] = {
    "thresholding": Threshold,
    "denoising autoencoder": DenoisingAutoencoder,
    "AnoVAEGAN": AnoVaeGan,
    "f-AnoGAN": FAnoGan,
    "DRAEM": Draem,
    "iterative masking": IterativeMasking,
    **{f"{name}, random features": on(made, "random") for name, made in BY_FEATURES.items()},
    **IMAGENET,
}


def installed() -> list[str]:
    """The rivals whose weights are here: those on ImageNet's come with the extra `rivals`."""
    return [name for name in RIVALS if name not in IMAGENET or imagenet_weights() is not None]


def rival(name: str, size: Size) -> Rival:
    """The rival `name`, not yet fitted. Raises ConfigError for another name."""
    if name not in RIVALS:
        raise ConfigError(f"unknown rival '{name}'", remedy=f"use one of {', '.join(RIVALS)}")
    return RIVALS[name](size)
