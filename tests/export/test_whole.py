"""The path as one graph, built by TensorRT-RTX as a user's machine builds it (tests/engines/test_whole_path.py runs
it)."""

from __future__ import annotations

import pytest

from helpers.bundles import SMALL
from maescan.config import PRESETS
from maescan.engines import plans
from maescan.engines.place import narrow_images
from maescan.export.onnx import OPSET, models
from maescan.export.tensorrt_rtx import share
from maescan.export.whole import ANSWERS, INPUTS, fits, whole
from maescan.models import Classifier, Judge, MaskedAutoencoder

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("measure", "precision", "card"),
    [("classifier", "bf16", (8, 9)), ("classifier", "fp16", (7, 5)), ("judge", "fp16", (7, 5))],
)
def test_tensorrt_rtx_builds_it_for_sets_of_every_size(tmp_path, measure, precision, card):
    """An RTX 20, 7.5, has the fewest operations: no product of matrices in float32."""
    trt, preset = pytest.importorskip("tensorrt_rtx"), SMALL.replace(measure=measure)
    mae, judged = MaskedAutoencoder(preset.model).eval(), measure == "judge"
    judge = Judge(preset.model, preset.judge) if judged else Classifier(preset.model)
    parts = dict(models(mae, judge.eval(), preset, precision, narrow=True))
    share(tmp_path, {"scores": whole(parts["mae"], parts["classifier"], preset, precision, OPSET)})
    assert len(plans.build(trt, tmp_path / "scores.onnx", preset, card)) > 100_000


def test_its_inputs_have_shapes_for_every_size_of_set():
    passes = SMALL.masks.passes
    for tokens in (4, 8, 16):
        found, keep = plans.shapes(list(INPUTS), SMALL, 3, tokens), SMALL.masks.visible(tokens)
        assert found == {
            "images": (3, 32, 32),
            "token_ids": (3, tokens),
            "keep_ids": (3 * passes, keep),
            "hidden_ids": (3 * passes, tokens - keep),
            "restore_ids": (3 * passes, tokens),
        }
    assert plans.shapes(["visible", "token_ids"], SMALL, 3, 16)["token_ids"] == (3 * passes, 16)
    assert ANSWERS[0] == "score"


def test_where_it_fits_and_what_goes_up_narrow():
    assert fits(SMALL) and not fits(SMALL.replace(masks__paste=False)) and not fits(SMALL.replace(measure="ssim"))
    for preset in PRESETS.values():  # of a classifier or a judge, where visible tokens need no prediction
        assert fits(preset) == (preset.network in ("classifier", "judge") and preset.input == "l1")
    assert fits(PRESETS["brats+"]) and fits(PRESETS["tiny-fast"])
    brats, luna = PRESETS["brats"], PRESETS["luna16"]
    assert narrow_images(brats, "fp16") and narrow_images(luna, "bf16") and not narrow_images(brats, "fp32")
    for other in (
        brats.replace(intensity__method="zscore"),
        brats.replace(intensity__method="none"),
        brats.replace(intensity__top=1000.0),
        luna.replace(intensity__clip=False),
    ):
        assert not narrow_images(other, "fp16")
