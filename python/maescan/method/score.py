"""The one path from slices to scores, for scoring and evaluation alike (paper, sections 3.2 to 3.4).

`enqueue` is that path, for a batch whose arrays lie in a *place*: the host, where every step is done when it returns,
or a GPU, where the steps wait in a stream and may be captured in a graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maescan import kernels
from maescan.config import Preset
from maescan.kernels.reference import Differences
from maescan.method.engine import Answers, Array, DeviceEngine, Engine, Floats, Ids, Place, TokenBatch
from maescan.method.judge import judge_features, slice_score, token_map
from maescan.method.masks import make_masks
from maescan.method.raw import RawSlices, Slices, on_host
from maescan.method.tokens import TokenSets, token_sets

Keys = NDArray[np.integer]
PICTURES = ("difference", "reconstruction")


@dataclass(frozen=True)
class SliceScores:
    """score, mse, mae [B]; difference and reconstruction [B, H, W] when maps were asked for. Of a judge `difference`
    is its map, the probability of an anomaly."""

    score: Floats
    mse: Floats
    mae: Floats
    difference: Floats | None = None
    reconstruction: Floats | None = None


def score_slices(
    images: Slices,
    slice_ids: ArrayLike,
    engine: Engine,
    preset: Preset,
    *,
    maps: bool = False,
    sets: TokenSets | None = None,
) -> SliceScores:
    """Scores slices [B, H, W], higher is more abnormal. slice_ids [B]: each slice's index in its scan, the key of its
    masks. sets: their token sets, where they are at hand. Where tokens are of the foreground, a slice
    without any costs nothing and scores least: 0, by SSIM -1. Raw slices come to the grid where the engine's places
    are, else here."""
    slice_ids, foreground = np.asarray(slice_ids), preset.tokens.method != "all"
    if not isinstance(images, RawSlices):
        images = np.ascontiguousarray(images, np.float32)
    elif not isinstance(engine, DeviceEngine) or not images.for_devices:
        images = images.extracted()
    if sets is None and foreground:
        images = on_host(images)
        sets = token_sets(images, preset)
    if sets is None:
        return next(_score([(images, slice_ids, None)], engine, preset, maps))
    scores = (np.full(len(images), value, np.float32) for value in (least_score(preset), 0.0, 0.0))
    pictures = (np.zeros(images.shape, np.float32) for _ in range(2)) if maps else (None, None)
    whole = SliceScores(*scores, *pictures)
    if whole.reconstruction is not None and (empty := np.flatnonzero(sets.size == 0)).size:
        whole.reconstruction[empty] = on_host(images[empty])
    groups = [(which, sets.ids(which, size)) for size, which in sets.groups()]
    parts = _score(((images[which], slice_ids[which], ids) for which, ids in groups), engine, preset, maps)
    for (which, _), part in zip(groups, parts, strict=True):
        for field in fields(SliceScores):
            if getattr(whole, field.name) is not None:
                getattr(whole, field.name)[which] = getattr(part, field.name)
    return whole


def least_score(preset: Preset) -> float:
    """Of a slice that is as identical to its reconstruction as can be."""
    return -1.0 if preset.measure == "ssim" else 0.0


def takes_raw(engine: Engine, preset: Preset) -> bool:
    """Whether raw slices come to the grid where the engine's places are."""
    return isinstance(engine, DeviceEngine) and preset.input != "image"


def _score(
    groups: Iterable[tuple[Slices, Keys, Ids | None]], engine: Engine, preset: Preset, maps: bool
) -> Iterator[SliceScores]:
    """groups: slices, their ids, and the patches [B, T] of them that the models see; None is the full grid. The host
    takes one after the other, the places of a device all at once."""
    if isinstance(engine, DeviceEngine):
        groups = list(groups)
        found = engine.score([_batch(*group, preset) for group in groups], preset, maps=maps)
        for answers, (images, *_) in zip(found, groups, strict=True):
            yield _slice_scores(answers, images, preset, maps)
        return
    for group in groups:
        answers = enqueue(_batch(*group, preset), HostPlace(engine), preset, maps=maps)
        yield _slice_scores(answers, group[0], preset, maps)


def _batch(images: Slices, slice_ids: Keys, token_ids: Ids | None, preset: Preset) -> TokenBatch:
    ids = token_ids
    if ids is None:
        ids = np.tile(np.arange(preset.model.tokens, dtype=np.int32), (len(images), 1))
    rows = np.repeat(ids, preset.masks.passes, axis=0)
    return TokenBatch(images, slice_ids, ids, rows, full=token_ids is None)


class HostPlace:
    """The host's memory: the kernels make their own arrays, and every step is done when it returns."""

    stream, visible_dtype, hidden = None, "float32", False

    def __init__(self, engine: Engine) -> None:
        self.reconstruct, self.classify = engine.reconstruct, engine.classify

    def at_once(self, *_: object) -> None:
        """None: the host's kernels and networks take turns."""

    def buffer(self, *_: object) -> None:
        """None: on the host whoever writes an array makes it."""

    def judge(self, batch: TokenBatch, predictions: Array, restore_ids: Array, preset: Preset) -> Answers:
        """The judge's score, and its map in place of the difference."""
        model, keep = preset.model, preset.masks.visible(batch.ids.shape[1])
        features = judge_features(
            batch.images, predictions, restore_ids, batch.token_ids, keep=keep, patch=model.patch_size
        )
        logits = np.asarray(self.classify(features, batch.ids), np.float32)
        heat = token_map(logits, batch.ids, model.grid, model.patch_size)
        return {"score": slice_score(logits), "difference": heat[:, None]}


def enqueue(batch: TokenBatch, place: Place, preset: Preset, *, maps: bool) -> Answers:
    """Mask, reconstruct, average, judge: the answers of a batch, in the place's memory once its stream is done.

    `score` or `ssim` [B] where the preset's measure needs them, `mse` and `mae` [B] with an MAE, and with maps
    `difference` [B, 1, H, W] and `reconstruction` [B, H, W].
    """
    model, masks, count, tokens = preset.model, preset.masks, len(batch.images), batch.ids.shape[1]
    if preset.input == "image":
        return {"score": place.classify(_patches(batch.images, batch, place, preset), batch.ids)}
    keep, rows = masks.visible(tokens), count * masks.passes
    keep_ids, restore_ids, *others = make_masks(masks, batch.slice_ids, tokens, place=place)
    hidden_ids = others[0] if others else restore_ids
    whole = place.at_once(batch, keep_ids, hidden_ids, restore_ids)
    if whole is not None:
        return {name: array for name, array in whole.items() if maps or name not in PICTURES}
    visible = kernels.patchify_visible(
        batch.images,
        keep_ids,
        batch.token_ids,
        patch=model.patch_size,
        dtype=place.visible_dtype,
        out=place.buffer("visible", (rows, keep, model.patch_pixels), place.visible_dtype),
        stream=place.stream,
    )
    predictions = place.reconstruct(visible, batch.rows, keep_ids, hidden_ids)
    result = _differences(batch, predictions, restore_ids, place, preset, maps)
    answers = {"mse": result.mse, "mae": result.mae}
    if maps:
        answers |= {"difference": result.difference, "reconstruction": result.reconstruction}
    if preset.measure == "judge":
        return answers | place.judge(batch, predictions, restore_ids, preset)
    return answers | _judge(batch, result, place, preset)


def _differences(
    batch: TokenBatch, predictions: Array, restore_ids: Array, place: Place, preset: Preset, maps: bool
) -> Differences:
    """The differences that the measure needs, and mse and mae."""
    size, patch, (count, tokens) = preset.model.image_size, preset.model.patch_size, batch.ids.shape
    shapes: dict[str, tuple[int, ...]] = {"difference": (count, 1, size, size), "mse": (count,), "mae": (count,)}
    if preset.measure == "ssim" or preset.input == "reconstruction" or maps:
        shapes["reconstruction"] = (count, size, size)
    if preset.input == "l2":
        shapes["squared"] = (count, 1, size, size)
    if preset.input == "l1":
        shapes["tokens"] = (count, tokens, preset.model.patch_pixels)
    buffers = {name: place.buffer(name, shape, "float32") for name, shape in shapes.items()}
    return kernels.average_difference(
        batch.images,
        predictions,
        restore_ids,
        keep=preset.masks.pasted(preset.masks.visible(tokens)),
        patch=patch,
        token_ids=batch.token_ids,
        reconstruction="reconstruction" in shapes,
        squared="squared" in shapes,
        tokens="tokens" in shapes,
        errors=True,
        out=None if buffers["difference"] is None else Differences(**buffers),
        partials=place.buffer("partials", (count, preset.model.tokens, 2), "float32"),
        stream=place.stream,
    )


def _judge(batch: TokenBatch, result: Differences, place: Place, preset: Preset) -> Answers:
    """The measure's own answer; mse and mae are at hand already."""
    count, size = len(batch.images), preset.model.image_size
    if preset.measure == "classifier":
        tokens = result.tokens
        if preset.input != "l1":
            seen = result.reconstruction if preset.input == "reconstruction" else result.squared
            tokens = _patches(seen.reshape(count, size, size), batch, place, preset)
        return {"score": place.classify(tokens, batch.ids)}
    if preset.measure == "ssim":
        out, sums = place.buffer("ssim", (count,), "float32"), place.buffer("sums", (count, size - 6), "float64")
        found = kernels.ssim(batch.images, result.reconstruction, out=out, partials=sums, stream=place.stream)
        return {"ssim": found}
    return {}


def _patches(slices: Array, batch: TokenBatch, place: Place, preset: Preset) -> Array:
    """The set's patches of slices [B, H, W], as the classifier takes them."""
    out = place.buffer("patches", (*batch.ids.shape, preset.model.patch_pixels), "float32")
    return kernels.patchify(slices, batch.token_ids, patch=preset.model.patch_size, out=out, stream=place.stream)


def _slice_scores(answers: Answers, images: Slices, preset: Preset, maps: bool) -> SliceScores:
    """Answers on the host as scores. Without an MAE (an ablation of section 4.5) the differences are zero."""
    if preset.input == "image":
        images = on_host(images)
        none = np.zeros(len(images), np.float32)
        return SliceScores(np.asarray(answers["score"], np.float32), none, none, np.zeros_like(images), images)
    if preset.network is not None:
        score = np.asarray(answers["score"], np.float32)
    else:
        score = -answers["ssim"] if preset.measure == "ssim" else answers[preset.measure]
    difference = answers["difference"][:, 0] if maps else None
    return SliceScores(score, answers["mse"], answers["mae"], difference, answers["reconstruction"] if maps else None)
