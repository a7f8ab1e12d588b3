"""Public weights of vision transformers as the start of an MAE: random weights in the layouts that are about."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from maescan.config import ModelConfig
from maescan.errors import DataError
from maescan.models import MaskedAutoencoder
from maescan.models.public import start_from_public

SIZE = ModelConfig(64, 16, 32, 2, 4, 16, 1, 2)


def authors_layout(channels=3):
    """As He et al.'s code saves an MAE on colour images, of 32 x 32 pixels."""
    torch.manual_seed(1)
    state = MaskedAutoencoder(ModelConfig(32, 16, 32, 2, 4, 16, 1, 2)).state_dict()
    state = {name: torch.randn_like(value) for name, value in state.items()}
    state["patch_embed.proj.weight"] = torch.randn(32, channels, 16, 16)
    state["decoder_pred.weight"] = torch.randn(256 * channels, 16)
    state["decoder_pred.bias"] = torch.randn(256 * channels)
    return state


def test_the_authors_layout_gives_encoder_and_decoder(tmp_path):
    state = authors_layout()
    torch.save({"model": state, "epoch": 799}, tmp_path / "mae.pth")
    mae = MaskedAutoencoder(SIZE)
    before = mae.pos_embed.clone()
    assert start_from_public(mae, tmp_path / "mae.pth") == ["encoder", "decoder"]
    own = mae.state_dict()
    assert torch.equal(own["blocks.1.mlp.fc1.weight"], state["blocks.1.mlp.fc1.weight"])
    assert torch.equal(own["decoder_blocks.0.attn.qkv.bias"], state["decoder_blocks.0.attn.qkv.bias"])
    assert torch.equal(mae.pos_embed, before)


def test_a_grey_slice_is_what_its_three_channels_were(tmp_path):
    """The file's own network on a grey image in all channels, its three predictions averaged."""
    state = authors_layout()
    torch.save(state, tmp_path / "mae.pth")
    mae = MaskedAutoencoder(SIZE)
    start_from_public(mae, tmp_path / "mae.pth")
    patch = np.random.default_rng(0).random((16, 16)).astype(np.float32)
    colour = torch.from_numpy(np.stack([patch] * 3))
    embedded = torch.nn.functional.conv2d(
        colour[None], state["patch_embed.proj.weight"], state["patch_embed.proj.bias"]
    )
    assert torch.allclose(
        mae.patch_embed(torch.from_numpy(patch).reshape(1, 1, -1))[0, 0], embedded.flatten(), atol=1e-4
    )
    latent = torch.randn(16)
    colours = (state["decoder_pred.weight"] @ latent + state["decoder_pred.bias"]).reshape(16, 16, 3)  # p, q, c
    assert torch.allclose(mae.decoder_pred(latent), colours.mean(dim=2).flatten(), atol=1e-4)


def test_timms_layout_gives_the_encoder(tmp_path):
    torch.manual_seed(2)
    vit = timm.models.vision_transformer.VisionTransformer(
        img_size=64, patch_size=16, embed_dim=32, depth=2, num_heads=4, num_classes=0
    )
    save_file(vit.state_dict(), tmp_path / "vit.safetensors")
    mae = MaskedAutoencoder(SIZE)
    decoder = mae.decoder_embed.weight.clone()
    taken = start_from_public(mae, tmp_path / "vit.safetensors")
    assert taken[0] == "encoder" and taken[1].startswith("no decoder: missing weights: ")
    assert taken[2].startswith("no positions")
    assert torch.equal(mae.blocks[1].attn.qkv.weight, vit.blocks[1].attn.qkv.weight)
    assert torch.equal(mae.decoder_embed.weight, decoder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda state: state.pop("blocks.1.norm1.weight"), r"missing weights: blocks\.1\.norm1\.weight"),
        (
            lambda state: state.update({"blocks.0.ls1.gamma": torch.ones(32)}),
            r"unknown weights: blocks\.0\.ls1\.gamma",
        ),
        (lambda state: state.update({"cls_token": torch.ones(1, 1, 48)}), "weights of another shape: cls_token is"),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused_and_nothing_taken(tmp_path, change, reason):
    state = authors_layout()
    change(state)
    torch.save(state, tmp_path / "mae.pth")
    mae = MaskedAutoencoder(SIZE)
    before = {name: value.clone() for name, value in mae.state_dict().items()}
    with pytest.raises(DataError, match=reason):
        start_from_public(mae, tmp_path / "mae.pth")
    assert all(torch.equal(value, before[name]) for name, value in mae.state_dict().items())


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.bin"])
def test_files_that_are_no_weights_are_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80nothing of the kind" * 9)
    with pytest.raises(DataError, match="cannot be read as a checkpoint") as caught:
        start_from_public(MaskedAutoencoder(SIZE), tmp_path / name)
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_said_in_words(tmp_path):
    with pytest.raises(DataError, match=r"^\S+w\.pth: cannot be read: No such file or directory \("):
        start_from_public(MaskedAutoencoder(SIZE), tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.bin"])
def test_a_file_of_text_is_said_to_be_no_weights(tmp_path, name):
    (tmp_path / name).write_text("hello")
    with pytest.raises(DataError, match=r"it is no file of torch\.save, or damaged"):
        start_from_public(MaskedAutoencoder(SIZE), tmp_path / name)
