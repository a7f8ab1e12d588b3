"""Training's own checks between fields."""

import pytest

from maescan.config import ClassifierTraining, JudgeTraining, MaeTraining
from maescan.errors import ConfigError


@pytest.mark.parametrize("part", [MaeTraining, ClassifierTraining, JudgeTraining])
def test_crops_have_a_range(part):
    with pytest.raises(ConfigError, match=r"crop_scale is 2\.0: it must be at most crop_largest, 1\.0"):
        part(crop_scale=2.0, crop_largest=1.0)


def test_one_fold_is_none_and_heads_divide_the_width():
    assert JudgeTraining(folds=0).folds == 0
    with pytest.raises(ConfigError, match="folds is 1: it must be 0, or 2 or more"):
        JudgeTraining(folds=1)
    with pytest.raises(ConfigError, match="dim is 100: it must be a multiple of heads, 3"):
        JudgeTraining(dim=100, heads=3)
