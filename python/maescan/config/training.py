"""How the networks are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from maescan.config.fields import Checked, Range
from maescan.errors import ConfigError

Count = Annotated[int, Range(1, 100_000)]
Share = Annotated[float, Range(0, 1)]
Rate = Annotated[float, Range(0, 10)]
Betas = Annotated[tuple[float, float], Range(0, 0.999999)]
Crop = Literal["redraw", "clamp"]


@dataclass(frozen=True)
class MaeTraining(Checked):
    """Training of the MAE (FACTS: He et al.'s recipe). A crop that does not fit into the slice is redrawn, as
    torchvision does, or clamped to its sides.

    noise: strength of coarse noise on what the encoder sees, in standard deviations of the slice's tissue, which the
    decoder is to see through (Kascenas et al., 2022); 0 is the paper's. noise_cells: cells of it along a side."""

    epochs: Count = 1600
    batch_size: Count = 128
    base_lr: Rate = 1.5e-4
    betas: Betas = (0.9, 0.95)
    weight_decay: Rate = 0.05
    warmup_epochs: Annotated[int, Range(0, 100_000)] = 40
    crop: Crop = "redraw"
    crop_scale: Annotated[float, Range(0.01, 4)] = 0.7
    crop_largest: Annotated[float, Range(0.01, 4)] = 1.0
    loss_tokens: Literal["masked", "all"] = "masked"
    noise: Annotated[float, Range(0, 10)] = 0.0
    noise_cells: Annotated[int, Range(2, 256)] = 16

    def check(self) -> None:
        """Crops have a range."""
        _check_crops(self.crop_scale, self.crop_largest)


@dataclass(frozen=True)
class ClassifierTraining(Checked):
    """Training of the anomaly classifier (section 3.4), started from the encoder's weights. `crop` as the MAE's.

    altered_blanks: slices of one value have an altered copy too, called abnormal; the authors' code leaves it out.
    """

    epochs: Count = 100
    batch_size: Count = 128
    base_lr: Rate = 1e-3
    min_lr: Rate = 1e-6
    betas: Betas = (0.9, 0.999)
    weight_decay: Rate = 0.05
    layer_decay: Annotated[float, Range(0.01, 1)] = 0.75
    drop_path: Annotated[float, Range(0, 0.99)] = 0.1
    label_smoothing: Annotated[float, Range(0, 0.99)] = 0.1
    warmup_epochs: Annotated[int, Range(0, 100_000)] = 5
    erasing: Share = 0.25
    crop: Crop = "redraw"
    crop_scale: Annotated[float, Range(0.01, 4)] = 0.08
    crop_largest: Annotated[float, Range(0.01, 4)] = 1.0
    fresh_negatives: bool = False
    altered_blanks: bool = False

    def check(self) -> None:
        """Crops have a range."""
        _check_crops(self.crop_scale, self.crop_largest)


@dataclass(frozen=True)
class JudgeTraining(Checked):
    """Sizes of the judge, and its training on slices with anomalies put in before they are masked. `crop` as the
    MAE's.

    folds: MAEs that are trained beside the deployed one, each without one part of the patients, so that the judge
    learns from residuals of patients that the MAE does not know; 0: it learns from those that it knows.
    fold_epochs: of each of these MAEs; 0: as many as the deployed one has.
    fine: channels of a first stage that sees the slice at its own resolution; 0: the first stage takes every other
    pixel.
    image_dropout: share of the pairs in which the judge learns without seeing the slice itself.
    artefacts: share of the pairs that have an artefact of the whole slice (noise, ghosts), both slices alike, so that
    it learns to look past these.
    least_steps: of few scans as many epochs more are trained as make so many steps, which are what a judge learns by.
    """

    RETIRED = frozenset({"heads", "drop_path"})

    dim: Annotated[int, Range(8, 4096)] = 128
    depth: Annotated[int, Range(1, 64)] = 2
    fine: Annotated[int, Range(0, 1024)] = 0
    folds: Annotated[int, Range(0, 20)] = 3
    fold_epochs: Annotated[int, Range(0, 100_000)] = 0
    epochs: Count = 60
    least_steps: Annotated[int, Range(0, 10_000_000)] = 0
    batch_size: Count = 64
    base_lr: Rate = 4e-3
    min_lr: Rate = 1e-6
    betas: Betas = (0.9, 0.99)
    weight_decay: Rate = 0.05
    image_dropout: Share = 0.0
    artefacts: Share = 0.0
    warmup_epochs: Annotated[int, Range(0, 100_000)] = 2
    crop: Crop = "clamp"
    crop_scale: Annotated[float, Range(0.01, 4)] = 0.6
    crop_largest: Annotated[float, Range(0.01, 4)] = 1.4

    def check(self) -> None:
        """Crops have a range, and one fold is none."""
        _check_crops(self.crop_scale, self.crop_largest)
        if self.folds == 1:
            raise ConfigError("folds is 1: it must be 0, or 2 or more")

    def stages(self, patch: int) -> list[tuple[int, int]]:
        """(stride, width) of the convolutions that lead from pixels to patches of side `patch`: strides of two and
        what is left of an odd side, widths that double up to `dim`; before them that of `fine`."""
        strides = []
        while patch % 2 == 0:
            strides.append(2)
            patch //= 2
        strides += [patch] if patch > 1 else []
        halved = [
            (stride, max(8, self.dim >> later))
            for later, stride in zip(reversed(range(len(strides))), strides, strict=True)
        ]
        return [(1, self.fine), *halved] if self.fine else halved


def _check_crops(low: float, high: float) -> None:
    if low > high:
        raise ConfigError(f"crop_scale is {low}: it must be at most crop_largest, {high}")
