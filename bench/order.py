"""How often slices are told as out of order: scans as they are, in random order, and in that of names without zeros.

python bench/order.py SCANS ... [--preset tiny-fast]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from maescan.config import preset
from maescan.errors import ScanError
from maescan.method.order import LEAST, out_of_order
from maescan.method.preprocess import prepare
from maescan.scans import find_scans, read_scan


def main() -> None:
    """Prints a line a scan that is told as it is, and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path, nargs="+")
    parser.add_argument("--preset", default="tiny-fast")
    given = parser.parse_args()
    scans, told = 0, np.zeros(3, int)
    for source in find_scans(given.scans):
        try:
            images = prepare(read_scan(source), preset(given.preset)).images
        except ScanError as error:
            print(f"left out: {source.name}: {error.reason}")
            continue
        if (count := len(images)) < LEAST:
            continue
        shuffled = np.random.default_rng(scans).permutation(count)
        sorted_by_name = sorted(range(count), key=lambda index: str(index + 1))
        found = [bool(out_of_order(images[order])) for order in (np.arange(count), shuffled, sorted_by_name)]
        if found[0]:
            print(f"told as it is: {source.name}")
        scans, told = scans + 1, told + found
    plain, random, by_name = told
    print(f"{scans} scans: told as they are {plain}, in random order {random}, in the order 1, 10, 11, 2 {by_name}")


if __name__ == "__main__":
    main()
