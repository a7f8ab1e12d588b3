"""Size and contrast of lesions, and sensitivity by them."""

import numpy as np
import pytest

from maescan.evaluate.lesions import by_bin, lesion_contrast, lesion_share


def test_lesion_share_and_contrast_by_hand():
    image = np.array([[[0, 1, 3], [1, 3, 4], [0, 0, 4]]], np.float32)
    mask = image == 4
    assert lesion_share(image, mask)[0] == 2 / 6
    assert lesion_contrast(image, mask)[0] == pytest.approx((4 - 2) / 1)
    assert lesion_share(image, mask * 0)[0] == 0
    assert np.isnan(lesion_contrast(image, mask * 0)[0])
    assert np.isnan(lesion_contrast(image, image > 0)[0])


def test_sensitivity_by_bin():
    rows = by_bin([0.001, 0.02, 0.019, 0.3, np.nan], [False, True, False, True, True], (0.005, 0.02), "%")
    assert rows == [
        {"bin": "under 0.5 %", "slices": 1, "sensitivity": 0.0},
        {"bin": "0.5 to 2 %", "slices": 1, "sensitivity": 0.0},
        {"bin": "2 % and over", "slices": 2, "sensitivity": 1.0},
    ]
    assert by_bin([], [], (0.5,))[0]["sensitivity"] is None
