"""How soon the archive's martingale notices that scans have changed: phantoms as they are, and changed ones.

python bench/drift.py BUNDLE > tests/scoring/drift.csv
python bench/drift.py BUNDLE --again tests/scoring/drift.csv > NEW    # unchanged scans from there

Each scan is made, changed (a curve on its intensities, a blur in its slices, noise on its tissue), prepared and
scored as `maescan score` does it; a row has what the gamblers bet on. A change has the size that doubles the alert
rate, from 5 to 10 of 100, found by bisection. `tests/scoring/test_martingale.py` draws streams of the rows.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from maescan import engines
from maescan.datasets.phantom import Phantom, make_phantom
from maescan.engines.bundle import Bundle
from maescan.method import aggregate
from maescan.method.intensity import scan_figures
from maescan.method.preprocess import prepare
from maescan.method.score import score_slices
from maescan.scans.scan import Scan

LARGEST = {"noise": 1.0, "resolution": 1.0, "intensity": 4.0, "intensity, less": 0.1}
UNCHANGED = {"noise": 0.0, "resolution": 0.0, "intensity": 1.0, "intensity, less": 1.0}
NOTICED = {"noise": 0.25, "intensity, less": 0.5}
"""Sizes where none up to the largest doubles the alert rate."""
SEED, CHANGED, RATE, STEPS = 9, 5000, 0.05, 4

Row = dict[str, Any]


def changed(voxels: NDArray[Any], kind: str, size: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """Voxels [X, Y, Z] with an exponent on their values, a blur of so many voxels in the slices, or noise of so many
    deviations of the tissue on it. Air stays air: scans are stripped after they are taken."""
    values = voxels.astype(np.float32)
    if kind.startswith("intensity"):
        top = np.percentile(values, 99.9)
        values = top * np.clip(values / top, 0, None) ** size
    elif kind == "resolution":
        tissue = (values > 0).astype(np.float32)
        near = ndimage.gaussian_filter(tissue, (size, size, 0))
        blurred = ndimage.gaussian_filter(values, (size, size, 0))
        values = np.where(tissue > 0, blurred / np.maximum(near, 1e-6), 0)
    elif kind == "noise":
        inside = values > 0.02 * np.percentile(values, 99)
        values = np.where(inside, values + rng.normal(0, size * values[inside].std(), values.shape), values)
    return np.rint(values).clip(0, 32767).astype(np.int16)


Score = Callable[[str, float, int], Row]
"""Of a kind and size of change and a phantom's number: its row."""


def scorer(bundle: Bundle) -> Score:
    engine, preset, made = engines.load(bundle, threads=1), bundle.preset, dict[int, Phantom]()

    def score(kind: str, size: float, number: int) -> Row:
        phantom = made.get(number) or make_phantom("brain", number, SEED, ill=False)
        if number >= CHANGED:
            made[number] = phantom
        voxels = changed(phantom.voxels, kind, size, np.random.default_rng(number))
        scan = Scan(voxels, 1.0, 0.0, phantom.affine, f"{kind}{size}-{number}", Path("phantom"), "nifti")
        prepared = prepare(scan, preset)
        images = np.ascontiguousarray(prepared.images, np.float32)
        slices = score_slices(images, prepared.keys, engine, preset, maps=False).score
        highest = aggregate.scan_score(slices, bundle.manifest.get("aggregation"))
        return {"kind": kind, "size": size, "scan": number, "score": highest, **scan_figures(scan, prepared.fit)}

    return score


def doubling(kind: str, score: Score, threshold: float, count: int) -> float:
    """The size of a change with which twice RATE of `count` scans score over `threshold`."""

    def alerts(size: float) -> float:
        rate = float(np.mean([score(kind, size, CHANGED + i)["score"] > threshold for i in range(count)]))
        print(f"{kind} {size:.3f}: {rate:.1%} alert", file=sys.stderr, flush=True)
        return rate

    low, high = UNCHANGED[kind], LARGEST[kind]
    if alerts(high) < 2 * RATE:
        return NOTICED[kind]
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if alerts(middle) >= 2 * RATE else (middle, high)
    return round(high, 3)


def rows(score: Score, again: list[Row], plain: int, count: int, each: int) -> Iterator[Row]:
    """A row a scan. Other scans are changed than those that stay as they are, which may come from a table `again`."""
    scores = []
    for row in again or (score("plain", 0.0, number) for number in range(plain)):
        scores.append(float(row["score"]))
        yield row
    for kind in LARGEST:
        size = doubling(kind, score, float(np.quantile(scores, 1 - RATE)), count)
        yield from (score(kind, size, CHANGED + i) for i in range(each))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--plain", type=int, default=560, help="unchanged scans")
    parser.add_argument("--changed", type=int, default=60, help="rows of each change")
    parser.add_argument("--count", type=int, default=100, help="scans of which alerts are counted")
    parser.add_argument("--again", type=Path, metavar="CSV", help="take unchanged scans from this table")
    arguments = parser.parse_args()
    score, again, writer = scorer(Bundle.load(arguments.bundle)), list[Row](), None
    if arguments.again:
        with arguments.again.open(newline="") as stream:
            again = [row for row in csv.DictReader(stream) if row["kind"] == "plain"]
    for row in rows(score, again, arguments.plain, arguments.count, arguments.changed):
        if writer is None:
            writer = csv.DictWriter(sys.stdout, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()})
        sys.stdout.flush()


if __name__ == "__main__":
    main()
