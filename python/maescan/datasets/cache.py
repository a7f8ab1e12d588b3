"""A data set prepared once: its slices in files that training and evaluation map into memory."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from maescan.config import Preset
from maescan.datasets.items import Item
from maescan.datasets.readers import Workers, read_all
from maescan.datasets.rows import Rows
from maescan.datasets.sliceset import SliceSet
from maescan.datasets.store import CachedScan, Store
from maescan.errors import ConfigError, DataError
from maescan.files import remove_halves, write_csv, write_json

VERSION = 1  # of the files and of what preprocessing makes of a scan
COLUMNS = ("patient", "slice", "label", "area", "split", "source", "key")
Progress = Callable[[int, int], None]


def is_cache(path: Path) -> bool:
    """Whether `path` is a folder that `prepare_cache` writes, finished or not."""
    return (Path(path) / "scans.jsonl").is_file() or (Path(path) / "cache.json").is_file()


def prepare_cache(
    kind: str,
    items: list[Item],
    preset: Preset,
    out: Path,
    *,
    workers: Workers = Workers(),
    progress: Progress | None = None,
    **options: str | None,
) -> dict[str, int]:
    """Writes the slices of `items` into `out` and returns {scans, slices, kept, failed}: `kept` scans were there
    already; those that `failed` are left out and stand in failures.csv.

    Killed at any moment, it goes on behind the last finished scan when called again; when scans were added, changed,
    mended or removed, from the first that differs. `options` (a modality) are kept for whoever reads the cache.
    Raises DataError where no scan can be used, and for a cache of other preprocessing.
    """
    out = Path(out)
    made = {"version": VERSION, "kind": kind, **options, "preprocessing": preprocessing(preset)}
    store = Store(out, preset.model.image_size)
    try:
        remove_halves(out)
        _same(out / "plan.json", made, "use another --out, or delete it")
        (out / "cache.json").unlink(missing_ok=True)
        write_json(out / "plan.json", made)
        read = partial(read_all, preset=preset, workers=workers)
        done = _kept(store.records(), items, read)
        for item, record in zip(items, done, strict=False):
            item.check(record["slice"], record["label"])
        store.begin(done)
        kept = len(done)
        blocks = read(items[kept:])
        for item, block in zip(items[kept:], blocks, strict=True):
            item.check(block.record["slice"], block.record["label"])
            block.record["stamp"] = stamp(item)
            store.add(block)
            done.append(block.record)
            if progress:
                progress(len(done), len(items))
        store.finish()
    finally:
        store.close()
    failed = [(item.name, *record["failed"].values()) for item, record in _where(items, done, failed=True)]
    write_csv(out / "failures.csv", ("scan", "reason", "remedy"), failed)
    used = _where(items, done, failed=False)
    if not used:
        name, reason, remedy = failed[0]
        raise DataError(f"none of its {len(items)} scans can be used; {name}: {reason}", path=out, remedy=remedy)
    write_csv(out / "index.csv", COLUMNS, _index(used))
    facts = {"scans": len(used), "slices": store.count}
    write_json(out / "cache.json", {**made, **facts, "masks": all(record["masks"] for _, record in used)})
    return {**facts, "kept": kept, "failed": len(failed)}


def load_cache(path: Path, preset: Preset, **options: str | None) -> SliceSet:
    """The slices of a finished cache, mapped: images float16 and masks are `Rows`.

    Raises DataError for one that is not finished, is damaged, or was prepared otherwise: it names what differs."""
    path = Path(path)
    if not (path / "cache.json").is_file():
        raise DataError("is not finished", path=path, remedy="run the same `maescan prepare` again")
    asked = {name: value for name, value in options.items() if value is not None}
    _same(path / "cache.json", {"version": VERSION, **asked, "preprocessing": preprocessing(preset)}, _ANEW)
    facts = json.loads((path / "cache.json").read_text())
    images, masks = (np.load(path / f"{name}.npy", mmap_mode="r") for name in ("images", "masks"))
    with open(path / "index.csv", newline="") as stream:
        table = list(zip(*csv.reader(stream), strict=True)) or [()] * len(COLUMNS)
    columns = {column[0]: np.array(column[1:]) for column in table}
    if not len(images) == len(masks) == len(columns["patient"]) == facts["slices"]:
        raise DataError("its files do not belong together", path=path, remedy=_ANEW)
    return SliceSet(
        images=Rows(images),
        patient=columns["patient"],
        slice=columns["slice"].astype(np.int64),
        label=columns["label"].astype(np.int8),
        area=columns["area"].astype(np.float32),
        mask=Rows(masks, width=images.shape[2]) if facts["masks"] else None,
        split=columns["split"] if (columns["split"] != "").any() else None,
        key=columns["key"].astype(np.uint64) if (columns.get("key", np.array("")) != "").any() else None,
    )


_ANEW = "prepare it anew, into another folder"


def preprocessing(preset: Preset) -> dict[str, Any]:
    """What of a preset decides the slices."""
    parts = preset.to_dict()
    made = {f"{part}.{name}": value for part in ("intensity", "grid") for name, value in parts[part].items()}
    return {"model.image_size": preset.model.image_size, **made}


def stamp(item: Item) -> str:
    """Hash of what tells a scan that is prepared already: its name, its files' sizes and times, its detail."""
    stats = [(file.name, *_size_and_time(file)) for file in item.files]
    return hashlib.sha256(json.dumps([item.name, stats, item.detail]).encode()).hexdigest()[:16]


def _size_and_time(file: Path) -> tuple[int, int]:
    try:
        stat = file.stat()
    except OSError:  # gone since it was found: reading it says so
        return -1, 0
    return stat.st_size, stat.st_mtime_ns


def _kept(
    records: list[dict[str, Any]], items: list[Item], read: Callable[[list[Item]], Iterator[CachedScan]]
) -> list[dict[str, Any]]:
    """The records that the first items still answer to; what failed is tried again."""
    kept = []
    for record, item in zip(records, items, strict=False):
        if record["stamp"] != stamp(item):
            break
        kept.append(record)
    failed = [number for number, record in enumerate(kept) if "failed" in record]
    for number, block in zip(failed, read([items[number] for number in failed]), strict=True):
        if "failed" not in block.record:
            return kept[:number]
    return kept


def _where(items: list[Item], records: list[dict[str, Any]], *, failed: bool) -> list[tuple[Item, dict[str, Any]]]:
    return [pair for pair in zip(items, records, strict=True) if ("failed" in pair[1]) == failed]


def _same(file: Path, made: dict[str, Any], remedy: str) -> None:
    """Raises DataError, naming the first difference, where `file` says that the cache was made otherwise."""
    if not file.is_file():
        return
    old = json.loads(file.read_text())
    defaults = preprocessing(Preset("defaults"))  # of fields that are younger than the cache
    for name, value in {**made, **made["preprocessing"]}.items():
        before = old.get(name, old["preprocessing"].get(name, defaults.get(name)))
        if name != "preprocessing" and before != value:
            raise DataError(f"was prepared with {name} {before}, not {value}", path=file.parent, remedy=remedy)


def _index(used: list[tuple[Item, dict[str, Any]]]) -> Iterator[tuple[Any, ...]]:
    for item, record in used:
        parts = item.parts(record["slice"])
        parts = [""] * record["count"] if parts is None else parts.tolist()
        keys = record.get("key", [""] * record["count"])
        rows = zip(record["slice"], record["label"], record["area"], parts, keys, strict=True)
        for number, label, area, part, key in rows:
            yield record["patient"], number, label, float(area), part, record["sha256"][:16], key


def check_new(split_dir: Path | None, path: Path) -> None:
    """Raises ConfigError for split files given with a cache, whose split was made when it was prepared."""
    if split_dir is not None:
        remedy = "give --split-dir to `maescan prepare`"
        raise ConfigError("a prepared cache is split already", path=path, remedy=remedy)
