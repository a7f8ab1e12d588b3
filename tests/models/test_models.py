"""The networks against the equations of He et al. (2022), Vaswani et al. (2017) and Dosovitskiy et al. (2021)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from maescan.config import PRESETS, ModelConfig
from maescan.models import Classifier, MaskedAutoencoder
from maescan.models.positions import sincos_positions

SMALL = ModelConfig(32, 8, 48, 3, 4, 32, 2, 2)


@pytest.fixture
def mae():
    torch.manual_seed(1)
    model = MaskedAutoencoder(SMALL).eval()
    with torch.no_grad():  # biases and norms away from 0 and 1, so that a forgotten one shows
        for parameter in model.parameters():
            parameter.add_(0.05 * parameter.requires_grad * torch.randn_like(parameter))
    return model


def weights(model):
    return {name: value.numpy().astype(np.float64) for name, value in model.state_dict().items()}


def norm(x, w, name):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * w[name + ".weight"] + w[name + ".bias"]


def linear(x, w, name):
    return x @ w[name + ".weight"].T + w[name + ".bias"]


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def attention(x, w, name, heads):
    n, length, dim = x.shape
    q, k, v = linear(x, w, name + ".qkv").reshape(n, length, 3, heads, dim // heads).transpose(2, 0, 3, 1, 4)
    logits = np.exp(q @ k.swapaxes(2, 3) / math.sqrt(dim // heads))
    mixed = (logits / logits.sum(-1, keepdims=True)) @ v
    return linear(mixed.transpose(0, 2, 1, 3).reshape(n, length, dim), w, name + ".proj")


def transformer(x, w, name, depth, heads):
    for i in range(depth):
        block = f"{name}.{i}"
        x = x + attention(norm(x, w, block + ".norm1"), w, block + ".attn", heads)
        x = x + linear(gelu(linear(norm(x, w, block + ".norm2"), w, block + ".mlp.fc1")), w, block + ".mlp.fc2")
    return x


def positions(dim, row, column):
    """One patch's code, number by number."""
    code = []
    for place in (column, row):
        angles = [place / 10000 ** (i / (dim // 4)) for i in range(dim // 4)]
        code += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    return np.array(code)


def mae_by_hand(w, config, patches, noise, keep):
    """He et al., section 3: shuffle by noise, encode the first `keep`, append mask tokens, unshuffle, decode."""
    rows, everything, d = [], range(config.tokens), config
    place = {
        dim: np.array([positions(dim, *divmod(t, d.grid)) for t in everything])
        for dim in (d.encoder_dim, d.decoder_dim)
    }
    kernel = w["patch_embed.proj.weight"].reshape(d.encoder_dim, -1)
    for n, slice_patches in enumerate(patches):
        shuffle = np.argsort(noise[n])
        tokens = slice_patches @ kernel.T + w["patch_embed.proj.bias"] + place[d.encoder_dim]
        x = np.concatenate([w["cls_token"][0], tokens[shuffle[:keep]]])[None]
        x = norm(transformer(x, w, "blocks", d.encoder_depth, d.encoder_heads), w, "norm")
        x = linear(x, w, "decoder_embed")[0]
        full = np.repeat(w["mask_token"][0], d.tokens, axis=0)
        full[shuffle[:keep]] = x[1:]
        x = np.concatenate([x[:1], full + place[d.decoder_dim]])[None]
        x = norm(transformer(x, w, "decoder_blocks", d.decoder_depth, d.decoder_heads), w, "decoder_norm")
        rows.append(linear(x, w, "decoder_pred")[0, 1:])
    return np.array(rows)


def batch(tokens, keep, pixels, rows=3, seed=0):
    rng = np.random.default_rng(seed)
    patches, noise = rng.random((rows, tokens, pixels)), rng.random((rows, tokens))
    shuffle = torch.from_numpy(np.argsort(noise, axis=1).astype(np.int32))
    restore = torch.from_numpy(np.argsort(np.argsort(noise, axis=1), axis=1).astype(np.int32))
    visible = torch.gather(torch.from_numpy(patches), 1, shuffle[:, :keep, None].long().expand(-1, -1, pixels))
    ids = torch.arange(tokens, dtype=torch.int32).expand(rows, -1)
    return patches, noise, (visible.float(), ids, shuffle[:, :keep], restore)


def test_mae_forward_follows_he_et_al(mae):
    patches, noise, inputs = batch(SMALL.tokens, 4, SMALL.patch_pixels)
    with torch.no_grad():
        predictions = mae(*inputs).numpy()
    w = weights(mae)
    w["pos_embed"][:], w["decoder_pos_embed"][:] = np.nan, np.nan  # the equations make their own
    assert np.abs(predictions - mae_by_hand(w, SMALL, patches, noise, 4)).max() < 1e-5


def test_positions_are_the_papers():
    table = sincos_positions(48, 4)[0].double().numpy()
    assert np.all(table[0] == 0)
    assert np.abs(table[1 + 4 * 2 + 3] - positions(48, 2, 3)).max() < 1e-6


def test_classifier_averages_the_patches_and_not_the_class_token():
    torch.manual_seed(2)
    model = Classifier(SMALL).eval()
    torch.nn.init.normal_(model.head.weight)
    patches = torch.rand(2, 16, 64)
    w = weights(model)
    x = patches.numpy() @ w["patch_embed.proj.weight"].reshape(48, -1).T + w["pos_embed"][:, 1:]
    x = np.concatenate([np.repeat(w["cls_token"] + w["pos_embed"][:, :1], 2, axis=0), x], axis=1)
    x = transformer(x, w, "blocks", 3, 4)[:, 1:].mean(1)
    logits = model(patches, torch.arange(16).expand(2, -1)).detach().numpy()
    assert np.abs(logits - linear(norm(x, w, "fc_norm"), w, "head")).max() < 1e-5


def test_score_is_the_probability_of_class_0():
    model = Classifier(SMALL).eval()
    with torch.no_grad():
        model.head.bias.copy_(torch.tensor([3.0, 0.0]))
    assert model.score(torch.rand(1, 16, 64), torch.arange(16)[None]).item() == pytest.approx(
        1 / (1 + math.exp(-3)), abs=1e-3
    )


def test_a_subset_of_tokens_is_the_same_set_in_any_order(mae):
    _, _, (visible, _, keep, restore) = batch(6, 2, SMALL.patch_pixels, rows=1)
    ids = torch.tensor([[1, 4, 5, 9, 10, 14]], dtype=torch.int32)
    order = torch.tensor([5, 0, 3, 1, 2, 4])
    place = torch.argsort(order).int()
    with torch.no_grad():
        one = mae(visible, ids, keep, restore)
        other = mae(visible, ids[:, order], place[keep.long()], restore[:, order])
    assert torch.allclose(one[:, order], other, atol=1e-6)


def test_a_subset_differs_by_where_it_stands(mae):
    _, _, (visible, ids, keep, restore) = batch(6, 2, SMALL.patch_pixels, rows=1)
    assert not torch.allclose(mae(visible, ids, keep, restore), mae(visible, ids + 3, keep, restore), atol=1e-3)


def test_loss_is_equation_1(mae):
    patches, predictions = torch.zeros(1, 3, 4), torch.tensor([[[1.0] * 4, [2.0] * 4, [5.0] * 4]])
    restore = torch.tensor([[1, 2, 0]])  # token 2 is the visible one
    assert mae.loss(predictions, patches, restore, 1).item() == pytest.approx((1 + 4) / 2)
    assert mae.loss(predictions, patches, restore, 1, "all").item() == pytest.approx((1 + 4 + 25) / 3)


def test_public_names_and_sizes_of_vit_base():
    with torch.device("meta"):
        mae, classifier = MaskedAutoencoder(PRESETS["brats"].model), Classifier(PRESETS["brats"].model)
    names = {name: tuple(value.shape) for name, value in mae.state_dict().items()}
    assert names["patch_embed.proj.weight"] == (768, 1, 16, 16) and names["pos_embed"] == (1, 197, 768)
    assert names["blocks.11.attn.qkv.bias"] == (2304,) and names["decoder_blocks.7.mlp.fc1.weight"] == (2048, 512)
    assert names["decoder_pred.weight"] == (256, 512) and names["mask_token"] == (1, 1, 512)
    shared = {n for n in names if not n.startswith(("decoder", "mask_token", "norm."))}
    own = {"fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias"}
    assert set(classifier.state_dict()) == shared | own
    assert classifier.state_dict()["head.weight"].shape == (2, 768)


def test_classifier_starts_from_the_encoder(mae):
    classifier = Classifier(SMALL)
    head = classifier.head.weight.clone()
    classifier.start_from(mae.state_dict())
    shared = [name for name in classifier.state_dict() if not name.startswith(("fc_norm", "head"))]
    assert all(torch.equal(classifier.state_dict()[name], mae.state_dict()[name]) for name in shared)
    assert len(shared) > 30 and torch.equal(classifier.head.weight, head)


def test_drop_path_acts_only_in_training():
    torch.manual_seed(0)
    model, patches, ids = Classifier(SMALL, drop_path=0.9), torch.rand(8, 16, 64), torch.arange(16).expand(8, -1)
    torch.nn.init.normal_(model.head.weight)
    assert not torch.equal(model(patches, ids), model(patches, ids))
    assert torch.equal(model.eval()(patches, ids), model(patches, ids))


@pytest.mark.parametrize("kind", [MaskedAutoencoder, Classifier])
def test_the_models_trace(kind):
    model = kind(replace(SMALL, encoder_depth=1, decoder_depth=1)).eval()
    _, _, inputs = batch(16, 4, 64)
    inputs = inputs if kind is MaskedAutoencoder else (torch.rand(3, 16, 64), inputs[1])
    traced = torch.export.export(model, inputs).module()
    assert torch.allclose(traced(*inputs), model(*inputs), atol=1e-6)
