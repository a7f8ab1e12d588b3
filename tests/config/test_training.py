"""Training's own checks between fields."""

import pytest

from maescan.config import ClassifierTraining, JudgeTraining, MaeTraining
from maescan.errors import ConfigError


@pytest.mark.parametrize("part", [MaeTraining, ClassifierTraining, JudgeTraining])
def test_crops_have_a_range(part):
    with pytest.raises(ConfigError, match=r"crop_scale is 2\.0: it must be at most crop_largest, 1\.0"):
        part(crop_scale=2.0, crop_largest=1.0)


def test_one_fold_is_none():
    assert JudgeTraining(folds=0).folds == 0
    with pytest.raises(ConfigError, match="folds is 1: it must be 0, or 2 or more"):
        JudgeTraining(folds=1)


def test_stages_lead_from_pixels_to_patches():
    assert JudgeTraining(dim=64).stages(8) == [(2, 16), (2, 32), (2, 64)]
    assert JudgeTraining(dim=16).stages(16) == [(2, 8), (2, 8), (2, 8), (2, 16)]
    assert JudgeTraining(dim=64, fine=12).stages(8) == [(1, 12), (2, 16), (2, 32), (2, 64)]
    assert JudgeTraining(dim=64).stages(14) == [(2, 32), (7, 64)] and JudgeTraining().stages(7) == [(7, 128)]
