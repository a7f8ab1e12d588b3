"""From raw voxels to the values that the models see, and whether a scan's values are like those of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.errors import ScanError
from maescan.method.foreground import Foreground, find_foreground, sample
from maescan.method.slices import SliceStore
from maescan.scans import Scan

Array = NDArray[Any]
Range = tuple[float, float]

STANDARDISED = "standardised"  # in a Scan's meta: its voxels have mean 0 and deviation 1, of all slices of the volume
FIGURES = ("mean", "std", "share", "contrast")
HU_LOW, HU_HIGH = -10.24, 30.71  # what 12 bits of a CT hold, over 100
UNCLIPPED = 1e6  # over 100: no CT holds such a value
HU_AIR = -5.0  # up to here, a hundredth of HU, a pixel is air
TISSUE = 2.0  # times the level of air: no less is tissue, however dark, where the file tells it from air
AIR = 0.02  # of the way from air to bright tissue: up to here a pixel is air
RIPPLE = 0.1  # of the way to there; it held half of the pixels over 0 beside a phantom's brain


@dataclass(frozen=True)
class Fit:
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

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def fit_intensity(view: Array, scan: Scan, preset: Preset) -> Fit:
    """How the raw voxels [S, H, W] of a scan are mapped. Raises ScanError where nothing but air is found."""
    config, slope, inter = preset.intensity, scan.slope, scan.inter
    if config.method == "hu":
        low, high = (HU_LOW, HU_HIGH) if config.clip else (-UNCLIPPED, UNCLIPPED)
        return Fit(slope / 100, inter / 100, None, low, high, HU_LOW, HU_AIR)
    found = find_foreground(view, slope, inter)
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
        map_ = slope / deviation, (inter - mean) / deviation
        air = AIR * (high - low) / deviation
        return Fit(*map_, found.background, floor, 5.0, floor, floor + air, RIPPLE * air)
    unit = config.top / (high - low)
    map_ = slope * unit, (inter - low) * unit
    air = AIR * config.top
    least = 0.0 if found.background is None else TISSUE * air
    return Fit(*map_, found.background, least, 1.5 * config.top, 0.0, air, RIPPLE * air)


def _as_it_is(found: Foreground, view: Array, scan: Scan) -> Fit:
    """Values stay, between the scan's own ends: resampling adds none beyond. Air is its background, else its lowest
    value."""
    ends = sorted(float(v) * scan.slope + scan.inter for v in (view.min(), view.max()))
    floor = ends[0] if found.background is None else found.background * scan.slope + scan.inter
    reach = found.measured.percentiles(99)[0] - floor if found.measured.size else 0.0
    air = floor + AIR * reach if found.threshold is None else found.threshold
    return Fit(scan.slope, scan.inter, found.background, ends[0], ends[1], floor, air)


def _standard(found: Foreground, view: Array, scan: Scan) -> Fit:
    """All voxels to mean 0 and deviation 1, air where it falls. Raises ScanError where they have one value."""
    mean, deviation = (0.0, 1.0) if scan.meta.get(STANDARDISED) else moments(view)
    if deviation == 0:
        raise ScanError("there is nothing but air in it", path=scan.path, remedy="check the file")
    fit, unit = _as_it_is(found, view, scan), abs(scan.slope) * deviation
    middle = mean * scan.slope + scan.inter
    low, high, floor, air = ((value - middle) / unit for value in (fit.low, fit.high, fit.floor, fit.air))
    return Fit(fit.scale / unit, (fit.offset - middle) / unit, None, low, high, floor, air, within_slice=True)


def moments(view: Array) -> Range:
    """Mean and standard deviation of all voxels [S, H, W], slice by slice: no second volume is made."""
    mean = float(np.mean([part.mean(dtype=np.float64) for part in view]))
    return mean, float(np.sqrt(np.mean([np.square(part - mean, dtype=np.float64).mean() for part in view])))


def figures(images: Array) -> dict[str, float]:
    """What slices [S, h, w] of a scan look like to the models: mean and standard deviation of the foreground, its
    share of all pixels, and its contrast: (p90 - p10) / (p90 + p10) of its values over air."""
    values = np.asarray(sample(images, 250_000), np.float32)
    floor = values.min()
    values = values.ravel() - floor
    tissue = values[values > AIR * np.percentile(values, 99)]
    if not tissue.size:
        return dict.fromkeys(FIGURES, 0.0) | {"mean": float(floor)}
    low, high = np.percentile(tissue, [10, 90])
    made = (
        tissue.mean(dtype=np.float64) + floor,
        tissue.std(dtype=np.float64),
        tissue.size / values.size,
        (high - low) / (high + low),
    )
    return {name: round(float(value), 6) for name, value in zip(FIGURES, made, strict=True)}


def expected_ranges(scans: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """The range of each figure over training's scans: from the 0.5 to the 99.5 percentile, widened by half of that
    and by a quarter of the middle value, since few scans show little of what is usual."""
    ranges = {}
    for name in FIGURES:
        low, middle, high = np.percentile([scan[name] for scan in scans], [0.5, 50, 99.5])
        margin = 0.5 * (high - low) + 0.25 * abs(middle)
        ranges[name] = [round(float(low - margin), 6), round(float(high + margin), 6)]
    return ranges


def unlike(found: Mapping[str, float], expected: Mapping[str, Sequence[float]]) -> tuple[str, ...]:
    """A warning for each figure that lies outside its expected range."""
    return tuple(
        f"its {WORDS[name]} is {found[name]:.3g}, outside training's {low:.3g} to {high:.3g}"
        for name, (low, high) in expected.items()
        if name in found and not low <= found[name] <= high
    )


WORDS = {
    "mean": "foreground mean",
    "std": "foreground deviation",
    "share": "share of foreground",
    "contrast": "foreground contrast",
}


def training_ranges(images: SliceStore, patients: Array, trained: Array) -> dict[str, list[float]]:
    """`expected_ranges` over the scans of those patients `trained` on; images [N, h, w] are of patients [N]. All
    slices of a scan count, for a scan to be scored comes whole."""
    patients = np.asarray(patients)
    return expected_ranges([figures(images[np.flatnonzero(patients == name)]) for name in np.unique(trained)])
