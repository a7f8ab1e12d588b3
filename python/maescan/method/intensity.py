"""From raw voxels to the values that the models see, and whether a scan's values are like those of training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.config.types import Json
from maescan.errors import ScanError
from maescan.method.foreground import Foreground, find_foreground, sample
from maescan.method.slices import SliceStore
from maescan.scans import Scan

Array = NDArray[Any]
Range = tuple[float, float]

STANDARDISED = "standardised"  # in a Scan's meta: its voxels have mean 0 and deviation 1, of all slices of the volume
FIGURES = ("mean", "std", "share", "contrast", "noise", "detail")
PERCENTILES = (2, 10, 25, 50, 75, 90, 98)
SPREAD = tuple(f"p{percent}" for percent in PERCENTILES)
SAMPLED = 250_000  # pixels that a scan's figures are of, or about as many
GAUSSIAN = 0.6745  # the median of what is normal, in deviations
NO_NOISE = 1e-3  # in deviations: less is none
NEAR_ENOUGH = 0.2  # of the median: histograms that near are alike, however alike training's were
HU_LOW, HU_HIGH = -10.24, 30.71  # what 12 bits of a CT hold, over 100
UNCLIPPED = 1e6  # over 100: no CT holds such a value
HU_AIR = -5.0  # up to here, a hundredth of HU, a pixel is air
TISSUE = 2.0  # times the level of air: no less is tissue, however dark, where the file tells it from air
AIR = 0.02  # of the way from air to bright tissue: up to here a pixel is air
RIPPLE = 0.1  # of the way to there; it held half of the pixels over 0 beside a phantom's brain


@dataclass(frozen=True)
class IntensityMap:
    """A voxel becomes clamp(raw * scale + offset, low, high); voxels of the value `background`, and what lies beside
    the scan, become `floor`, the value of air, and so do pixels less than `ripple` above it: what resampling leaves
    of an edge. A slice's pixels up to `air` count as air. within_slice: resampling adds no value beyond those of its
    own slice, as scikit-image's resize has it."""

    scale: float
    offset: float
    background: float | None
    low: float
    high: float
    floor: float
    air: float
    ripple: float = 0.0
    within_slice: bool = False

    def to_dict(self) -> Json:
        return asdict(self)


def fit_intensity(view: Array, scan: Scan, preset: Preset) -> IntensityMap:
    """How the raw voxels [S, H, W] of a scan are mapped. Raises ScanError where nothing but air is found."""
    config, slope, intercept = preset.intensity, scan.slope, scan.intercept
    if config.method == "hu":
        low, high = (HU_LOW, HU_HIGH) if config.clip else (-UNCLIPPED, UNCLIPPED)
        return IntensityMap(slope / 100, intercept / 100, None, low, high, HU_LOW, HU_AIR)
    found = find_foreground(view, slope, intercept)
    if config.method == "none":
        return _as_it_is(found, view, scan)
    if config.method == "standard":
        return _standard(found, view, scan)
    measured = found.measured
    if measured.size < 16 or measured.levels.min() == measured.levels.max():
        raise ScanError("there is nothing but air in it", path=scan.path, remedy="check the file")
    low, high = measured.percentiles(config.low, config.high)
    if high <= low:
        raise ScanError("all its foreground has one value", path=scan.path, remedy="check the file")
    if config.method == "zscore":
        values = measured.each()
        mean, deviation = float(values.mean()), float(values.std())
        floor = max(-5.0, (low - mean) / deviation)
        map_ = slope / deviation, (intercept - mean) / deviation
        air = AIR * (high - low) / deviation
        return IntensityMap(*map_, found.background, floor, 5.0, floor, floor + air, RIPPLE * air)
    unit = config.top / (high - low)
    map_ = slope * unit, (intercept - low) * unit
    air = AIR * config.top
    least = 0.0 if found.background is None else TISSUE * air
    return IntensityMap(*map_, found.background, least, 1.5 * config.top, 0.0, air, RIPPLE * air)


def _as_it_is(foreground: Foreground, view: Array, scan: Scan) -> IntensityMap:
    """Values stay, between the scan's own ends: resampling adds none beyond. Air is its background, else its lowest
    value."""
    ends = sorted(float(v) * scan.slope + scan.intercept for v in (view.min(), view.max()))
    floor = ends[0] if foreground.background is None else foreground.background * scan.slope + scan.intercept
    reach = foreground.measured.percentiles(99)[0] - floor if foreground.measured.size else 0.0
    air = floor + AIR * reach if foreground.threshold is None else foreground.threshold
    return IntensityMap(scan.slope, scan.intercept, foreground.background, ends[0], ends[1], floor, air)


def _standard(foreground: Foreground, view: Array, scan: Scan) -> IntensityMap:
    """All voxels to mean 0 and deviation 1, air where it falls. Raises ScanError where they have one value."""
    mean, deviation = (0.0, 1.0) if scan.meta.get(STANDARDISED) else moments(view)
    if deviation == 0:
        raise ScanError("there is nothing but air in it", path=scan.path, remedy="check the file")
    fit, unit = _as_it_is(foreground, view, scan), abs(scan.slope) * deviation
    middle = mean * scan.slope + scan.intercept
    low, high, floor, air = ((value - middle) / unit for value in (fit.low, fit.high, fit.floor, fit.air))
    return IntensityMap(
        fit.scale / unit, (fit.offset - middle) / unit, None, low, high, floor, air, within_slice=True
    )


def moments(view: Array) -> Range:
    """Mean and standard deviation of all voxels [S, H, W], slice by slice: no second volume is made."""
    mean = float(np.mean([part.mean(dtype=np.float64) for part in view]))
    return mean, float(np.sqrt(np.mean([np.square(part - mean, dtype=np.float64).mean() for part in view])))


def intensity_statistics(images: Array) -> dict[str, float]:
    """What slices [S, h, w] of a scan look like to the models: mean and standard deviation of the foreground, its
    share of all pixels, its contrast: (p90 - p10) / (p90 + p10) of its values over air; its noise: what neighbours in
    a row are off the line between theirs, in standard deviations; its detail: how much of the change over two pixels
    happens over one; and PERCENTILES of its values over air."""
    values = np.asarray(sample(images, SAMPLED), np.float32)
    floor = values.min()
    values = values.ravel() - floor
    least = AIR * np.percentile(values, 99)
    tissue = values[values > least]
    if not tissue.size:
        return dict.fromkeys((*FIGURES, *SPREAD), 0.0) | {"mean": float(floor)}
    spread = np.percentile(tissue, PERCENTILES)
    low, high = spread[PERCENTILES.index(10)], spread[PERCENTILES.index(90)]
    deviation = tissue.std(dtype=np.float64)
    made = (
        tissue.mean(dtype=np.float64) + floor,
        deviation,
        tissue.size / values.size,
        (high - low) / (high + low),
        *_texture(images, floor, least, deviation),
        *spread,
    )
    return {name: round(float(value), 6) for name, value in zip((*FIGURES, *SPREAD), made, strict=True)}


def _texture(images: Array, floor: float, least: float, deviation: float) -> tuple[float, float]:
    """(noise, detail) of tissue along the rows of whole slices, evenly apart."""
    step = max(1, math.ceil(images.size / SAMPLED))
    over = np.asarray(images[step // 2 :: step] if step < len(images) else images[len(images) // 2 :][:1], np.float32)
    over = over - floor
    left, middle, right = over[..., :-2], over[..., 1:-1], over[..., 2:]
    inside = (left > least) & (middle > least) & (right > least)
    if not inside.any() or not deviation:
        return 0.0, 0.0
    off = np.median(np.abs(left - 2 * middle + right)[inside]) / (GAUSSIAN * math.sqrt(6) * deviation)
    near, far = (np.abs(part - left)[inside].mean(dtype=np.float64) for part in (middle, right))
    return float(off), float(near / far) if far else 0.0


def expected_ranges(scans: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """The range of each figure over training's scans: from the 0.5 to the 99.5 percentile, widened by half of that
    and by a quarter of the middle value, since few scans show little of what is usual. "histogram": their mean
    percentiles over the median, which a lesion moves less than their scale, and how far from these on average a
    scan's own may lie."""
    ranges = {name: _range([scan[name] for scan in scans]) for name in FIGURES}
    ranges["noise"] = _noise_range([scan["noise"] for scan in scans])
    spread = np.array([_shape(scan) for scan in scans])
    middle = spread.mean(axis=0)
    limit = _range(np.abs(spread - middle).mean(axis=1).tolist())[1]
    ranges["histogram"] = [round(float(value), 6) for value in (*middle, max(limit, NEAR_ENOUGH))]
    return ranges


def _shape(statistics: Mapping[str, float]) -> Array:
    return np.array([statistics[name] for name in SPREAD]) / max(statistics["p50"], 1e-6)


def _noise_range(values: Sequence[float]) -> list[float]:
    """As `_range`, of the logarithm: there is no noise under 0, and a third of the least is much less."""
    low, high = np.log(np.maximum(np.percentile(values, [0.5, 99.5]), NO_NOISE))
    margin = 0.5 * (high - low) + math.log(1.25)
    least, most = float(np.exp(low - margin)), float(np.exp(high + margin))
    return [round(least, 6) if least > NO_NOISE else 0.0, round(most, 6)]


def _range(values: Sequence[float]) -> list[float]:
    low, middle, high = np.percentile(values, [0.5, 50, 99.5])
    margin = 0.5 * (high - low) + 0.25 * abs(middle)
    return [round(float(low - margin), 6), round(float(high + margin), 6)]


def outside_training(statistics: Mapping[str, float], expected: Mapping[str, Sequence[float]]) -> tuple[str, ...]:
    """A warning for each figure that lies outside its expected range."""
    return tuple(
        f"its {WORDS[name]} is {statistics[name]:.3g}, outside training's {low:.3g} to {high:.3g}"
        for name, (low, high) in ((name, expected[name]) for name in FIGURES if name in expected)
        if name in statistics and not low <= statistics[name] <= high
    ) + _other_histogram(statistics, expected.get("histogram", ()))


def _other_histogram(statistics: Mapping[str, float], expected: Sequence[float]) -> tuple[str, ...]:
    if not expected or SPREAD[0] not in statistics:
        return ()
    *middle, limit = expected
    off = np.abs(_shape(statistics) - middle).mean()
    words = f"its values are spread otherwise than training's: {off:.3g} from their histogram, {limit:.3g} at most"
    return (words,) if off > limit else ()


WORDS = {
    "mean": "foreground mean",
    "std": "foreground deviation",
    "share": "share of foreground",
    "contrast": "foreground contrast",
    "noise": "noise",
    "detail": "share of fine detail",
}


def scan_figures(scan: Scan, fit: Mapping[str, float]) -> dict[str, float]:
    """By what the scans of one scanner and protocol are alike: the figures of the values that the models see, how
    much of the file's unit is one of theirs, and the size of a voxel in mm. fit: of `preprocess.Prepared`."""
    found = {WORDS[name]: float(fit[name]) for name in FIGURES}
    size = float(np.prod(scan.spacing)) ** (1 / 3)
    return {**found, "intensity scale": round(scan.slope / fit["scale"], 9), "voxel size": round(size, 4)}


def training_ranges(images: SliceStore, patients: Array, trained: Array) -> dict[str, list[float]]:
    """`expected_ranges` over the scans of those patients `trained` on; images [N, h, w] are of patients [N]. All
    slices of a scan count, for a scan to be scored comes whole."""
    patients = np.asarray(patients)
    return expected_ranges(
        [intensity_statistics(images[np.flatnonzero(patients == name)]) for name in np.unique(trained)]
    )
