"""The public formulation of the paper's pipeline in plain PyTorch, written anew from the paper (sections 3.2 to 3.4).

Four separate passes of the MAE, each with its own random masks, its reconstruction in full with the visible patches
pasted back; their mean; the absolute difference; the classifier on the difference image. What maescan is measured
against. The weights are maescan's modules, so that both do the same model work.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maescan.config import Preset
from maescan.models import Classifier, MaskedAutoencoder


class PaperPipeline(nn.Module):
    """Slices [B, H, W] -> probability of abnormal [B]."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.preset = preset
        self.mae = MaskedAutoencoder(preset.model)
        self.classifier = Classifier(preset.model)

    def forward(self, slices: Tensor) -> Tensor:
        passes = [self.reconstruct(slices) for _ in range(self.preset.masks.passes)]
        difference = (slices - torch.stack(passes).mean(0)).abs()
        return self.classifier.score(self.patchify(difference), self.ids(len(slices)))

    def reconstruct(self, slices: Tensor) -> Tensor:
        """One pass [B, H, W]: mask, encode, decode, paste the visible patches back."""
        patches = self.patchify(slices)
        b, tokens, pixels = patches.shape
        keep = self.preset.masks.visible(tokens)
        shuffle = torch.rand(b, tokens).argsort(dim=1)
        restore = shuffle.argsort(dim=1)
        keep_ids = shuffle[:, :keep]
        visible = torch.gather(patches, 1, keep_ids[..., None].expand(-1, -1, pixels))
        predictions = self.mae(visible, self.ids(b), keep_ids, restore)
        hidden = torch.ones(b, tokens, dtype=predictions.dtype)
        hidden[:, :keep] = 0
        hidden = torch.gather(hidden, 1, restore)[..., None]
        return self.unpatchify(predictions * hidden + patches * (1 - hidden))

    def ids(self, rows: int) -> Tensor:
        return torch.arange(self.preset.model.tokens).expand(rows, -1)

    def patchify(self, slices: Tensor) -> Tensor:
        g, p = self.preset.model.grid, self.preset.model.patch_size
        return torch.einsum("bhpwq->bhwpq", slices.reshape(-1, g, p, g, p)).reshape(-1, g * g, p * p)

    def unpatchify(self, patches: Tensor) -> Tensor:
        g, p = self.preset.model.grid, self.preset.model.patch_size
        return torch.einsum("bhwpq->bhpwq", patches.reshape(-1, g, g, p, p)).reshape(-1, g * p, g * p)
