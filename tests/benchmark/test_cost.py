from __future__ import annotations

import pytest

from helpers.marks import slow
from maescan.benchmark import cost
from maescan.config import PRESETS


def test_paper_preset_costs_what_the_formula_says():
    assert cost.slice_operations(PRESETS["brats"]) == pytest.approx(112e9, rel=0.02)


@pytest.mark.parametrize("name", ["tiny", *slow("luna16")])
def test_formula_matches_counted_operations(name):
    torch = pytest.importorskip("torch")
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from maescan.models.classifier import Classifier
    from maescan.models.mae import MaskedAutoencoder

    preset = PRESETS[name]
    m, keep = preset.model, preset.masks.visible(preset.model.tokens)
    ids = torch.arange(m.tokens)[None]
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        MaskedAutoencoder(m).eval()(torch.zeros(1, keep, m.patch_pixels), ids, ids[:, :keep], ids)
    assert counted.get_total_flops() == pytest.approx(cost.mae(preset), rel=0.01)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        Classifier(m).eval()(torch.zeros(1, m.tokens, m.patch_pixels), ids)
    assert counted.get_total_flops() == pytest.approx(cost.classifier(preset), rel=0.01)


@pytest.mark.parametrize("name", ["tiny+", *slow("luna16+")])
def test_the_judge_costs_what_the_formula_says(name):
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    from maescan.models.judge import Judge

    preset = PRESETS[name]
    tokens = preset.model.tokens // 2
    features = torch.zeros(1, tokens, preset.model.judge_features)
    judge = Judge(preset.model, preset.judge).eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counted:
        judge(features, torch.arange(tokens)[None])
    assert counted.get_total_flops() == cost.judge(preset, tokens)
    assert cost.judge_weights(preset) == sum(p.numel() for p in judge.parameters() if p.ndim > 1)


@pytest.mark.parametrize("name", ["tiny", *slow("luna16")])
def test_exported_networks_cost_what_the_formula_says(name):
    torch = pytest.importorskip("torch")
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from maescan.export.networks import networks
    from maescan.models.classifier import Classifier
    from maescan.models.mae import MaskedAutoencoder

    preset, found = PRESETS[name], {}
    models = MaskedAutoencoder(preset.model), Classifier(preset.model)
    for part, module, example in networks(*models, preset):
        with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
            module(*(value[:1] for value in example.values()))
        found[part] = counted.get_total_flops()
    total = preset.masks.passes * found["mae"] + found["classifier"]
    spared = cost.slice_operations(preset) - cost.engine_operations(preset)
    assert cost.slice_operations(preset) - total == pytest.approx(spared, rel=0.03)
    assert spared > 0.02 * total


@pytest.mark.parametrize("name", ["tiny", *slow("luna16")])
def test_weights_and_activations_match_the_models(name):
    torch = pytest.importorskip("torch")
    from maescan.models.classifier import Classifier
    from maescan.models.mae import MaskedAutoencoder

    preset, moved = PRESETS[name], []
    mae, classifier = MaskedAutoencoder(preset.model).eval(), Classifier(preset.model).eval()
    for model, weights in ((mae, cost.mae_weights(preset)), (classifier, cost.classifier_weights(preset))):
        products = sum(
            p.numel() for n, p in model.named_parameters() if p.squeeze().ndim > 1 and "pos_embed" not in n
        )
        assert products == weights
    for block in classifier.blocks:
        for product in (m for m in block.modules() if isinstance(m, torch.nn.Linear)):
            product.register_forward_hook(lambda _, given, out: moved.append(given[0].numel() + out.numel()))
    m = preset.model
    with torch.inference_mode():
        classifier(torch.zeros(1, m.tokens, m.patch_pixels), torch.arange(m.tokens)[None])
    attention = m.encoder_depth * (m.tokens + 1) * 4 * m.encoder_dim
    sizes = (m.tokens + 1, m.encoder_dim, m.encoder_depth, m.mlp_ratio)
    assert sum(moved) + attention == cost.activations(*sizes)


def test_a_larger_batch_shares_the_weights():
    alone, shared = (cost.slice_bytes(PRESETS["brats"], batch, 2) for batch in (1, 8))
    weights = cost.mae_weights(PRESETS["brats"]) + cost.classifier_weights(PRESETS["brats"])
    assert alone - shared == pytest.approx(2 * weights * 7 / 8)
    assert cost.slice_bytes(PRESETS["brats"], 8, 4) > 1.9 * shared
