"""Torch modules to OpenVINO's intermediate representation."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn


class Scores(nn.Module):
    """The classifier with its softmax: patches [B, T, P*P], token_ids [B, T] -> probability [B] of abnormal."""

    def __init__(self, classifier: Any) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, patches: torch.Tensor, token_ids: torch.Tensor) -> torch.Tensor:
        return self.classifier.score(patches, token_ids)


def convert(folder: Path, mae: Any, classifier: Any | None, preset: Any) -> None:
    """Writes mae.xml and classifier.xml with their .bin (weights in fp32), batch and token axes dynamic."""
    import openvino

    model, rows = preset.model, 2
    ids = torch.arange(model.tokens, dtype=torch.int32).expand(rows, -1).contiguous()
    keep = ids[:, : preset.masks.visible(model.tokens)].contiguous()
    visible = torch.zeros(rows, keep.shape[1], model.patch_pixels)
    patches = torch.zeros(rows, model.tokens, model.patch_pixels)
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted = openvino.convert_model(mae, example_input=(visible, ids, keep, ids))
        openvino.save_model(converted, folder / "mae.xml", compress_to_fp16=False)
        if classifier is not None:
            converted = openvino.convert_model(Scores(classifier), example_input=(patches, ids))
            openvino.save_model(converted, folder / "classifier.xml", compress_to_fp16=False)
