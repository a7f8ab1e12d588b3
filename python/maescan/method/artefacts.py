"""Artefacts of scanners and patients, put into slices that a judge learns from: they are no lesions, and whoever
looks for one has to look past them. A coil's shading is none of these: diffuse lesions look like it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maescan.config import Preset
from maescan.method import draws
from maescan.method.anomalies import Mask, Slice, field
from maescan.method.tokens import tissue_of, value_range

Made = NDArray[np.floating]
SHOWN = 0.02  # of the tissue's mean: fainter ghosts leave air as it is


def _noise(pair: Slice, tissue: Mask, rng: np.random.Generator) -> Made:
    """A magnitude's noise (Rice), fine or a little smooth."""
    real, imaginary = _grains(pair, tissue, rng)
    return np.where(tissue, np.hypot(pair + real, imaginary), pair)


def _dose(pair: Slice, tissue: Mask, rng: np.random.Generator) -> Made:
    """Noise of Hounsfield units, as of a lower dose."""
    return np.where(tissue, pair + _grains(pair, tissue, rng)[0], pair)


def _grains(pair: Slice, tissue: Mask, rng: np.random.Generator) -> list[Slice]:
    strength = pair[1][tissue].std() * np.exp(rng.uniform(*np.log([0.03, 0.5])))
    sigma = rng.choice([0.3, 0.3, 0.5])  # of a Gaussian, in pixels: under 0.4 none
    return [np.float32(strength) * field(len(tissue), sigma, rng) for _ in range(2)]


def _ghosts(pair: Slice, tissue: Mask, rng: np.random.Generator) -> Made:
    """Lines of k-space that are weaker and stronger in turns, or shifted to and fro, as motion leaves them."""
    axis, lines = int(rng.integers(2)), np.arange(len(tissue))
    wave = np.sin(2 * np.pi * (lines / rng.uniform(2, 6) + rng.random())) * np.exp(rng.uniform(*np.log([0.03, 0.5])))
    change = np.fft.ifftshift(1 + wave if rng.random() < 0.5 else np.exp(1j * wave))
    ghosted = np.abs(np.fft.ifft2(np.fft.fft2(pair) * np.expand_dims(change, 1 - axis)))
    return np.where(tissue | (ghosted > SHOWN * pair[1][tissue].mean()), ghosted, pair)


Artefact = Callable[[Slice, Mask, np.random.Generator], Made]
ARTEFACTS: dict[str, Artefact] = {"noise": _noise, "ghosts": _ghosts}
OF_CT: dict[str, Artefact] = {"dose": _dose}
"""Each takes values [2, H, W] above air's, of a slice with an anomaly and of the same without, whose tissue is
[H, W], and does the same to both."""


def put_artefacts(pairs: Slice, ids: ArrayLike, preset: Preset, *, seed: int, epoch: int) -> Slice:
    """Slices [2, B, H, W], with anomalies and without, of which a share of `judge.artefacts` has one artefact of the
    whole slice, both of a pair alike; values stay within what the preset's intensities reach. A draw depends on
    (seed, id, epoch) alone. A slice without tissue stays as it is."""
    if not preset.judge.artefacts:
        return pairs
    made, tissue = pairs.copy(), tissue_of(pairs[1], preset)
    kinds = list((OF_CT if preset.intensity.method == "hu" else ARTEFACTS).values())
    for i, number in enumerate(np.asarray(ids).tolist()):
        rng = np.random.default_rng([seed, epoch, draws.ARTEFACTS, int(number)])
        if rng.random() >= preset.judge.artefacts or not tissue[i].any():
            continue
        low, high = value_range(preset) or (float(pairs[1, i].min()), float(pairs[1, i].max()))
        artefact = kinds[int(rng.integers(len(kinds)))]
        made[:, i] = np.clip(low + artefact(pairs[:, i] - np.float32(low), tissue[i], rng), low, high)
    return made
