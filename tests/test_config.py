from __future__ import annotations

import json

import pytest

from maescan.config import PRESETS, MaskConfig, Preset, preset
from maescan.errors import ConfigError, MaescanError


@pytest.mark.parametrize("name", PRESETS)
def test_preset_survives_json(name):
    values = json.loads(json.dumps(PRESETS[name].to_dict()))
    assert Preset.from_dict(values) == PRESETS[name]


def test_paper_sizes():
    brats, luna = PRESETS["brats"], PRESETS["luna16"]
    assert (brats.model.tokens, brats.masks.visible(196), brats.masks.passes) == (196, 49, 4)
    assert (luna.model.tokens, luna.masks.visible(16), luna.pseudo.size) == (16, 4, (5, 12))


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


def test_preset_file(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"name": "mine", "input": "l2"}))
    assert preset(str(path)).input == "l2"
    path.write_text("{")
    with pytest.raises(ConfigError, match=r"mine\.json"):
        preset(str(path))
    with pytest.raises(ConfigError, match="brats, luna16, tiny"):
        preset("brats2")


def test_error_is_one_line():
    error = MaescanError("no\nscans", path="a b", remedy="look")
    assert str(error) == "a b: no scans (look)"
