from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from helpers.stubs import StubEngine
from maescan.config import preset
from maescan.results.pictures import colours, draw, key_of, panels, peaks, save, strip, wanted
from maescan.results.rows import ScanRow
from maescan.results.tables import Tables

TINY = preset("tiny")


class Judge:
    def slice_p(self, scores, positions):
        return [0.5] * len(scores)

    def scan(self, score):
        return 0.1, "yes" if score > 0.35 else "no"


def test_every_alert_is_drawn_and_the_highest_others():
    rows = [ScanRow(str(i), np.array([i / 10], "<f4"), np.ones(1)) for i in range(8)]
    drawn = [[row.label for row in wanted(Tables(rows, (), None, judge), count)]
             for judge in (None, Judge()) for count in (0, 2, 6)]  # fmt: skip
    best = ["7", "6", "5", "4", "3", "2"]
    assert drawn == [[], best[:2], best, [], best[:4], best]


@pytest.mark.parametrize(("slices", "apart"), [(1, 1), (3, 1), (60, 2), (155, 4)])
def test_the_highest_slices_apart(slices, apart):
    scores = np.random.default_rng(0).random(slices).astype("<f4")
    found = peaks(scores)
    assert found[0] == scores.argmax() and len(found) == min(5, slices)
    assert all(abs(a - b) >= apart for i, a in enumerate(found) for b in found[:i])
    assert scores[found].tolist() == sorted(scores[found].tolist(), reverse=True)


def test_a_column_a_slice_and_rows_of_slice_reconstruction_and_map():
    image = np.zeros((2, 64, 64), np.float32)
    image[:, :32] = 2
    made, heat = np.full_like(image, 1), np.zeros_like(image)
    heat[1, 0, 0] = 2
    found = strip(image, made, heat, TINY)
    assert found.shape == (3 * 64, 2 * 64) and found[0, 0] == 255 and found[63, 0] == 0 and found[64, 0] == 128
    assert found[128, 64] == 255 and np.count_nonzero(found[128:]) == 1


def test_a_picture_does_not_depend_on_the_batch():
    images = np.random.default_rng(1).random((5, 64, 64)).astype(np.float32)
    whole, single = StubEngine(), StubEngine()
    single.batch = 1
    pixels = draw(images, [4, 9, 1, 30, 2], whole, TINY)
    assert np.array_equal(pixels, draw(images, [4, 9, 1, 30, 2], single, TINY))
    assert not np.array_equal(pixels, draw(images, [4, 9, 1, 30, 3], whole, TINY))


def test_a_picture_knows_its_key(tmp_path):
    save(tmp_path / "a.png", np.zeros((3, 5), np.uint8), "the key")
    assert key_of(tmp_path / "a.png") == "the key" and key_of(tmp_path / "b.png") is None
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (5, 3)


def test_colours_rise_and_are_clear_at_nothing():
    found = colours(np.linspace(0, 1, 101)).astype(int)
    assert found[0, 3] == 0 and found[-1, 3] == 255 and (np.diff(found[:, 3]) >= 0).all()
    light = (found[:, :3] @ [0.2126, 0.7152, 0.0722]) * found[:, 3]
    assert (np.diff(light) >= 0).all()
    assert colours(2.0).tolist() == found[-1].tolist()


def test_panels():
    image = np.zeros((64, 64), np.float32)
    image[:32] = 2
    made, difference = np.full_like(image, 1), np.zeros_like(image)
    difference[0, 0] = 1
    found = panels(image, made, difference)
    assert found.shape == (4 * 64, 4 * 4 * 64, 3)
    assert found[0, 0].tolist() == [255] * 3 and found[-1, 0].tolist() == [0] * 3  # slice
    assert found[0, 256].tolist() == [128] * 3  # reconstruction
    assert found[0, 512].tolist() == [255, 250, 120] and found[0, 516].tolist() == [0] * 3  # map
    assert found[0, 768].tolist() == [255, 250, 120] and found[0, 772].tolist() == [255] * 3  # overlay
