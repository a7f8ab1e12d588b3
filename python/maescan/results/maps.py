"""Heat maps and exceedance maps as NIfTI on a scan's own grid: 16 bits, with what they mean in the header."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maescan.config import Preset
from maescan.config.types import Json
from maescan.decimals import counted
from maescan.errors import ScanError
from maescan.files import atomic_file, nifti_image, short_hash
from maescan.method.healthy import RARE, HealthyMaps
from maescan.method.heat import STEPS, colour_shares, full_scale, units
from maescan.results.geometry import Geometry, axial_of, tissue_box
from maescan.scans.nifti import MAP, MAP_KEY, placement
from maescan.scans.scan import axial_axes

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

Volume = NDArray[np.float32]
Where = tuple[NDArray[np.float64], Json | None]
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
        """The value in the middle of the colours: the threshold of healthy scans, where they are known."""
        return self.healthy.threshold(self.units) if self.healthy else self.full / 2

    @property
    def top(self) -> float:
        """The value of the full colour: of a judge certainty."""
        return self.full if self.certain else 2 * self.middle

    @property
    def certain(self) -> bool:
        """Whether the values are probabilities."""
        return self.units == "probability"

    def shares(self, values: ArrayLike) -> NDArray[np.float64]:
        """Where values lie in the colours, from 0 to 1."""
        return colour_shares(values, self.middle, self.top)

    @property
    def step(self) -> float:
        """From one value that a map can have to the next: no calibration changes a map's values."""
        return float(2.0 ** np.round(np.log2(self.full / STEPS)))

    @property
    def key(self) -> str:
        """Which calibration a map's header and an exceedance map are of."""
        if self.healthy is None:
            return f"{MAP_KEY}uncalibrated"
        return f"{MAP_KEY}{short_hash(f'{self.middle}{self.healthy.cells.tobytes().hex()}')}"

    @property
    def values(self) -> str:
        """What a map's values are, for people."""
        named = {"probability": "probability of anomaly", "score": "mean score of a voxel's patches"}
        return named.get(self.units, f"|scan - reconstruction|, {self.units}")

    def describe(self) -> str:
        """At most 79 characters for a header."""
        mark = f"; at most {100 * RARE:g} % of healthy scans reach" if self.certain else "; p99 of healthy"
        return f"{self.values}{f'{mark} {self.middle:.4g}' if self.healthy else ''}"[:79]


def write_map(
    path: Path, volume: Volume, affine: NDArray[np.float64], scale: Scale, placed: Json | None = None
) -> None:
    """`volume` [X, Y, Z], values from 0, with `affine` (voxel -> RAS+ mm); placed: as `Scan` has it."""
    step, top = scale.step, float(volume.max(initial=0.0))
    while top > LARGEST * step:
        step *= 2
    _write(path, volume, (affine, placed), step, (scale.describe(), scale.key, scale.top))


def write_exceedance(path: Path, volume: Volume, where: Where, scale: Scale, geometry: Geometry | None) -> None:
    """The share of healthy scans that are as high at a place, for each voxel of a map. where: its affine, and
    `placed` as `write_map` takes it."""
    if scale.healthy is None:
        raise ScanError("the bundle has no healthy maps", remedy="calibrate it with `maescan calibrate`")
    axes, view = axial_axes(where[0]), axial_of(quantised(volume, scale), where[0])
    shares = axes.to_storage(scale.healthy.exceedance(view, tissue_box(geometry, view.shape)))
    said = f"share of {counted(len(scale.healthy.cells), 'healthy scan')} as high at this place (1 + n)/(1 + N)"
    _write(path, np.asarray(shares), where, SHARES, (said, scale.key, 1.0))


def write_values(path: Path, volume: Volume, where: Where, scale: Scale) -> None:
    """A map's very values, float32, in a file that no search takes for a scan. where: as of `write_exceedance`."""
    said = (scale.describe(), f"{MAP_KEY}values", scale.top)
    _save(path, nifti_image(np.asarray(volume, np.float32), *where), said)


def quantised(volume: Volume, scale: Scale) -> Volume:
    """A map's values as its file has them."""
    made = np.empty_like(volume, dtype=np.float32)
    _in_steps(volume, scale.step, made)
    made *= np.float32(scale.step)
    return made


def _in_steps(volume: Volume, step: float, made: NDArray[np.number]) -> None:
    """`volume` in whole steps into `made`, part by part: of all at once each temporary is as large as a scan."""
    slowest = int(np.argmax(np.abs(volume.strides)))
    for part, into in zip(np.moveaxis(volume, slowest, 0), np.moveaxis(made, slowest, 0), strict=True):
        into[...] = np.rint(part / np.float32(step))


def map_key(path: Path) -> str | None:
    """`Scale.key` of a written map; None where it cannot be read."""
    try:
        with gzip.open(path) as stream:
            header = stream.read(348)
    except (OSError, EOFError):
        return None
    return header[228:252].split(b"\0")[0].decode("ascii", "replace") if len(header) == 348 else None


def read_map(path: Path) -> tuple[Volume, NDArray[np.float64], Json]:
    """A written map [X, Y, Z], its affine, and where its header places it. Raises ScanError for one that cannot be
    read."""
    image = _image(path)
    return image.get_fdata(dtype=np.float32), image.affine, placement(image.header)


def read_heat(path: Path) -> tuple[Volume, NDArray[np.float64], float, str]:
    """A written map [X, Y, Z], its affine, the end of its colours, and what its values are. Raises ScanError as
    `read_map` does."""
    image = _image(path)
    heat, said = image.get_fdata(dtype=np.float32), bytes(image.header["descrip"]).decode("ascii", "replace")
    top = float(image.header["cal_max"]) or float(heat.max())
    return heat, np.asarray(image.affine, np.float64), top, said.split(";", maxsplit=1)[0]


def _image(path: Path) -> Nifti1Image:
    """With its values, which nibabel keeps."""
    import nibabel

    try:
        image = nibabel.Nifti1Image.from_filename(path)
        image.get_fdata(dtype=np.float32)
    except Exception as error:  # whatever a damaged file makes nibabel raise
        raise ScanError("cannot be read", path=path, remedy="remove it, then score again with --maps") from error
    return image


def _write(path: Path, volume: Volume, where: Where, step: float, said: tuple[str, str, float]) -> None:
    """said: description, key and cal_max of the header. Reproducibly: the file names no time."""
    steps = np.empty_like(volume, dtype=np.int16)
    _in_steps(volume, step, steps)
    image = nifti_image(steps, *where)
    image.header.set_slope_inter(step, 0.0)
    _save(path, image, said)


def _save(path: Path, image: Nifti1Image, said: tuple[str, str, float]) -> None:
    from isal import igzip

    header = image.header
    header.set_intent("estimate", (), name=MAP)
    header["descrip"], header["aux_file"], header["cal_max"] = said
    with (
        atomic_file(path) as temporary,
        open(temporary, "wb") as raw,
        igzip.IGzipFile(filename="", fileobj=raw, mode="wb", compresslevel=2, mtime=0) as packed,
    ):
        image.to_stream(packed)
