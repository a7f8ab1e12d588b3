"""Crops, flips and erasing: distributions of torchvision and timm, or clamped; keyed by slice and epoch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy import stats

from helpers.marks import slow
from maescan.config import ClassifierTraining, MaeTraining
from maescan.train import augment

CLAMPED = MaeTraining(crop="clamp", crop_scale=0.3)
NAMES = ("left", "top", "width", "height")


def test_crops_have_the_area_and_aspect_asked_for():
    """A ramp stays a ramp: its slope tells the width of the crop, its sign the flip."""
    ramp = torch.linspace(0, 1, 64).expand(500, 64, 64)
    across, down = (augment.crop_and_flip(r, np.arange(500), CLAMPED, seed=0, epoch=0) for r in (ramp, ramp.mT))
    width, height = (across[:, 32, 53] - across[:, 32, 10]) * 63 / 43, (down[:, 53, 32] - down[:, 10, 32]) * 63 / 43
    assert 0.4 < (width < 0).float().mean() < 0.6 and height.min() > 0
    area, aspect = width.abs() * height, width.abs() / height
    assert 0.28 < area.min() < 0.33 and 0.85 < area.max() < 1.01 and abs(area.mean() - 0.64) < 0.03
    assert 0.74 < aspect.min() < 0.8 and 1.25 < aspect.max() < 1.35


def test_crops_larger_than_the_slice_show_all_of_it_smaller():
    square = torch.zeros(500, 64, 64)
    square[:, 4:60, 4:60] = 1
    shown = augment.crop_and_flip(
        square, np.arange(500), MaeTraining(crop_scale=1.0, crop_largest=2.0), seed=0, epoch=0
    ).sum(dim=(1, 2))
    area = 56 * 56 / shown
    assert 0.97 < area.min() < 1.03 and 1.95 < area.max() < 2.05 and abs(area.mean() - 1.5) < 0.05


def test_crops_are_of_the_slice_and_epoch_alone():
    images = torch.rand(8, 64, 64, generator=torch.Generator().manual_seed(0))
    together = augment.crop_and_flip(images, np.arange(8), CLAMPED, seed=3, epoch=1)
    alone = augment.crop_and_flip(images[5:6], np.array([5]), CLAMPED, seed=3, epoch=1)
    assert torch.allclose(together[5:6], alone, atol=1e-6)
    assert not torch.allclose(
        together, augment.crop_and_flip(images, np.arange(8), CLAMPED, seed=3, epoch=2), atol=0.1
    )


@pytest.mark.parametrize("config", [ClassifierTraining(), ClassifierTraining(crop="clamp")])
def test_erasing_hits_its_share_of_slices_and_pixels(config):
    made = augment.erase(torch.full((2000, 32, 32), 7.0), np.arange(2000), config, seed=0, epoch=0)
    erased = (made != 7).float().mean(dim=(1, 2))
    hit = erased > 0
    assert abs(hit.float().mean() - 0.25) < 0.04 and abs(erased[hit].mean() - 0.175) < 0.02
    assert erased.max() < 0.4


def ours(config, count=10_000, side=224):
    """Pixels of `count` crops."""
    windows = augment.crop_windows(config, np.arange(count), side, seed=1, epoch=0)
    return {name: np.rint(part * side) for name, part in zip(NAMES, windows[:4], strict=True)}


def torchvisions(scale, count=10_000, side=224):
    from torchvision.transforms import RandomResizedCrop

    with torch.random.fork_rng():
        torch.manual_seed(0)
        image = torch.empty(1, side, side)
        found = [RandomResizedCrop.get_params(image, list(scale), [3 / 4, 4 / 3]) for _ in range(count)]
    top, left, height, width = np.array(found).T
    return {"left": left, "top": top, "width": width, "height": height}


@pytest.mark.slow
@pytest.mark.parametrize("config", [MaeTraining(), *slow(ClassifierTraining())])
def test_crops_are_distributed_as_torchvisions(config):
    theirs, made = torchvisions((config.crop_scale, 1.0)), ours(config)
    for name in NAMES:
        assert stats.ks_2samp(made[name], theirs[name]).pvalue > 1e-3, name
    products = [part["width"] * part["height"] for part in (made, theirs)]
    assert stats.ks_2samp(*products).pvalue > 1e-3
    assert (made["left"] + made["width"]).max() == 224 and made["left"].min() == 0


@pytest.mark.slow
def test_clamped_crops_are_not():
    clamped = ours(dataclasses.replace(MaeTraining(), crop="clamp"))
    assert stats.ks_2samp(clamped["width"], torchvisions((0.7, 1.0))["width"]).pvalue < 1e-9
    full = [np.mean((part["width"] == 224) | (part["height"] == 224)) for part in (clamped, ours(MaeTraining()))]
    assert full[0] > 0.3 and full[1] < 0.06


def test_erased_rectangles_are_distributed_as_timms():
    from timm.data.random_erasing import RandomErasing

    config, size = ClassifierTraining(erasing=1.0), 64
    made = augment.erased(config, np.arange(3000), (size, size), seed=2, epoch=0)
    theirs = np.zeros((3000, size, size), bool)
    eraser = RandomErasing(probability=1.0, mode="const", device="cpu")
    for picture in theirs:
        picture[:] = (eraser(torch.ones(1, size, size))[0] == 0).numpy()
    for measure in (lambda part: part.any(axis=2).sum(axis=1), lambda part: part.any(axis=1).argmax(axis=1)):
        assert stats.ks_2samp(measure(made), measure(theirs)).statistic < 0.05
