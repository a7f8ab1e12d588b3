"""Networks in 16 bits: what stays in fp32, and that the module itself is left alone."""

from __future__ import annotations

import pytest
import torch

from helpers.bundles import SMALL
from maescan.export.mixed import DTYPES, Cast, WideAttention, WideNorm, halved, mixed
from maescan.export.networks import networks
from maescan.models import Classifier, MaskedAutoencoder


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    mae, classifier = MaskedAutoencoder(SMALL.model).eval(), Classifier(SMALL.model).eval()
    torch.nn.init.normal_(classifier.head.weight, std=0.5)
    return {name: (module, tuple(example.values())) for name, module, example in networks(mae, classifier, SMALL)}


@pytest.mark.parametrize("make", [mixed, halved])
@pytest.mark.parametrize("name", ["mae", "classifier"])
@pytest.mark.parametrize("precision", DTYPES)
def test_16_bits_are_near_fp32_and_not_the_same(network, make, name, precision):
    module, example = network[name]
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with torch.inference_mode():
        wanted, found = module(*example), make(module, precision)(*example)
    assert found.dtype == torch.float32 and found.shape == wanted.shape
    gap = (found - wanted).abs().max() / wanted.abs().max()
    assert 1e-6 < gap < (0.02 if precision == "fp16" else 0.1)
    after = module.state_dict()
    assert all(torch.equal(after[key], value) and after[key].dtype == value.dtype for key, value in before.items())


@pytest.mark.parametrize("make", [mixed, halved])
def test_fp32_is_the_module_itself(network, make):
    assert make(network["mae"][0], "fp32") is network["mae"][0]


def test_norms_and_softmax_stay_wide(network):
    made = mixed(network["classifier"][0], "fp16")
    norms = [module for module in made.modules() if isinstance(module, torch.nn.LayerNorm)]
    wide = [module for module in made.modules() if isinstance(module, WideNorm)]
    assert norms and len(norms) == len(wide) and all(norm.weight.dtype == torch.float32 for norm in norms)
    assert sum(isinstance(module, WideAttention) for module in made.modules()) == SMALL.model.encoder_depth
    others = [value for key, value in made.state_dict().items() if ".norm" not in key and value.is_floating_point()]
    assert others and {value.dtype for value in others} == {torch.float16}


def test_large_numbers_do_not_overflow_a_wide_norm():
    norm = WideNorm(torch.nn.LayerNorm(4))
    values = torch.tensor([[60000.0, -60000, 50000, -50000]], dtype=torch.float16)
    assert torch.isfinite(norm(values)).all() and norm(values).dtype == torch.float16


def test_narrow_takes_and_gives_16_bits(network):
    module, example = network["mae"]
    made = mixed(module, "bf16", narrow=True)
    assert not isinstance(made, Cast)
    with torch.inference_mode():
        assert made(example[0].bfloat16(), *example[1:]).dtype == torch.bfloat16
