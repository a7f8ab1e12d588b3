"""Every parameter of the method, as frozen dataclasses whose values are checked when they are made.

Defaults are the paper's (section 4.3), and its code's where the paper says nothing. Ranges that are drawn from are
half-open, as in ``numpy.random.Generator.integers``: the paper's text says "between 1 and 10 boxes", the authors'
code draws 1 to 9, and so do we.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from maescan.config.fields import Checked, Range, build, named
from maescan.config.training import ClassifierTraining, JudgeTraining, MaeTraining
from maescan.errors import ConfigError, quoted

Width = Annotated[int, Range(1, 16_384)]
Layers = Annotated[int, Range(1, 256)]
Json = dict[str, Any]
NAME = 64
"""Characters of a preset's name; a manifest takes none that drive a terminal, and says so when all is trained."""


@dataclass(frozen=True)
class ModelConfig(Checked):
    """Sizes of the masked autoencoder and of the classifier (paper, section 4.3). Lengths in pixels."""

    image_size: Annotated[int, Range(8, 2048)] = 224
    patch_size: Annotated[int, Range(2, 256)] = 16
    encoder_dim: Width = 768
    encoder_depth: Layers = 12
    encoder_heads: Layers = 12
    decoder_dim: Width = 512
    decoder_depth: Layers = 8
    decoder_heads: Layers = 16
    mlp_ratio: Annotated[float, Range(0.25, 16)] = 4.0

    def check(self) -> None:
        """Patches tile a slice, heads share a width, positions are sines and cosines of two axes."""
        if self.image_size % self.patch_size:
            raise ConfigError(f"patch_size is {self.patch_size}: it must divide image_size, {self.image_size}")
        for part in ("encoder", "decoder"):
            dim, heads = getattr(self, f"{part}_dim"), getattr(self, f"{part}_heads")
            if dim % heads:
                raise ConfigError(f"{part}_heads is {heads}: it must divide {part}_dim, {dim}")
            if dim % 4:
                raise ConfigError(f"{part}_dim is {dim}: it must be a multiple of 4")

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

    @property
    def judge_features(self) -> int:
        """Numbers of a token that the judge sees: differences, spread, its own pixels, and three for the look of
        its prediction."""
        return 3 * self.patch_pixels + 3


@dataclass(frozen=True)
class MaskConfig(Checked):
    """Masking at test time: `passes` (R) masks per slice, each hiding `ratio` of its tokens.

    `paste`: visible tokens keep their original pixels in a reconstruction (section 4.3); without it all are the
    MAE's predictions, as in the paper's ablation of the loss. Ratio 0, the autoencoder, needs it off.
    """

    ratio: Annotated[float, Range(0, 0.99)] = 0.75
    passes: Annotated[int, Range(1, 256)] = 4
    strategy: Literal["random", "complementary"] = "random"
    seed: Annotated[int, Range(0, 2**63 - 1)] = 0
    paste: bool = True

    def visible(self, tokens: int) -> int:
        """Visible tokens (K) of a set of `tokens`: int(T * (1 - ratio)), as He et al."""
        return int(tokens * (1 - self.ratio))

    def check_for(self, tokens: int) -> None:
        """Raises ConfigError where no such masks are of a set of `tokens`."""
        keep = self.visible(tokens)
        if keep < 1:
            raise ConfigError(f"ratio is {self.ratio}: it hides all of {tokens} tokens")
        if keep == tokens and self.paste:
            remedy = "raise masks.ratio, or set masks.paste to false for an autoencoder"
            raise ConfigError(f"ratio is {self.ratio}: it hides none of {tokens} tokens", remedy=remedy)
        if self.strategy == "complementary" and self.passes * keep != tokens:
            shown = f"{self.passes} x {keep} of {tokens} at ratio {self.ratio}"
            reason = f"passes is {self.passes}: complementary ones show each token once, not {shown}"
            raise ConfigError(reason, remedy=f"set {self._shared(tokens)}, or masks.strategy to random")

    def _shared(self, tokens: int) -> str:
        """What makes complementary masks of a set of `tokens`: 1 - 1 / passes, or just under it."""
        ratios = [round(1 - 1 / self.passes - less, 4) for less in (0, 1e-4)]
        whole = [ratio for ratio in ratios if ratio <= 0.99 and self.passes * int(tokens * (1 - ratio)) == tokens]
        return f"masks.ratio to {whole[0]}" if whole else f"masks.passes to less that divides {tokens}"

    def pasted(self, keep: int) -> int:
        """How many of `keep` visible tokens hold original pixels in a reconstruction: all or none."""
        return keep if self.paste else 0


@dataclass(frozen=True)
class PseudoConfig(Checked):
    """Pseudo-abnormal module (section 3.3): k boxes, each multiplied by beta drawn from U[0, 1).

    where: boxes lie anywhere in the slice, as the authors' code has it, or around a pixel of tissue: where air is 0
    a box over air changes nothing.
    """

    boxes: Annotated[tuple[int, int], Range(1, 1000)] = (1, 10)
    size: Annotated[tuple[int, int], Range(1, 2049)] = (10, 40)
    beta: Literal["box", "pixel"] = "box"
    where: Literal["anywhere", "tissue"] = "anywhere"

    def check(self) -> None:
        """Ranges hold at least one value."""
        for name in ("boxes", "size"):
            low, high = getattr(self, name)
            if low >= high:
                raise ConfigError(f"{name} is ({low}, {high}): the second is one past the largest, so more than it")


@dataclass(frozen=True)
class IntensityConfig(Checked):
    """How raw voxel values become the values that the models see.

    percentile: the foreground is scaled to 0..`top` between the percentiles `low` and `high`, air is 0.
    zscore: the foreground to mean 0 and standard deviation 1, air is its minimum.
    standard: all voxels of the volume, air included, to mean 0 and standard deviation 1, as BRATS2020's HDF5 edition.
    hu: Hounsfield units / 100; `clip`: no further than 12 bits of a CT reach. none: values as they are.
    """

    method: Literal["percentile", "zscore", "standard", "hu", "none"] = "percentile"
    low: Annotated[float, Range(0, 100)] = 0.5
    high: Annotated[float, Range(0, 100)] = 99.5
    top: Annotated[float, Range(0.001, 1000)] = 2.0
    clip: bool = True

    def check(self) -> None:
        """Percentiles are in order."""
        if self.low >= self.high:
            raise ConfigError(f"low is {self.low}: it must be less than high, {self.high}")


@dataclass(frozen=True)
class GridConfig(Checked):
    """The square that the models see of an axial slice: `field_mm` wide, centred on the scan; None: the whole
    slice stretched to the square, as the paper does with BraTS slices (240 x 240 at 1 mm to 224 x 224).

    orientation: radiological, rows run from front to back and columns from the patient's right to the left; or array,
    as the arrays [X, Y] of the BraTS releases lie: rows run from right to left, columns from front to back.
    """

    field_mm: Annotated[float | None, Range(1, 5000)] = 240.0
    orientation: Literal["radiological", "array"] = "radiological"


@dataclass(frozen=True)
class TokenConfig(Checked):
    """Which patches of a slice the models see: `all`, as the paper; `foreground`, those with tissue within `margin`
    pixels of them; or `hull`, those of which a hundredth lies in the convex hull of the tissue. Such sets are padded
    with their nearest neighbours to the smallest of `buckets` that holds them (token counts, ascending; chosen from
    the training slices where empty)."""

    method: Literal["all", "foreground", "hull"] = "all"
    margin: Annotated[int, Range(0, 256)] = 2
    buckets: Annotated[tuple[int, ...], Range(1, 65_536)] = ()

    def check(self) -> None:
        """Buckets ascend."""
        if list(self.buckets) != sorted(set(self.buckets)):
            raise ConfigError(f"buckets is {self.buckets}: token counts must ascend")


@dataclass(frozen=True)
class Preset(Checked):
    """All that decides a score. `input` is what the classifier sees: l1 = |X - X_hat|, l2 = (X - X_hat)^2,
    the reconstruction, or the image with no MAE at all (an ablation of section 4.5). A slice is scored by `measure`:
    the classifier, the judge, or mse, mae, ssim without either. A name that ends in + takes the measure that training
    finds to be the best."""

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
    judge: JudgeTraining = field(default_factory=JudgeTraining)
    input: Literal["l1", "l2", "reconstruction", "image"] = "l1"
    measure: Literal["classifier", "judge", "mse", "mae", "ssim"] = "classifier"

    def check(self) -> None:
        """It has a name that bundles and reports can show, boxes fit into a slice, masks can be made, and measures
        have what they judge by."""
        if not (self.name.strip() and self.name.isprintable() and len(self.name) <= NAME):
            raise ConfigError(f"name is {self.name[:NAME]!r}: it must be 1 to {NAME} characters that can be printed")
        size, model = self.pseudo.size, self.model
        if self.measure == "classifier" and size[1] > model.image_size + 1:
            raise ConfigError(f"pseudo.size is {size}: boxes must fit a slice of {model.image_size} pixels")
        if self.input != "image":
            for tokens in (model.tokens, *self.tokens.buckets):
                named("masks", self.masks.check_for, tokens)
        if self.input == "image" and self.measure != "classifier":
            raise ConfigError(f"measure is {self.measure}: without an MAE (input image) there is only the classifier")

    @property
    def network(self) -> str | None:
        """The network behind the MAE that the measure needs: classifier, judge or none."""
        return self.measure if self.measure in ("classifier", "judge") else None

    @property
    def patches(self) -> bool:
        """Whether it is of patches of a CT at its own resolution; of whole slices otherwise."""
        return self.intensity.method == "hu" and self.grid.field_mm is None

    def to_dict(self) -> Json:
        """Plain JSON types."""
        values: Json = json.loads(json.dumps(dataclasses.asdict(self)))
        return values

    @staticmethod
    def from_dict(values: Json) -> Preset:
        """The inverse of `to_dict`. Raises ConfigError naming an unknown, missing or wrong field."""
        return build(Preset, values, "preset")

    @staticmethod
    def from_json(text: str) -> Preset:
        """Of what people write. Raises as `from_dict` and for a key that comes twice; ValueError, RecursionError for
        what is no JSON."""
        return Preset.from_dict(json.loads(text, object_pairs_hook=_each_once))

    def replace(self, **changes: object) -> Preset:
        """A copy with fields changed; `masks__ratio=0.5` reaches into a part. Raises ConfigError naming the field."""
        parts: dict[str, dict[str, object]] = {}
        whole: dict[str, object] = {}
        for name, value in changes.items():
            part, _, leaf = name.partition("__")
            if leaf:
                parts.setdefault(part, {})[leaf] = value
            else:
                whole[name] = value
        for part, values in parts.items():
            whole[part] = named(f"preset.{part}", dataclasses.replace, whole.get(part, getattr(self, part)), **values)
        changed: Preset = named("preset", dataclasses.replace, self, **whole)
        return changed


def _each_once(pairs: list[tuple[str, object]]) -> Json:
    """An object of JSON. Raises ConfigError for a key that comes twice: the last one would count, without a word."""
    counts = Counter(name for name, _ in pairs)
    if twice := [name for name in counts if counts[name] > 1]:
        raise ConfigError(f"has {quoted(twice[0])} twice", remedy="leave one of them")
    return dict(pairs)
