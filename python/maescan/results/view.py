"""`maescan view`: one scan with its heat map and slice scores as one HTML file that needs no network."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import cast

import numpy as np
from numpy.typing import NDArray

from maescan import files as outputs
from maescan.decimals import decimal
from maescan.results.dicom import HIGHEST
from maescan.scans.scan import Scan, orientation

MOST_VOXELS = 24_000_000
"""A page holds so many voxels at most: of larger scans every second row and column, or third and so on."""


@dataclass(frozen=True, eq=False)
class Volume:
    """What a page shows of a volume: voxels [X, Y, Z] uint8 in the order nearest to right, anterior, superior; affine
    [4, 4] to RAS+ mm; step: of rows and columns that were kept."""

    voxels: NDArray[np.uint8]
    affine: NDArray[np.float64]
    step: int = 1

    @property
    def spacing(self) -> list[float]:
        """mm between voxels."""
        return [float(value) for value in np.linalg.norm(self.affine[:3, :3], axis=0)]

    def packed(self, scale: float = 1.0) -> str:
        """As .nii.gz in base64; scale: the value of a step."""
        import nibabel

        image = nibabel.Nifti1Image(self.voxels, self.affine)
        image.header.set_slope_inter(scale, 0)
        return base64.b64encode(gzip.compress(image.to_bytes(), 6, mtime=0)).decode()


def grey_volume(scan: Scan) -> Volume:
    """The scan in 256 steps from its first percentile to near its highest value."""
    values = scan.voxels[:: max(1, scan.shape[0] // 128), :: max(1, scan.shape[1] // 128)]
    low, high = (float(value) for value in np.percentile(values, [0.5, 99.8]))
    low, high = (low, high) if scan.slope >= 0 else (high, low)
    return _volume(scan.voxels, scan.affine, low, high)


def heat_volume(heat: NDArray[np.float32], affine: NDArray[np.float64], full: float) -> Volume:
    """A map [X, Y, Z] in 256 steps from 0 to `full`."""
    return _volume(heat, affine, 0.0, full)


def _volume(voxels: NDArray[np.generic], affine: NDArray[np.float64], low: float, high: float) -> Volume:
    order = orientation(affine)
    axes = [[patient for patient, _ in order].index(axis) for axis in range(3)]
    step = int(np.ceil(np.sqrt(max(1.0, voxels.size / MOST_VOXELS))))
    slices = [slice(None, None, step), slice(None, None, step), slice(None)]
    turned = np.eye(4)
    view = voxels.transpose(axes)
    for place, axis in enumerate(axes):
        sign = order[axis][1]
        turned[:3, place] = affine[:3, axis] * sign
        turned[3, place] = 0
        if sign < 0:
            slices[place] = slice(None, None, -(slices[place].step or 1))
    first = np.zeros(3)
    for axis in axes:
        first[axis] = voxels.shape[axis] - 1 if order[axis][1] < 0 else 0
    turned[:3, 3] = affine[:3, :3] @ first + affine[:3, 3]
    turned[:3, :2] *= step
    kept = view[tuple(slices)].astype(np.float32)
    steps = np.clip((kept - low) / (high - low or 1.0) * 255 + 0.5, 0, 255)
    return Volume(steps.astype(np.uint8), turned, step)


def write_view(
    path: Path, label: str, scan: Volume, heat: Volume, scores: Sequence[float | None], facts: Mapping[str, str]
) -> None:
    """Writes the page of one scan into `path`, whole or not at all. scores [S]: of axial slices, 0 the most inferior,
    None of one that is missing.

    facts: "verdict", "notes", "made", "scale", "axis" and "unscored" in words, "full" the map's value in full red,
    "key" what the verdict rests on. Raises DataError."""
    place = files("maescan.results").joinpath("viewer")
    parts = {
        name: place.joinpath(name).read_text(encoding="utf-8") for name in ("style.css", "script.js", "page.html")
    }
    library = place.joinpath("niivue.umd.js").read_text(encoding="utf-8")
    full = float(facts["full"])
    known = [index for index, score in enumerate(scores) if score is not None]
    highest = sorted(known, key=lambda index: -cast(float, scores[index]))[:HIGHEST]
    shown = {
        **{
            "scores": [None if score is None else float(decimal(score)) for score in scores],
            "highest": highest,
            "full": full,
            "unscored": facts["unscored"],
        },
        **{"shape": list(scan.voxels.shape), "spacing": scan.spacing[:2]},
        **{"scan": scan.packed(), "map": heat.packed(full / 255)},
    }
    made = Template(parts["page.html"]).substitute(
        policy=_policy([library, parts["script.js"]], parts["style.css"]),
        **{name: escape(facts[name]) for name in ("verdict", "notes", "made", "scale", "key")},
        **{"title": escape(f"maescan: {label}"), "name": escape(label), "style": parts["style.css"]},
        **{"last": len(scores) - 1, "highest": highest[0], "library": library, "script": parts["script.js"]},
        axis=escape(f"{facts['axis']} from below to above; click, or use the arrow keys, to go to one."),
        facts=json.dumps(shown).replace("<", "\\u003c"),
    )
    outputs.write_text(path, made)


def _policy(scripts: Sequence[str], style: str) -> str:
    """What the page may do: run these very scripts, and nothing else; no network at all."""
    hashes = " ".join(f"'{_sha256(script)}'" for script in scripts)
    parts = (
        *("default-src 'none'", f"script-src {hashes}", f"style-src '{_sha256(style)}'", "img-src data: blob:"),
        *("base-uri 'none'", "form-action 'none'"),
    )
    return "; ".join(parts)


def _sha256(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
