"""ROC curves and the slices that were missed, found and falsely called, as PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maescan.config import Preset
from maescan.datasets.sliceset import SliceSet
from maescan.decimals import rounded
from maescan.evaluate.ranking import auroc, roc
from maescan.files import atomic_file
from maescan.method.preprocess import upright

COLUMNS = 4


def roc_picture(path: Path, labels: ArrayLike, scores: Mapping[str, ArrayLike]) -> None:
    """The ROC curve of every named score [N] (paper, figure 3); the first one is drawn strong."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 5), layout="constrained")
    axes = figure.add_subplot(aspect="equal", xlabel="1 - specificity", ylabel="sensitivity")
    for number, (name, score) in enumerate(scores.items()):
        curve = roc(labels, score)
        x, y = (np.concatenate([[0.0], rate]) for rate in (curve.false_rate, curve.sensitivity))
        axes.plot(x, y, linewidth=1 if number else 2.2, label=f"{name} {rounded(auroc(labels, score))}")
    axes.plot([0, 1], [0, 1], color="0.7", linestyle="--", linewidth=1)
    axes.legend(loc="lower right", frameon=False)
    _save(figure, path)


def chosen(labels: ArrayLike, scores: ArrayLike) -> dict[str, NDArray[np.intp]]:
    """Numbers of the `COLUMNS` lesion slices that score highest and lowest, and of the highest normal ones."""
    label, score = np.asarray(labels), np.asarray(scores)
    order = np.argsort(score, kind="stable")
    abnormal, normal = order[label[order] == 1], order[label[order] == 0]
    rows = {"found": abnormal[::-1], "missed": abnormal, "false alarm": normal[::-1]}
    return {name: numbers[:COLUMNS] for name, numbers in rows.items()}


def slices_picture(
    path: Path,
    slices: SliceSet,
    scores: NDArray[np.floating],
    heat: Mapping[str, NDArray[np.floating]],
    preset: Preset,
) -> None:
    """One row each of `chosen`: the slice with its lesion outlined, and its heat map [B, H, W] beside it."""
    from matplotlib.figure import Figure

    rows = chosen(slices.label, scores)
    top = max((float(maps.max()) for maps in heat.values() if maps.size), default=1.0)
    figure = Figure(figsize=(3.2 * COLUMNS, 1.8 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), 2 * COLUMNS, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    for line, (name, numbers) in zip(grid, rows.items(), strict=True):
        for column, number in enumerate(numbers):
            image, beside = line[2 * column], line[2 * column + 1]
            image.imshow(upright(np.asarray(slices.images[number], np.float32), preset), cmap="gray")
            beside.imshow(upright(heat[name][column], preset), cmap="inferno", vmin=0, vmax=top)
            image.set_title(f"{name} {scores[number]:.2f}", fontsize=7)
            _outline(image, slices, number, preset)
    _save(figure, path)


def _outline(axes: Any, slices: SliceSet, number: int, preset: Preset) -> None:
    mask = slices.mask
    if mask is not None and np.asarray(mask[number]).any():
        axes.contour(
            upright(np.asarray(mask[number], float), preset), levels=[0.5], colors="tab:cyan", linewidths=0.6
        )


def _save(figure: Any, path: Path) -> None:
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})
