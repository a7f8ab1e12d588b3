"""How much of a lesion that `stress` puts in is there to be seen: python bench/visible.py DATA --preset tiny+.

For each kind, the change of the slice in deviations of its fine noise: the root of the sum of squares over the
lesion, which is what an observer has who knows place and shape, and the largest of any pixel; quantiles over healthy
slices, of all lesions and of those under 2.5 % of the tissue. Noise: what a blur of one pixel leaves out, in tissue.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from maescan import datasets
from maescan.config import preset
from maescan.evaluate.insertions import LESIONS
from maescan.evaluate.stress import Healthy
from maescan.method.anomalies import smooth

SMALL, QUANTILES = 0.025, (0.1, 0.25, 0.5, 0.75)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--preset", default="tiny+")
    parser.add_argument("--slices", type=int, default=224)
    given = parser.parse_args()
    chosen = preset(given.preset)
    healthy = Healthy(datasets.load(given.data, chosen), chosen, most=given.slices)
    fine = np.stack([image - smooth(image, 1.0) for image in healthy.images])
    inside = np.stack([smooth(tissue.astype(np.float32), 2.0) > 0.99 for tissue in healthy.tissue])
    noise = 1.4826 * float(np.median(np.abs(fine[inside])))
    print(f"{len(healthy)} slices; quantiles {QUANTILES} of change / noise ({noise:.3f})")
    for kind in LESIONS:
        put = [healthy.insertion(kind, number) for number in range(len(healthy))]
        change = [each.image - plain for each, plain in zip(put, healthy.images, strict=True)]
        whole = np.array([np.sqrt(np.square(part).sum()) for part in change]) / noise
        peak = np.array([np.abs(part).max() for part in change]) / noise
        share = [(part != 0).sum() / tissue.sum() for part, tissue in zip(change, healthy.tissue, strict=True)]
        small = np.array(share) < SMALL
        rows = {"all": whole, "small": whole[small], "small, peak": peak[small]}
        told = (
            f"{name} {np.round(np.quantile(row, QUANTILES), 1).tolist()}" for name, row in rows.items() if len(row)
        )
        print(f"{kind:15}", *told, f"({small.mean():.2f} are small)")


if __name__ == "__main__":
    main()
