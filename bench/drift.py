"""How soon the archive's martingale notices that scans have changed: phantoms as they are, and changed ones.

python bench/drift.py BUNDLE --plain 560 --changed 60 > tests/scoring/drift.csv

Each scan is made, changed (a curve on its intensities, a blur in its slices, noise on its tissue), prepared and
scored as `maescan score` does it; a row has what the gamblers bet on. `tests/scoring/test_martingale.py` draws
streams of them.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from maescan import engines
from maescan.datasets.phantom import make_phantom
from maescan.engines.bundle import Bundle
from maescan.method import aggregate
from maescan.method.intensity import scan_figures
from maescan.method.preprocess import prepare
from maescan.method.score import score_slices
from maescan.scans.scan import Scan

CHANGES = {"noise": (0.25,), "resolution": (0.4,), "intensity": (0.5, 2.0)}
SEED = 9


def changed(voxels: NDArray[Any], kind: str, size: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """Voxels [X, Y, Z] with an exponent on their values, a blur of so many voxels in the slices, or noise of so many
    deviations of the tissue on it."""
    values = voxels.astype(np.float32)
    if kind == "intensity":
        top = np.percentile(values, 99.9)
        values = top * np.clip(values / top, 0, None) ** size
    elif kind == "resolution":
        values = ndimage.gaussian_filter(values, (size, size, 0))
    elif kind == "noise":
        tissue = values > 0.02 * np.percentile(values, 99)
        values = np.where(tissue, values + rng.normal(0, size * values[tissue].std(), values.shape), values)
    return np.rint(values).clip(0, 32767).astype(np.int16)


def rows(bundle: Bundle, plain: int, each: int) -> Iterator[dict[str, Any]]:
    """A row a scan. Other scans are changed than those that stay as they are."""
    engine, preset = engines.load(bundle, threads=1), bundle.preset
    jobs = [("plain", 0.0, range(plain))]
    jobs += [(kind, size, range(5000, 5000 + each)) for kind, sizes in CHANGES.items() for size in sizes]
    for kind, size, numbers in jobs:
        for number in numbers:
            made = make_phantom("brain", number, SEED, ill=False)
            voxels = changed(made.voxels, kind, size, np.random.default_rng(number))
            scan = Scan(voxels, 1.0, 0.0, made.affine, f"{kind}{size}-{number}", Path("phantom"), "nifti")
            prepared = prepare(scan, preset)
            images = np.ascontiguousarray(prepared.images, np.float32)
            score = score_slices(images, prepared.keys, engine, preset, maps=False).score
            worst = aggregate.scan_score(score, bundle.manifest.get("aggregation"))
            yield {"kind": kind, "size": size, "scan": number, "score": worst, **scan_figures(scan, prepared.fit)}
    engine.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--plain", type=int, default=560)
    parser.add_argument("--changed", type=int, default=60)
    arguments = parser.parse_args()
    writer = None
    for row in rows(Bundle.load(arguments.bundle), arguments.plain, arguments.changed):
        if writer is None:
            writer = csv.DictWriter(sys.stdout, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()})


if __name__ == "__main__":
    main()
