"""The presets by name or file, and that the paper's are the paper's."""

from __future__ import annotations

import json

import pytest

from maescan.config import PRESETS, preset
from maescan.errors import ConfigError


def test_paper_sizes():
    brats, luna = PRESETS["brats"], PRESETS["luna16"]
    assert (brats.model.tokens, brats.masks.visible(196), brats.masks.passes) == (196, 49, 4)
    assert (luna.model.tokens, luna.masks.visible(16), luna.pseudo.size) == (16, 4, (5, 12))


def test_the_papers_presets_train_as_its_code():
    for name in ("brats", "luna16", "brats-official", "luna16-official"):
        mae, classifier = PRESETS[name].mae, PRESETS[name].classifier
        assert (mae.betas, classifier.betas) == ((0.9, 0.95), (0.9, 0.999))
        assert (mae.crop, classifier.crop, classifier.altered_blanks) == ("redraw", "redraw", False)


def test_preset_file(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"name": "mine", "input": "l2"}))
    assert preset(path) == preset(str(path)) and preset(path).input == "l2"
    path.write_text(path.read_text(), "utf-8-sig")  # as Windows writes it
    assert preset(path).input == "l2"
    path.write_text(json.dumps({"name": "mine", "mae": {"newer": 1}}))
    with pytest.raises(ConfigError, match=r"mae has unknown fields: newer \(leave them out, or use the maescan that"):
        preset(path)
    for text in ('{"name": "a", "input": "l1", "input": "l2"}', '{"name": "a", "mae": {"epochs": 1, "epochs": 2}}'):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"has '(input|epochs)' twice \(leave one of them\)"):
            preset(path)
    path.write_text("{")
    with pytest.raises(ConfigError, match=r"mine\.json"):
        preset(str(path))
    with pytest.raises(ConfigError, match="brats, luna16, tiny"):
        preset("brats2")


@pytest.mark.parametrize("name", ["tiny", "tiny-fg", "brats-fg"])
def test_ours_draw_boxes_where_there_is_tissue_and_leave_blank_slices_alone(name):
    assert PRESETS[name].pseudo.where == "tissue" and not PRESETS[name].classifier.altered_blanks


def test_a_preset_file_that_is_not_there_is_looked_for_by_its_path(tmp_path):
    (tmp_path / "folder.json").mkdir()
    for name, why in (("none.json", "No such file or directory"), ("folder.json", "Is a directory")):
        with pytest.raises(ConfigError) as error:
            preset(str(tmp_path / name))
        assert str(error.value) == f"{tmp_path / name}: cannot be read: {why} (check the path)"
