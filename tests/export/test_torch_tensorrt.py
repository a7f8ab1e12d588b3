"""The ranges that torch-tensorrt is asked for, with a stand-in that keeps what it is given."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from helpers.bundles import SMALL
from maescan.config import PRESETS
from maescan.export.mixed import mixed
from maescan.export.networks import networks
from maescan.export.torch_tensorrt import convert
from maescan.models import Classifier, MaskedAutoencoder

pytestmark = pytest.mark.slow

RUN = [preset for preset in PRESETS.values() if preset.measure != "judge"]  # TensorRT refuses the judge by name


@pytest.mark.parametrize("preset", [SMALL, *RUN], ids=lambda preset: preset.name)
def test_examples_lie_inside_the_ranges_of_every_preset(preset):
    """With two rows as the example every MAE export ended in a constraint violation."""
    thin = dict.fromkeys(("model__encoder_depth", "model__decoder_depth"), 1)
    preset = preset.replace(**thin, model__encoder_dim=48, model__decoder_dim=32, model__encoder_heads=4)
    given = set()

    def keep(_, arg_inputs, assume_dynamic_shape_support):
        assert assume_dynamic_shape_support
        for port in arg_inputs:
            low, usual, high = port.min_shape, port.opt_shape, port.max_shape
            assert low[1:] == usual[1:] == high[1:] and low[0] <= usual[0] <= high[0] == 32 * low[0]
        given.add(arg_inputs[0].name)
        return b"plan"

    stand_in = SimpleNamespace(
        Input=lambda **named: SimpleNamespace(**named),
        dynamo=SimpleNamespace(convert_exported_program_to_serialized_trt_engine=keep),
    )
    mae, classifier = MaskedAutoencoder(preset.model).eval(), Classifier(preset.model).eval()
    for name, module, example in networks(mae, classifier, preset):
        rows = preset.masks.passes if name == "mae" else 1
        assert convert(stand_in, mixed(module, "fp16"), example, rows, "cpu") == b"plan"
    assert given == {"visible", "patches"}
