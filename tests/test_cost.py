from __future__ import annotations

import pytest

from maescan import cost
from maescan.config import PRESETS


def test_paper_preset_costs_what_the_formula_says():
    assert cost.slice_operations(PRESETS["brats"]) == pytest.approx(112e9, rel=0.02)


@pytest.mark.parametrize("name", ["tiny", "luna16"])
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
