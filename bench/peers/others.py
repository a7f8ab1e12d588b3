"""Peers that are whole packages of others, as calls that take no arguments: the work of one batch each."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maescan.config import Preset

Call = Callable[[], object]


def vit_mae(preset: Preset, images: np.ndarray) -> Call:
    """Hugging Face's ViTMAE of the preset's sizes, random weights: every slice in every pass, in one batch, as
    maescan's MAE part. It draws its own masks; its loss over the hidden patches cannot be left out."""
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    m = preset.model
    config = ViTMAEConfig(
        hidden_size=m.encoder_dim,
        num_hidden_layers=m.encoder_depth,
        num_attention_heads=m.encoder_heads,
        intermediate_size=int(m.encoder_dim * m.mlp_ratio),
        image_size=m.image_size,
        patch_size=m.patch_size,
        num_channels=1,
        decoder_num_attention_heads=m.decoder_heads,
        decoder_hidden_size=m.decoder_dim,
        decoder_num_hidden_layers=m.decoder_depth,
        decoder_intermediate_size=int(m.decoder_dim * m.mlp_ratio),
        mask_ratio=preset.masks.ratio,
    )
    model = ViTMAEForPreTraining(config).eval()
    rows = torch.from_numpy(np.repeat(images, preset.masks.passes, axis=0))[:, None]
    return lambda: model(pixel_values=rows).logits


def draem(images: np.ndarray, folder: Path) -> Call:
    """anomalib's OpenVINO inferencer with DRAEM, its nearest model: a network that reconstructs, another that judges
    image and reconstruction, trained on artificial anomalies. Random weights; one image a call, as it takes them;
    colour, at our size. Not the same network: see its operations."""
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    from anomalib.deploy import OpenVINOInferencer

    model = _draem(folder)
    path = model.to_openvino(export_root=folder, input_size=images.shape[1:])
    with contextlib.chdir(folder):  # where it leaves its cache
        inferencer = OpenVINOInferencer(path, device="CPU")
    scaled = [(127 * image).astype(np.uint8) for image in images]
    given = [np.repeat(image[..., None], 3, axis=2) for image in scaled]
    return lambda: [inferencer.predict(image) for image in given]


def _draem(folder: Path) -> Any:
    """`dtd_dir`: a picture of its own, or it would download textures that only training needs."""
    from anomalib.models import Draem
    from PIL import Image

    (folder / "textures").mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(folder / "textures" / "grey.png")
    return Draem(dtd_dir=folder / "textures")


def draem_operations(folder: Path, side: int) -> int:
    """Of one image, counted by torch."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counted, torch.inference_mode():
        _draem(folder).model.eval()(torch.zeros(1, 3, side, side))
    return int(counted.get_total_flops())
