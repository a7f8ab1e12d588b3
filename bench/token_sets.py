"""What token sets of each kind and padding would cost, and what each sees of a lesion that is as dark as air.

python bench/token_sets.py BRATS --modality t1ce
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maescan import datasets
from maescan.benchmark.cost import slice_operations
from maescan.config import Preset, preset
from maescan.method.tokens import air_level, patches_of

LESIONS, RADIUS, TISSUE = 2000, (2.0, 16.0), 500
SETS = {"hull": {"tokens__method": "hull"}} | {
    f"rim of {margin}": {"tokens__method": "foreground", "tokens__margin": margin} for margin in range(4)
}
MULTIPLES = (1, 4, 8)


def patches(tissue: NDArray[np.bool_], chosen: Preset) -> NDArray[np.bool_]:
    """Patches [N, L] that a preset sees of tissue [N, H, W]."""
    return np.concatenate([patches_of(tissue[i : i + 64], chosen) for i in range(0, len(tissue), 64)])


def costs(count: NDArray[np.int64], multiple: int, chosen: Preset) -> tuple[float, float, int]:
    """Mean tokens, mean GFLOP and how many sizes there are, where sets are padded to `multiple` tokens."""
    size = np.minimum(-(-count // multiple) * multiple, chosen.model.tokens)
    operations = [slice_operations(chosen, int(tokens)) if tokens else 0 for tokens in size]
    return float(size.mean()), float(np.mean(operations)) / 1e9, len(set(size.tolist()) - {0})


def eaten(tissue: NDArray[np.bool_], kinds: dict[str, Preset]) -> dict[str, NDArray[np.float64]]:
    """For each kind the share of each lesion [LESIONS] that no model sees: discs at the rim, as dark as air."""
    random, (rows, columns) = np.random.default_rng(0), np.mgrid[: tissue.shape[1], : tissue.shape[2]]
    slices = np.flatnonzero(tissue.sum(axis=(1, 2)) > TISSUE)
    unseen: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(LESIONS):
        whole = tissue[random.choice(slices)]
        inside = np.pad(whole, 1)
        rim = np.argwhere(whole & ~(inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]))
        row, column = random.choice(rim)
        lesion = whole & ((rows - row) ** 2 + (columns - column) ** 2 <= random.uniform(*RADIUS) ** 2)
        for name, kind in kinds.items():
            grid = patches((whole & ~lesion)[None], kind)[0].reshape(2 * [kind.model.grid])
            seen = grid.repeat(kind.model.patch_size, 0).repeat(kind.model.patch_size, 1)
            unseen[name].append(1 - float((lesion & seen).sum() / lesion.sum()))
    return {name: np.array(shares) for name, shares in unseen.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--modality")
    parser.add_argument("--preset", default="brats-fg")
    given = parser.parse_args()
    chosen = preset(given.preset)
    images = np.asarray(datasets.load(given.data, chosen, modality=given.modality).images[:])
    tissue, full = images > air_level(chosen), slice_operations(chosen, chosen.model.tokens) / 1e9
    kinds = {name: chosen.replace(**changes) for name, changes in SETS.items()}
    unseen = eaten(tissue, kinds)
    print("| set | padded to | sizes | tokens | GFLOP | over the full grid | unseen | over half unseen |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, kind in kinds.items():
        count = patches(tissue, kind).sum(axis=1)
        lost = f"{unseen[name].mean():.1%} | {(unseen[name] > 0.5).mean():.1%}"
        for multiple in MULTIPLES:
            tokens, gflop, sizes = costs(count, multiple, kind)
            print(f"| {name} | {multiple} | {sizes} | {tokens:.1f} | {gflop:.1f} | {full / gflop:.2f} | {lost} |")


if __name__ == "__main__":
    main()
