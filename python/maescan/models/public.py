"""An MAE that starts from public weights of a vision transformer, as users with few scans need."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from maescan.errors import DataError
from maescan.models.mae import MaskedAutoencoder
from maescan.models.weights import read_public, weight_faults

POSITIONS = "pos_embed", "decoder_pos_embed"
ENCODER = "patch_embed.", "cls_token", "blocks.", "norm."


def start_from_public(mae: MaskedAutoencoder, path: Path) -> list[str]:
    """Takes the encoder's weights, and the decoder's where the file has one that fits; returns what was taken, and
    what was not and why.

    The file is of the layout of He et al.'s code or of timm's ViT (.pth, .bin, .safetensors). What it learnt on
    colours is made grey: the patch embedding's channels are summed, as if all three were the slice, and the
    predictions of the three averaged. Positions stay sines and cosines of this model's own grid, so its slices may be
    of another size. Raises DataError for a file that cannot be read or an encoder that does not fit the preset.
    """
    own = {name: value for name, value in mae.state_dict().items() if name not in POSITIONS}
    state = {name: _grey(name, value) for name, value in read_public(path).items()}
    encoder = {name: value for name, value in own.items() if name.startswith(ENCODER)}
    public = {name: value for name, value in state.items() if name.startswith(ENCODER)}
    if faults := weight_faults(public, encoder):
        remedy = "give a ViT of the preset's size (brats: ViT-B/16), or a preset file of the ViT's size"
        raise DataError(f"is no encoder of this preset: {'; '.join(faults)}", path=path, remedy=remedy)
    decoder = {name: value for name, value in own.items() if name not in encoder}
    offered = {name: value for name, value in state.items() if name in decoder or name.startswith("decoder_")}
    offered = {name: value for name, value in offered.items() if name not in POSITIONS}
    lacking = weight_faults(offered, decoder)
    mae.load_state_dict(mae.state_dict() | public | ({} if lacking else offered))
    learnt = state.get("pos_embed")
    notes = ["encoder", f"no decoder: {lacking[0]}" if lacking else "decoder"]
    if learnt is not None and learnt.shape == mae.pos_embed.shape and (learnt - mae.pos_embed).abs().max() > 0.01:
        notes.append("no positions: the file's were learnt, this model's are fixed")
    return notes


def _grey(name: str, value: Tensor) -> Tensor:
    """A weight for colours as one for a grey slice; the others as they are."""
    if name == "patch_embed.proj.weight" and value.ndim == 4:
        return value.sum(dim=1, keepdim=True)
    if name.startswith("decoder_pred.") and value.shape[0] % 3 == 0:
        grey: Tensor = value.unflatten(0, (-1, 3)).mean(dim=1)
        return grey
    return value.to(torch.float32)
