"""Values of a preset: types, ranges, what must hold between them."""

from __future__ import annotations

import json

import pytest

from maescan.config import PRESETS, MaskConfig, Preset, preset
from maescan.errors import ConfigError


@pytest.mark.parametrize("name", PRESETS)
def test_preset_survives_json(name):
    values = json.loads(json.dumps(PRESETS[name].to_dict()))
    assert Preset.from_dict(values) == PRESETS[name]
    older = {**values, "judge": {**values["judge"], "heads": 4, "drop_path": 0.1}}
    assert Preset.from_dict(older) == PRESETS[name]


def test_replace_reaches_into_parts():
    assert preset("tiny").replace(masks__ratio=0.5, input="l2").masks == MaskConfig(ratio=0.5)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"unknown": 1}, "unknown"),
        ({"masks": {"ratio": "high"}}, "preset.masks.ratio"),
        ({"masks": {"strategy": "best"}}, "strategy"),
        ({"pseudo": {"boxes": [1]}}, "boxes"),
        ({"model": 3}, "preset.model"),
    ],
)
def test_wrong_preset_is_named(change, word):
    with pytest.raises(ConfigError, match=word):
        Preset.from_dict({"name": "x", **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "a\x1b[2J"}, "preset.name is 'a\\x1b[2J': it must be 1 to 64 characters that can be printed"),
        ({"name": " "}, "preset.name is ' ': "),
        ({"name": "x" * 65}, "xxx': it must be 1 to 64"),
        ({"model": {"patch_size": 9}}, "preset.model.patch_size is 9: it must divide image_size, 224"),
        ({"model": {"encoder_heads": 5}}, "preset.model.encoder_heads is 5: it must divide encoder_dim, 768"),
        ({"grid": {"field_mm": -5}}, "preset.grid.field_mm is -5: it must be null or a number from 1 to 5000"),
        ({"masks": {"ratio": 1.0}}, "preset.masks.ratio is 1.0: it must be a number from 0 to 0.99"),
        ({"masks": {"passes": True}}, "preset.masks.passes is True: it must be a whole number from 1 to 256"),
        ({"mae": {"base_lr": float("nan")}}, "preset.mae.base_lr is nan: it must be a number"),
        ({"classifier": {"betas": [0.9]}}, "preset.classifier.betas is (0.9,): it must be 2 of a number from 0"),
        ({"pseudo": {"boxes": [4, 4]}}, "preset.pseudo.boxes is (4, 4): "),
        ({"pseudo": {"size": [4, 300]}}, "preset.pseudo.size is (4, 300): boxes must fit"),
        ({"tokens": {"buckets": [16, 8]}}, "preset.tokens.buckets is (16, 8): token counts must ascend"),
        ({"intensity": {"low": 99.9}}, "preset.intensity.low is 99.9: it must be less than high, 99.5"),
        ({"masks": {"ratio": 0.0}}, "preset.masks.ratio is 0.0: it hides none of 196 tokens"),
        ({"masks": {"ratio": 0.99}, "model": {"image_size": 64}}, "preset.masks.ratio is 0.99: it hides all of 16"),
        ({"masks": {"strategy": "complementary", "passes": 3}}, "preset.masks.passes is 3: complementary ones show"),
        ({"masks": {"strategy": "complementary", "ratio": 0.6}}, "each token once, not 4 x 78 of 196 at ratio 0.6"),
        ({"tokens": {"method": "hull", "buckets": [3, 196]}}, "preset.masks.ratio is 0.75: it hides all of 3 tokens"),
        ({"input": "image", "measure": "mse"}, "preset.measure is mse: "),
        ({"grid": {"orientation": ["array"]}}, "preset.grid.orientation is ('array',): it must be one of radiol"),
    ],
)
def test_a_value_out_of_range_is_a_line_that_names_it(change, message, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"name": "x", **change}))
    with pytest.raises(ConfigError) as error:
        preset(str(path))
    assert message in str(error.value) and "\n" not in str(error.value) and "mine.json" in str(error.value)


@pytest.mark.parametrize(("passes", "size"), [(2, 224), (3, 96), (5, 160), (7, 224), (98, 224)])
def test_the_ratio_that_a_refusal_names_makes_complementary_masks(passes, size):
    """Of 9 tokens 1 - 1 / 3 shows 2: what is left of 1 is less than a third."""
    change = {"masks__strategy": "complementary", "masks__passes": passes, "model__image_size": size}
    with pytest.raises(ConfigError) as error:
        preset("brats").replace(masks__ratio=0.4, **change)
    ratio = float(error.value.remedy.split("masks.ratio to ")[1].split(",")[0])
    masks = preset("brats").replace(masks__ratio=ratio, **change).masks
    assert masks.visible((size // 16) ** 2) * passes == (size // 16) ** 2


def test_an_autoencoder_sees_all_and_a_classifier_of_images_needs_no_masks():
    assert preset("brats").replace(masks__ratio=0.0, masks__paste=False).masks.visible(196) == 196
    assert preset("brats").replace(masks__ratio=0.0, input="image").masks.paste


def test_replace_names_a_wrong_value_and_changes_a_part_at_once():
    with pytest.raises(ConfigError, match=r"preset.mae.epochs is 0: it must be a whole number from 1"):
        preset("brats").replace(mae__epochs=0)
    changed = preset("brats").replace(model__image_size=70, model__patch_size=7)
    assert changed.model.tokens == 100
