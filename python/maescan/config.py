"""Every parameter of the method: frozen dataclasses, and the presets `brats`, `luna16`, `tiny` and, with foreground
tokens, `brats-fg` and `tiny-fg`.

Defaults are the paper's (section 4.3). Ranges are half-open, as in ``numpy.random.Generator.integers``: the
paper's text says "between 1 and 10 boxes", the authors' code draws 1 to 9, and so do we.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from maescan.errors import ConfigError


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the masked autoencoder and of the classifier (paper, section 4.3). Lengths in pixels."""

    image_size: int = 224
    patch_size: int = 16
    encoder_dim: int = 768
    encoder_depth: int = 12
    encoder_heads: int = 12
    decoder_dim: int = 512
    decoder_depth: int = 8
    decoder_heads: int = 16
    mlp_ratio: float = 4.0

    @property
    def grid(self) -> int:
        """Patches along one side of a slice."""
        return self.image_size // self.patch_size

    @property
    def tokens(self) -> int:
        """Patches of a whole slice (L)."""
        return self.grid**2

    @property
    def patch_pixels(self) -> int:
        """Pixels of one patch (P * P)."""
        return self.patch_size**2


@dataclass(frozen=True)
class MaskConfig:
    """Masking at test time: `passes` (R) masks a slice, each hiding `ratio` of its tokens.

    `paste`: visible tokens keep their original pixels in a reconstruction (section 4.3); without it all are the
    MAE's predictions, as in the paper's ablation of the loss. Ratio 0, the autoencoder, needs it off.
    """

    ratio: float = 0.75
    passes: int = 4
    strategy: Literal["random", "complementary"] = "random"
    seed: int = 0
    paste: bool = True

    def visible(self, tokens: int) -> int:
        """Visible tokens (K) of a set of `tokens`: int(T * (1 - ratio)), as He et al."""
        return int(tokens * (1 - self.ratio))

    def pasted(self, keep: int) -> int:
        """How many of `keep` visible tokens hold original pixels in a reconstruction: all or none."""
        return keep if self.paste else 0


@dataclass(frozen=True)
class PseudoConfig:
    """Pseudo-abnormal module (section 3.3): k boxes, each multiplied by beta drawn from U[0, 1)."""

    boxes: tuple[int, int] = (1, 10)
    size: tuple[int, int] = (10, 40)
    beta: Literal["box", "pixel"] = "box"


@dataclass(frozen=True)
class IntensityConfig:
    """How raw voxel values become the values that the models see.

    percentile: the foreground is scaled to 0..`top` between the percentiles `low` and `high`, air is 0.
    zscore: the foreground to mean 0 and standard deviation 1, air is its minimum.
    hu: Hounsfield units / 100. none: values as they are.
    """

    method: Literal["percentile", "zscore", "hu", "none"] = "percentile"
    low: float = 0.5
    high: float = 99.5
    top: float = 2.0


@dataclass(frozen=True)
class GridConfig:
    """The square that the models see of an axial slice: `field_mm` wide, centred on the scan; None: the whole
    slice stretched to the square, as the paper does with BraTS slices (240 x 240 at 1 mm to 224 x 224)."""

    field_mm: float | None = 240.0


@dataclass(frozen=True)
class TokenConfig:
    """Which patches of a slice the models see: `all`, as the paper, or those with tissue within `margin` pixels of
    them, padded with their nearest neighbours to the smallest of `buckets` that holds them (token counts, ascending;
    chosen from the training slices where empty)."""

    method: Literal["all", "foreground"] = "all"
    margin: int = 2
    buckets: tuple[int, ...] = ()


@dataclass(frozen=True)
class MaeTraining:
    """Training of the MAE (FACTS: He et al.'s recipe)."""

    epochs: int = 1600
    batch_size: int = 128
    base_lr: float = 1.5e-4
    weight_decay: float = 0.05
    warmup_epochs: int = 40
    crop_scale: float = 0.7
    crop_largest: float = 1.0
    loss_tokens: Literal["masked", "all"] = "masked"


@dataclass(frozen=True)
class ClassifierTraining:
    """Training of the anomaly classifier (section 3.4), started from the encoder's weights."""

    epochs: int = 100
    batch_size: int = 128
    base_lr: float = 1e-3
    min_lr: float = 1e-6
    weight_decay: float = 0.05
    layer_decay: float = 0.75
    drop_path: float = 0.1
    label_smoothing: float = 0.1
    warmup_epochs: int = 5
    erasing: float = 0.25
    crop_scale: float = 0.08
    crop_largest: float = 1.0
    fresh_negatives: bool = False


@dataclass(frozen=True)
class Preset:
    """All that decides a score. `input` is what the classifier sees: l1 = |X - X_hat|, l2 = (X - X_hat)^2,
    the reconstruction, or the image with no MAE at all (an ablation of section 4.5). `measure` scores a slice:
    the classifier, or mse, mae, ssim without one."""

    name: str
    modality: Literal["mr", "ct"] = "mr"
    model: ModelConfig = field(default_factory=ModelConfig)
    masks: MaskConfig = field(default_factory=MaskConfig)
    pseudo: PseudoConfig = field(default_factory=PseudoConfig)
    intensity: IntensityConfig = field(default_factory=IntensityConfig)
    grid: GridConfig = field(default_factory=GridConfig)
    tokens: TokenConfig = field(default_factory=TokenConfig)
    mae: MaeTraining = field(default_factory=MaeTraining)
    classifier: ClassifierTraining = field(default_factory=ClassifierTraining)
    input: Literal["l1", "l2", "reconstruction", "image"] = "l1"
    measure: Literal["classifier", "mse", "mae", "ssim"] = "classifier"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Preset:
        """The inverse of `to_dict`. Raises ConfigError naming an unknown, missing or mistyped field."""
        return _build(Preset, values, "preset")

    def replace(self, **changes: Any) -> Preset:
        """A copy with fields changed; `masks__ratio=0.5` reaches into a part."""
        preset = self
        for name, value in changes.items():
            part, _, leaf = name.partition("__")
            changed = dataclasses.replace(getattr(preset, part), **{leaf: value}) if leaf else value
            preset = dataclasses.replace(preset, **{part: changed})
        return preset


def _build(cls: Any, values: Any, where: str) -> Any:
    if not isinstance(values, dict):
        raise ConfigError(f"{where} must be an object, not {type(values).__name__}")
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ConfigError(f"{where} has unknown fields: {', '.join(unknown)}")
    missing = [f.name for f in dataclasses.fields(cls) if f.default is f.default_factory and f.name not in values]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}")
    return cls(**{name: _value(hints[name], value, f"{where}.{name}") for name, value in values.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, where)
    if origin is Literal:
        ok = value in args
    elif origin is tuple:
        ok = isinstance(value, list | tuple) and (args[-1] is Ellipsis or len(value) == len(args))
        hints = args if args[-1] is not Ellipsis else (args[0],) * (len(value) if ok else 0)
        value = tuple(_value(h, v, where) for h, v in zip(hints, value, strict=True)) if ok else value
    elif origin is types.UnionType:
        ok = value is None or isinstance(value, float | int)
    elif hint is float:
        ok = isinstance(value, float | int) and not isinstance(value, bool)
    else:
        ok = type(value) is hint
    if not ok:
        raise ConfigError(f"{where} is {value!r}, which is not {hint}")
    return value


PRESETS: dict[str, Preset] = {
    "brats": Preset("brats"),
    "luna16": Preset(
        "luna16",
        modality="ct",
        model=ModelConfig(image_size=64),
        pseudo=PseudoConfig(size=(5, 12)),
        intensity=IntensityConfig("hu"),
        grid=GridConfig(None),
        mae=MaeTraining(batch_size=2048),
    ),
    "tiny": Preset(
        "tiny",
        model=ModelConfig(64, 8, 96, 4, 4, 64, 2, 4),
        pseudo=PseudoConfig(boxes=(1, 5), size=(5, 18)),
        grid=GridConfig(170.0),
        mae=MaeTraining(epochs=40, batch_size=16, base_lr=1.6e-2, warmup_epochs=4, crop_scale=0.9),
        classifier=ClassifierTraining(
            epochs=8, batch_size=32, base_lr=8e-3, warmup_epochs=2, label_smoothing=0.05, erasing=0.0, crop_scale=0.6
        ),
    ),
}


PRESETS["tiny-fg"] = PRESETS["tiny"].replace(name="tiny-fg", tokens__method="foreground")
PRESETS["brats-fg"] = PRESETS["brats"].replace(
    name="brats-fg",
    tokens__method="foreground",
    # crops that zoom out as much as in: on average slices have as many tokens as when they are scored
    mae__crop_largest=1.4,
    classifier__crop_scale=0.5,
    classifier__crop_largest=2.0,
)


def preset(name: str) -> Preset:
    """The preset of that name, or the one in that JSON file. Raises ConfigError for neither."""
    if name in PRESETS:
        return PRESETS[name]
    if name.endswith(".json"):
        try:
            return Preset.from_dict(json.loads(Path(name).read_text()))
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read the preset: {error}", path=name) from error
    raise ConfigError(f"unknown preset '{name}'", remedy=f"use one of {', '.join(PRESETS)} or a .json file")
