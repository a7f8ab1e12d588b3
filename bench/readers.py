"""How many slices a second readers prepare: all that a reader does before an engine, in so many processes.

python bench/readers.py SCANS --processes 2 --rounds 7 [--int16]

--int16: the scans' values are rounded to whole numbers first, as BraTS2020's files hold them; nothing else changes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterable
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import nibabel
import numpy as np

from maescan.config import preset
from maescan.options import ReadOptions
from maescan.scans import find_scans
from maescan.scoring.readers import read_and_prepare

STEPS = 4000  # whole values that a scan's tissue spans


def whole_values(scans: Iterable[Path], out: Path) -> None:
    """Copies of NIfTI files as int16 in `out`: their commonest value becomes 0, the others 1 to STEPS."""
    for number, path in enumerate(scans):
        image = nibabel.nifti1.load(path)
        voxels = np.asarray(image.dataobj)
        values, counts = np.unique(voxels, return_counts=True)
        tissue = voxels != values[counts.argmax()]
        low, high = voxels[tissue].min(), voxels[tissue].max()
        steps = np.where(tissue, 1 + (voxels - low) / (high - low) * (STEPS - 1), 0)
        nibabel.nifti1.save(
            nibabel.nifti1.Nifti1Image(np.rint(steps).astype(np.int16), image.affine), out / f"{number}.nii.gz"
        )


def rounds(paths: list[Path], count: int, start: Barrier, own: int) -> list[tuple[int, float]]:
    """(slices, seconds) of each round of one process, which reads every scan once a round."""
    sources = list(find_scans(paths))
    sources = sources[own % len(sources) :] + sources[: own % len(sources)]
    used, options, made = preset("brats-fg"), ReadOptions(), []
    for number in range(count + 1):
        start.wait()
        began, slices = time.perf_counter(), 0
        for source in sources:
            _, images, _ = read_and_prepare(source, used, options)
            slices += len(images)
        if number:  # the first one imports
            made.append((slices, time.perf_counter() - began))
    return made


def main() -> None:
    """Prints a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path, nargs="+")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--int16", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = options.scans
        if options.int16:
            whole_values(paths, Path(folder))
            paths = [Path(folder)]
        fork = get_context("fork")
        start = fork.Barrier(options.processes)
        with fork.Pool(options.processes, _share, (start,)) as pool:
            every = pool.starmap(_rounds, [(paths, options.rounds, own) for own in range(options.processes)], 1)
    rates = [sum(slices / seconds for slices, seconds in together) for together in zip(*every, strict=True)]
    made = {"median": statistics.median(rates), "least": min(rates), "most": max(rates)}
    print(json.dumps({"processes": options.processes} | {name: round(rate) for name, rate in made.items()}))


_shared: list[Barrier] = []


def _share(start: Barrier) -> None:
    _shared.append(start)


def _rounds(paths: list[Path], count: int, own: int) -> list[tuple[int, float]]:
    return rounds(paths, count, _shared[0], own)


if __name__ == "__main__":
    main()
