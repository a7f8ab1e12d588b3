"""Heat maps and exceedance maps as NIfTI on a scan's own grid: 16 bits, with what they mean in the header."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.errors import ScanError
from maescan.files import atomic_file, short_hash
from maescan.method.healthy import HealthyMaps
from maescan.method.heat import STEPS, full_scale, units
from maescan.results.geometry import Geometry, axial_of, tissue_box
from maescan.scans.scan import axial_axes

Volume = NDArray[np.float32]
SHARES = 1 / 16384
"""The step of an exceedance map."""
LARGEST = 32767


@dataclass(frozen=True, eq=False)
class Scale:
    """How a bundle's maps are written and coloured. full: `heat.full_scale`; units; healthy: maps of healthy scans,
    where it was calibrated with them."""

    full: float
    units: str
    healthy: HealthyMaps | None = None

    @classmethod
    def of(cls, preset: Preset, calibration: object = None) -> Scale:
        """Raises BundleError for a calibration whose maps are none."""
        maps = calibration.get("maps") if isinstance(calibration, dict) else None
        return cls(full_scale(preset), units(preset), HealthyMaps.from_json(maps))

    @property
    def middle(self) -> float:
        """The value in the middle of the colours: healthy tissue's 99th percentile where that is known."""
        return self.healthy.p99 if self.healthy else self.full / 2

    @property
    def top(self) -> float:
        """The value of the full colour."""
        return 2 * self.middle

    @property
    def step(self) -> float:
        """From one value that a map can have to the next: no calibration changes a map's values."""
        return float(2.0 ** np.round(np.log2(self.full / STEPS)))

    @property
    def key(self) -> str:
        """Which calibration a map's header and an exceedance map are of."""
        if self.healthy is None:
            return "maescan uncalibrated"
        return f"maescan {short_hash(f'{self.healthy.p99}{self.healthy.cells.tobytes().hex()}')}"

    def describe(self) -> str:
        """At most 79 characters for a header."""
        named = {"probability": "probability of anomaly", "score": "mean score of a voxel's patches"}
        what = named.get(self.units, f"|scan - reconstruction|, {self.units}")
        mark = f"; p99 of healthy {self.middle:.4g}" if self.healthy else ""
        return f"{what}{mark}"[:79]


def write_map(path: Path, volume: Volume, affine: NDArray[np.float64], scale: Scale) -> None:
    """`volume` [X, Y, Z], values from 0, with `affine` (voxel -> RAS+ mm)."""
    step, top = scale.step, float(volume.max(initial=0.0))
    while top > LARGEST * step:
        step *= 2
    _write(path, volume, affine, step, (scale.describe(), scale.key, scale.top))


def write_exceedance(
    path: Path, volume: Volume, affine: NDArray[np.float64], scale: Scale, geometry: Geometry | None
) -> None:
    """The share of healthy scans that are as high at a place, for each voxel of a map."""
    if scale.healthy is None:
        raise ScanError("the bundle has no healthy maps", remedy="calibrate it with `maescan calibrate`")
    axes, view = axial_axes(affine), axial_of(quantised(volume, scale), affine)
    shares = axes.to_storage(scale.healthy.exceedance(view, tissue_box(geometry, view.shape)))
    said = f"share of {len(scale.healthy.cells)} healthy scans as high at this place (1 + n)/(1 + N)"
    _write(path, np.asarray(shares), affine, SHARES, (said, scale.key, 1.0))


def quantised(volume: Volume, scale: Scale) -> Volume:
    """A map's values as its file has them."""
    return np.asarray(np.rint(volume / np.float32(scale.step)) * np.float32(scale.step), np.float32)


def map_key(path: Path) -> str | None:
    """`Scale.key` of a written map; None where it cannot be read."""
    try:
        with gzip.open(path) as stream:
            header = stream.read(348)
    except (OSError, EOFError):
        return None
    return header[228:252].split(b"\0")[0].decode("ascii", "replace") if len(header) == 348 else None


def read_map(path: Path) -> tuple[Volume, NDArray[np.float64]]:
    """A written map [X, Y, Z] and its affine. Raises ScanError where it cannot be read."""
    import nibabel

    try:
        image = nibabel.Nifti1Image.from_filename(path)
        return image.get_fdata(dtype=np.float32), image.affine
    except Exception as error:  # whatever a damaged file makes nibabel raise
        raise ScanError("cannot be read", path=path, remedy="score its scan again with --force") from error


def _write(
    path: Path, volume: Volume, affine: NDArray[np.float64], step: float, said: tuple[str, str, float]
) -> None:
    """said: description, key and cal_max of the header. Reproducibly: the file names no time."""
    import nibabel
    from isal import igzip

    stored = np.rint(volume / np.float32(step)).astype(np.int16)
    image = nibabel.Nifti1Image(stored, affine)
    header = image.header
    header.set_xyzt_units("mm")
    header.set_slope_inter(step, 0.0)
    header.set_intent("estimate", (), name="anomaly")
    header["descrip"], header["aux_file"], header["cal_max"] = said
    with (
        atomic_file(path) as temporary,
        open(temporary, "wb") as raw,
        igzip.IGzipFile(filename="", fileobj=raw, mode="wb", compresslevel=2, mtime=0) as packed,
    ):
        packed.write(image.to_bytes())
