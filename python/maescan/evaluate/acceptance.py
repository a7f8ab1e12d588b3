"""`maescan stress`: a bundle on healthy scans with lesions put into them; tables and a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.config.types import Json
from maescan.datasets.sliceset import SliceSet
from maescan.engines.bundle import Bundle
from maescan.errors import DataError, defused
from maescan.evaluate.insertions import LESIONS, Insertion
from maescan.evaluate.markdown import stress_text, taken_text
from maescan.evaluate.output import FILES, STRESS, output, told
from maescan.evaluate.scans import trained_scans, training_text, unlike_scans
from maescan.evaluate.stress import SLICES, Answer, Healthy, Scorer, Stressed, stress_slices, summarise
from maescan.files import atomic_file, write_csv, write_json, write_text
from maescan.method.engine import Engine
from maescan.options import EngineOptions, StressOptions
from maescan.progress import part, tell

MEASURES = {"mse": "mean squared error", "mae": "mean absolute error", "ssim": "SSIM"}
COLUMNS, TILE = 4, 128


def stress(
    data: SliceSet | Path | str,
    bundle: Bundle | Path | str,
    out: Path,
    engine: EngineOptions | None = None,
    options: StressOptions | None = None,
    listen: Callable[[str], None] | None = None,
) -> Json:
    """Puts one lesion of every kind into each of `options.slices` healthy slices and writes stress.json, stress.csv,
    stress.md and stress.png into `out`; returns stress.json's values. Run twice, the files are the same bytes.

    `data`: a SliceSet or a path for `datasets.load`, which tells `listen`; `bundle`: a Bundle or its path. Raises
    DataError where no slice is known to be healthy or a score is not finite; BundleError, EngineError.
    """
    from maescan import datasets, engines

    engine, options = engine or EngineOptions(), options or StressOptions()
    with output(out, STRESS, listen) as run:
        bundle = Bundle.load(Path(bundle)) if isinstance(bundle, str | Path) else bundle
        about, running = told(bundle, data), engines.load(bundle, **engine.to_json())  # before hours of reading
        try:
            if isinstance(data, str | Path):
                data = datasets.load(Path(data), bundle.preset, modality=options.modality, listen=listen)
            healthy = Healthy(data, bundle.preset, most=options.slices, seed=options.seed)
            score = engine_scorer(running, bundle.preset)
            stressed = stress_slices(healthy, score, progress=tell)
            model: Json = {"name": bundle.preset.name, "bundle": bundle.hash, "engine": running.name}
            known = trained_scans(data, data.patient, bundle.manifest)
            unlike = unlike_scans(data, data.patient, bundle.manifest)
            summary = summarise(stressed, seed=options.seed)
            model |= {
                "trained_scans": known,
                "unlike_scans": unlike,
                "left_out": [s._asdict() for s in data.left_out],
            }
            summary |= {"taken": data.taken, "model": model}
            run.replace(FILES[STRESS], about)
            picture(out / "stress.png", healthy, stressed, score)
        finally:
            running.close()
        _write(out, stressed, summary)
    return summary


def _write(out: Path, stressed: Stressed, summary: Json) -> None:
    write_json(out / "stress.json", summary)
    write_csv(out / "stress.csv", *_rows(stressed))
    text = training_text(summary) + taken_text(summary["taken"], summary["model"]["left_out"]) + stress_text(summary)
    title = f"# Stress test of {summary['model']['name']}"
    write_text(out / "stress.md", f"{title}\n\n{text}\n![stress.png](stress.png)\n")


def stress_set(slices: SliceSet, engine: Engine, preset: Preset, *, most: int = SLICES, seed: int = 0) -> Json | None:
    """`stress.summarise` of a set's healthy slices; None where no scan of it has room for a lesion."""
    try:
        healthy = Healthy(slices, preset, most=most, seed=seed)
    except DataError:
        return None
    with part("stress test", "slices") as update:
        return summarise(stress_slices(healthy, engine_scorer(engine, preset), progress=update), seed=seed)


def engine_scorer(engine: Engine, preset: Preset) -> Scorer:
    """The path of `maescan score`, with every measure that it has beside its own, which comes first."""
    from maescan.method import measures
    from maescan.method.heat import mapped_slices

    def score(images: NDArray[np.float32], keys: NDArray[np.uint64]) -> Answer:
        scored = mapped_slices(images, keys, engine, preset)
        assert scored.reconstruction is not None
        own = {"score": scored.score}
        if preset.input == "image":
            return own, None
        ssim = measures.anomaly("ssim", images, scored.reconstruction.reshape(images.shape))
        every = {"mse": scored.mse, "mae": scored.mae, "ssim": ssim}
        others = {MEASURES[name]: values for name, values in every.items() if name != preset.measure}
        return own | others, scored.difference

    return score


def _rows(stressed: Stressed) -> tuple[tuple[str, ...], list[tuple[str | float, ...]]]:
    """A row for every slice and kind; numbers with every digit, so that figures made of them are stress.json's."""
    scores_of = (f"{measure} {when}" for measure in stressed.before for when in ("before", "after"))
    columns = ("scan", "slice", "put_in", "size", "change", "map", *scores_of)
    rows: list[tuple[str | float, ...]] = []
    for kind, after in stressed.after.items():
        blank = np.full(len(stressed.patient), np.nan)
        own = [values.get(kind, blank) for values in (stressed.size, stressed.change, stressed.found)]
        for i, (scan, number) in enumerate(zip(stressed.patient, stressed.slice, strict=True)):
            cells = ["" if np.isnan(values[i]) else repr(float(values[i])) for values in own]
            scores = [repr(float(s[i])) for m in stressed.before for s in (stressed.before[m], after[m])]
            rows.append((defused(str(scan)), int(number), kind, *cells, *scores))
    return tuple(name.replace(" ", "_") for name in columns), rows


def picture(path: Path, healthy: Healthy, stressed: Stressed, score: Scorer) -> None:
    """A row for each kind of lesion, `COLUMNS` slices spread evenly: the slice with what was put in outlined, its
    heat map without it and with it, alike in scale; the number is the change of the score."""
    from PIL import Image, ImageDraw

    numbers = np.unique(np.linspace(0, len(healthy) - 1, COLUMNS + 2).astype(int)[1:-1])
    first, rows, words = next(iter(stressed.before)), [], []
    before = _heat(healthy.images[numbers], healthy.keys[numbers], score)
    for kind in LESIONS:
        put = [healthy.insertion(kind, int(number)) for number in numbers]
        heat = before, _heat(np.stack([one.image for one in put]), healthy.keys[numbers], score)
        top = max(float(maps.max()) for maps in heat) or 1.0
        tiles = [
            tile for i, one in enumerate(put) for tile in (_outlined(one), *(_hot(maps[i] / top) for maps in heat))
        ]
        rows.append(np.concatenate(tiles, axis=1))
        changes = stressed.after[kind][first][numbers] - stressed.before[first][numbers]
        words.append([f"{kind} {change:+.2g}" for change in changes])
    drawn = Image.fromarray(np.concatenate(rows))
    pen, size = ImageDraw.Draw(drawn), TILE
    for row, line in enumerate(words):
        for column, word in enumerate(line):
            pen.text((3 * size * column + 2, size * row + 1), word, fill=(255, 255, 255))
    with atomic_file(path) as temporary:
        drawn.save(temporary, format="png")


def _heat(images: NDArray[np.float32], keys: NDArray[np.uint64], score: Scorer) -> NDArray[np.float32]:
    maps = score(images, keys)[1]
    return np.zeros_like(images) if maps is None else maps.reshape(images.shape)


def _outlined(put: Insertion) -> NDArray[np.uint8]:
    """A slice in grey [TILE, TILE, 3] with the outline of what was put in."""
    image, mask = _enlarged(put.image), _enlarged(np.asarray(put.mask, np.float32)) > 0.5
    low, high = float(image.min()), float(image.max())
    grey = np.repeat((255 * (image - low) / (high - low or 1.0)).astype(np.uint8)[:, :, None], 3, axis=2)
    inner = mask.copy()
    for axis in (0, 1):
        inner &= np.roll(mask, 1, axis) & np.roll(mask, -1, axis)
    grey[mask & ~inner] = (0, 220, 220)
    return grey


def _hot(heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Values 0 to 1 as black, red, yellow, white."""
    ramp = 3 * np.clip(_enlarged(heat), 0, 1)[:, :, None] - np.arange(3)
    return (255 * np.clip(ramp, 0, 1)).astype(np.uint8)


def _enlarged(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest pixel of [H, W] at each of [TILE, TILE]."""
    rows, cols = (np.arange(TILE) * n // TILE for n in image.shape)
    return image[rows[:, None], cols[None]]
