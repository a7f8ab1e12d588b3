"""ROC curves and slices as PNG: which slices are picked, and that a picture is whole."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.labelled import TINY, labelled_slices
from maescan.evaluate.pictures import COLUMNS, chosen, roc_picture, slices_picture

pytest.importorskip("matplotlib")
image = pytest.importorskip("skimage.io")


def test_the_highest_and_lowest_lesions_and_the_highest_false_alarms_are_shown():
    labels = np.array([1, 1, 1, 1, 1, 0, 0, 0])
    scores = np.array([0.9, 0.1, 0.5, 0.5, 0.3, 0.8, 0.2, 0.4])
    rows = chosen(labels, scores)
    assert {name: numbers.tolist() for name, numbers in rows.items()} == {
        "found": [0, 3, 2, 4],
        "missed": [1, 4, 2, 3],
        "false alarm": [5, 7, 6],
    }


def test_slices_of_one_kind_alone_leave_a_row_empty():
    rows = chosen(np.zeros(9, int), np.arange(9))
    assert [len(rows[name]) for name in ("found", "missed", "false alarm")] == [0, 0, COLUMNS]


@pytest.mark.slow
def test_pictures_are_whole_and_say_nothing_of_the_time(tmp_path):
    slices = labelled_slices(patients=2)
    scores = np.linspace(0, 1, len(slices.label))
    heat = {name: slices.images[numbers] for name, numbers in chosen(slices.label, scores).items()}
    for name in ("a.png", "b.png"):
        slices_picture(tmp_path / name, slices, scores, heat, TINY)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    picture = image.imread(tmp_path / "a.png")
    cyan = (picture[..., 2] > picture[..., 0].astype(int) + 60) & (picture[..., 1] > 90)
    assert cyan.any(), "lesions are outlined"


@pytest.mark.slow
def test_a_curve_for_every_score_and_no_outlines_without_masks(tmp_path):
    slices = labelled_slices(patients=2, masks=False)
    scores = np.linspace(0, 1, len(slices.label))
    roc_picture(tmp_path / "roc.png", slices.label, {"maescan": scores})
    roc_picture(tmp_path / "two.png", slices.label, {"maescan": scores, "area": -scores})
    one, two = (image.imread(tmp_path / name) for name in ("roc.png", "two.png"))
    assert one.shape == two.shape and (one != two).any()
    heat = {name: slices.images[numbers] for name, numbers in chosen(slices.label, scores).items()}
    slices_picture(tmp_path / "slices.png", slices, scores, heat, TINY)
    picture = image.imread(tmp_path / "slices.png")
    assert not ((picture[..., 2] > picture[..., 0].astype(int) + 60) & (picture[..., 1] > 90)).any()
