"""Artificial scans: anatomy that varies from scan to scan, lesions that no trivial measure gives away.

Every scan is a function of (seed, index, kind). A brain is a deformed set of nested ellipsoids (grey and white
matter, ventricles, deep grey, fissure) under a bias field and Rician noise, in air that is exactly zero; a chest is
matter, ventricles, deep grey, fissure) under a bias field and Rician noise, in air that is zero; a chest is
either sign, so that neither area, position nor mean intensity tells an abnormal slice.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from maescan.errors import ConfigError, DataError
from maescan.scans.scan import axial_axes

Volume = NDArray[np.float32]
Kind = Literal["brain", "lung"]

SHAPE = (96, 96, 32)
SPACING = (2.5, 2.5, 4.0)
MIN_MASK_VOXELS = 10  # a slice with fewer is not called abnormal: no one could see it
KINDS: dict[str, tuple[Kind, ...]] = {"brain": ("brain",), "lung": ("lung",), "both": ("brain", "lung")}


@dataclass(frozen=True, eq=False)
class Phantom:
    """voxels [X, Y, Z] int16; mask [X, Y, Z] bool, the lesions; affine [4, 4], voxel index to RAS+ mm."""

    voxels: NDArray[np.int16]
    mask: NDArray[np.bool_]
    affine: NDArray[np.float64]

    def labels(self) -> NDArray[np.int64]:
        """0 or 1 for each axial slice, the most inferior first."""
        return axial_axes(self.affine).to_axial(self.mask).any(axis=(1, 2)).astype(int)


def write_phantom(
    out: Path,
    *,
    healthy: int,
    lesions: int,
    seed: int,
    kind: str = "brain",
    shape: tuple[int, int, int] = SHAPE,
    mhd: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes OUT/healthy, OUT/lesions, OUT/masks (masks have their scan's name) and OUT/labels.csv (scan, slice,
    label), `healthy` and `lesions` scans of each kind. With `mhd`, lung scans are MetaImage instead of NIfTI.

    Raises ConfigError for an unknown kind, DataError where `out` cannot be written.
    """
    if kind not in KINDS:
        raise ConfigError(f"unknown kind '{kind}'", remedy=f"use one of {', '.join(KINDS)}")
    jobs = [(k, i) for k in KINDS[kind] for i in range(healthy + lesions)]
    rows: list[tuple[str, int, int]] = []
    for done, (each, index) in enumerate(jobs):
        ill = index >= healthy
        made = make_phantom(each, index, seed, ill=ill, shape=shape)
        suffix = ".mhd" if mhd and each == "lung" else ".nii.gz"
        name = f"{'lesions' if ill else 'healthy'}/{each}_{index:04d}{suffix}"
        _write(out / name, made.voxels, made.affine)
        if ill:
            _write(out / "masks" / Path(name).name, made.mask.astype(np.uint8), made.affine)
        rows += [(name, position, int(label)) for position, label in enumerate(made.labels())]
        if progress:
            progress(done + 1, len(jobs))
    _write_labels(out / "labels.csv", rows)


def make_phantom(kind: Kind, index: int, seed: int, *, ill: bool, shape: tuple[int, int, int] = SHAPE) -> Phantom:
    """One scan in memory. A healthy and an ill scan of the same index share their anatomy."""
    sequence = np.random.SeedSequence([seed, index, ("brain", "lung").index(kind)])
    anatomy, disease, noise = (np.random.default_rng(s) for s in sequence.spawn(3))
    points = _grid(shape)
    lesions = _draw_lesions(disease, kind, shape) if ill else []
    make = _brain if kind == "brain" else _chest
    values, mask = make(points, anatomy, lesions, noise)
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = -np.array(SPACING) * (np.array(shape) - 1) / 2
    flips = [axis for axis in range(3) if anatomy.random() < 0.5]
    voxels = np.ascontiguousarray(np.flip(values, flips))
    for axis in flips:
        affine[:3, 3] += affine[:3, axis] * (shape[axis] - 1)
        affine[:3, axis] *= -1
    kept = np.ascontiguousarray(np.flip(mask, flips))
    return Phantom(voxels, kept, affine)


def _grid(shape: tuple[int, int, int]) -> Volume:
    """Millimetres from the centre: [3, X, Y, Z]."""
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, SPACING, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)


def _smooth(rng: np.random.Generator, shape: tuple[int, ...], cells: int) -> Volume:
    """A smooth random field of mean 0, deviation about 1: `cells` random values an axis, cubically interpolated."""
    from scipy.ndimage import zoom

    coarse = rng.standard_normal([cells] * len(shape)).astype(np.float32)
    field = zoom(coarse, [n / cells for n in shape], order=3, mode="nearest", grid_mode=True)
    return np.asarray(field, dtype=np.float32)


def _deform(points: Volume, rng: np.random.Generator, amplitude: float) -> Volume:
    return points + amplitude * np.stack([_smooth(rng, points.shape[1:], 5) for _ in range(3)])


def _step(distance: Volume, width: float) -> Volume:
    """1 where distance is negative, 0 where positive, with a soft edge."""
    return (0.5 - 0.5 * np.tanh(distance / width)).astype(np.float32)


def _ellipsoid(points: Volume, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Volume:
    """Radius in units of the ellipsoid: 1 on its surface."""
    parts = [((points[i] - centre[i]) / radii[i]) ** 2 for i in range(3)]
    return np.sqrt(parts[0] + parts[1] + parts[2])


# lesions -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Lesion:
    """place: polar position in the slice (radius 0..1, angle) and height in mm; radius in mm; contrast as a share of
    white matter (brain) or in HU (lung); ring: share of the radius that is core of half the contrast, reversed."""

    place: tuple[float, float, float]
    radius: float
    contrast: float
    ring: float
    seed: int


def _draw_lesions(rng: np.random.Generator, kind: Kind, shape: tuple[int, int, int]) -> list[Lesion]:
    height = shape[2] * SPACING[2]
    lesions = []
    for _ in range(1 + (rng.random() < 0.4)):
        place = (np.sqrt(rng.random()) * 0.85, rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.5) * height)
        sign = 1 if rng.random() < 0.5 else -1
        brain = kind == "brain"
        radius = rng.uniform(9, 19) if brain else rng.uniform(7, 15)
        contrast = sign * rng.uniform(0.3, 0.6) if brain else rng.uniform(500, 850)
        ring = rng.uniform(0.4, 0.65) if brain and rng.random() < 0.3 else 0.0
        lesions.append(Lesion(place, radius, contrast, ring, int(rng.integers(1 << 31))))
    return lesions


def _lesion_fields(points: Volume, lesion: Lesion, centre: Volume) -> tuple[Volume, Volume]:
    """(strength in 0..1, signed profile that carries the ring), irregular in outline."""
    rng = np.random.default_rng(lesion.seed)
    outline = 1 + 0.18 * _smooth(rng, points.shape[1:], 9)
    distance = np.sqrt(((points - centre[:, None, None, None]) ** 2).sum(axis=0)) / (lesion.radius * outline)
    strength = _step(distance - 1, 0.2)
    core = _step(distance - lesion.ring, 0.15) if lesion.ring else np.float32(0)
    return strength, strength - 1.5 * core


def _push(points: Volume, lesion: Lesion, centre: Volume) -> Volume:
    """Mass effect: tissue around the lesion is sampled from nearer its centre."""
    offset = points - centre[:, None, None, None]
    distance = np.sqrt((offset**2).sum(axis=0)) / lesion.radius
    return points - 0.35 * offset * np.exp(-(distance**2) / 2)


# brain ---------------------------------------------------------------------------------------------------------
def _brain(
    points: Volume, rng: np.random.Generator, lesions: list[Lesion], noise: np.random.Generator
) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    radii = (rng.uniform(64, 74), rng.uniform(80, 92), rng.uniform(76, 90))
    base = _deform(points, rng, rng.uniform(2.0, 4.0))
    centres = [_in_ellipse(lesion, radii) for lesion in lesions]
    inner = base
    for lesion, centre in zip(lesions, centres, strict=True):
        inner = _push(inner, lesion, centre)
    inside = _step(_ellipsoid(base, (0, 0, 0), radii) - 1, 0.03) > 0.5
    tissue = _brain_tissue(inner, radii, rng)
    white = 1.0
    mask = np.zeros(points.shape[1:], bool)
    for lesion, centre in zip(lesions, centres, strict=True):
        strength, profile = _lesion_fields(points, lesion, centre)
        tissue = tissue * (1 - 0.7 * strength) + 0.7 * strength * 0.8 + lesion.contrast * profile * white
        mask |= strength > 0.4
    tissue = tissue * np.exp(rng.uniform(0.05, 0.15) * _smooth(rng, points.shape[1:], 3))
    level = rng.uniform(0.02, 0.035)
    real, imaginary = (level * noise.standard_normal(tissue.shape, dtype=np.float32) for _ in range(2))
    signal = np.hypot(np.maximum(tissue, 0.05) + real, imaginary)
    voxels = np.where(inside, np.maximum(np.round(signal * rng.uniform(400, 900)), 1), 0).astype(np.int16)
    return voxels, _visible(mask & inside)


def _brain_tissue(points: Volume, radii: tuple[float, float, float], rng: np.random.Generator) -> Volume:
    """T1-like intensities, white matter 1."""
    white, grey, fluid, deep = 1.0, rng.uniform(0.66, 0.76), rng.uniform(0.28, 0.36), rng.uniform(0.80, 0.88)
    folds = 0.035 * _smooth(rng, points.shape[1:], 16) + 0.02 * np.sin(points[0] / 5) * np.sin(points[1] / 6)
    shell = _ellipsoid(points, (0, 0, 0), radii) + folds
    tissue = white + (grey - white) * _step(0.85 - shell, 0.03)
    fissure = _step(np.abs(points[0]) - 1.5, 1.5) * _step(0.5 - shell, 0.05)
    tissue = tissue + (fluid - tissue) * fissure
    wide = rng.uniform(0.8, 1.3)
    for side in (-1.0, 1.0):
        thalamus = _ellipsoid(points, (side * 16, -4, -4), (9, 14, 12))
        tissue = tissue + (deep - tissue) * _step(thalamus - 1, 0.12)
        ventricle = _ellipsoid(points, (side * (9 + points[2] / 20), 6 - points[2] / 5, 8), (5 * wide, 26, 16))
        tissue = tissue + (fluid - tissue) * _step(ventricle - 1, 0.15)
    return tissue


def _in_ellipse(lesion: Lesion, radii: tuple[float, float, float]) -> Volume:
    """The lesion's centre in mm: its place in the ellipse that the brain is at its height."""
    r, angle, z = lesion.place
    share = np.sqrt(max(0.1, 1 - (z / radii[2]) ** 2))
    return np.array([r * share * radii[0] * np.cos(angle), r * share * radii[1] * np.sin(angle), z], np.float32)


# chest ---------------------------------------------------------------------------------------------------------
def _chest(
    points: Volume, rng: np.random.Generator, lesions: list[Lesion], noise: np.random.Generator
) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    base = _deform(points, rng, rng.uniform(2.0, 4.0))
    flat = base.copy()
    flat[2] *= 0.3  # the chest hardly narrows from slice to slice
    width, depth = rng.uniform(105, 114), rng.uniform(76, 86)
    body = _ellipsoid(flat, (0, 0, 0), (width, depth, 120))
    hounsfield = -1000 + 900 * _step(body - 1, 0.02) + 140 * _step(body - 0.9, 0.03)
    lungs = np.zeros_like(hounsfield)
    shape = (rng.uniform(36, 42), rng.uniform(54, 62), 110.0)
    for side in (-1.0, 1.0):
        lungs = np.maximum(lungs, _step(_ellipsoid(flat, (side * 52, 4, 0), shape) - 1, 0.05))
    air = rng.uniform(-880, -820)
    vessels = np.maximum(_smooth(rng, points.shape[1:], 24) - 1.3, 0) * 450
    hounsfield = hounsfield * (1 - lungs) + lungs * (air + vessels)
    spine = _step(_ellipsoid(flat, (0, -depth * 0.62, 0), (16, 15, 200)) - 1, 0.1)
    hounsfield = hounsfield + 350 * spine
    airway = _step(np.hypot(flat[0], flat[1] - 8) - 7, 1.5)
    hounsfield = hounsfield * (1 - airway) - 980 * airway
    mask = np.zeros(points.shape[1:], bool)
    for lesion in lesions:
        r, angle, z = lesion.place
        side = 1 if lesion.seed % 2 else -1
        spot = (side * 52 + 0.8 * r * shape[0] * np.cos(angle), 4 + 0.8 * r * shape[1] * np.sin(angle), z)
        strength, _ = _lesion_fields(points, lesion, np.array(spot, np.float32))
        hounsfield = hounsfield + strength * lungs * np.minimum(lesion.contrast, 60 - hounsfield)
        mask |= (strength * lungs) > 0.4
    hounsfield = hounsfield + rng.uniform(15, 35) * noise.standard_normal(hounsfield.shape, dtype=np.float32)
    return np.clip(np.round(hounsfield), -1024, 3071).astype(np.int16), _visible(mask)


def _visible(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without the slices (last axis) that hold too little of it to be seen."""
    kept: NDArray[np.bool_] = mask & (mask.sum(axis=(0, 1)) >= MIN_MASK_VOXELS)
    return kept


# files ---------------------------------------------------------------------------------------------------------
def _write(path: Path, voxels: NDArray[np.generic], affine: NDArray[np.float64]) -> None:
    from maescan.scoring.outputs import write_nifti

    if path.suffix != ".mhd":
        write_nifti(path, voxels, affine)
        return
    to_lps = np.diag([-1.0, -1.0, 1.0])
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    direction = to_lps @ affine[:3, :3] / spacing
    header = {
        "ObjectType": "Image",
        "NDims": 3,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": False,
        "CompressedData": False,
        "TransformMatrix": " ".join(f"{v:g}" for v in direction.T.ravel()),
        "Offset": " ".join(f"{v:g}" for v in to_lps @ affine[:3, 3]),
        "ElementSpacing": " ".join(f"{v:g}" for v in spacing),
        "DimSize": " ".join(str(n) for n in voxels.shape),
        "ElementType": {"int16": "MET_SHORT", "uint8": "MET_UCHAR"}[voxels.dtype.name],
        "ElementDataFile": path.with_suffix(".raw").name,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".raw").write_bytes(voxels.tobytes(order="F"))
        path.write_text("".join(f"{key} = {value}\n" for key, value in header.items()))
    except OSError as error:
        raise DataError(f"cannot write: {error.strerror}", path=path, remedy="use another folder") from error


def _write_labels(path: Path, rows: list[tuple[str, int, int]]) -> None:
    from maescan.scoring.outputs import write_text

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("scan", "slice", "label"))
    writer.writerows(rows)
    write_text(path, buffer.getvalue())
