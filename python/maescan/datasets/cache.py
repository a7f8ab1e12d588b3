"""A data set prepared once: its slices in files that training and evaluation map into memory."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from maescan import progress
from maescan.config import Preset
from maescan.config.types import Json
from maescan.content import sha256
from maescan.datasets.folder import IS_MAP
from maescan.datasets.items import LabelledScan
from maescan.datasets.readers import Workers, none_usable, read_all
from maescan.datasets.rows import MappedRows
from maescan.datasets.sliceset import LeftOut, SliceSet, scans_told
from maescan.datasets.store import CachedScan, CacheWriter, Slices, content_hash, load_array
from maescan.decimals import counted
from maescan.errors import ConfigError, DataError, defused, quoted, typed, unread
from maescan.files import remove_partial, write_csv, write_json
from maescan.records import Record, read, read_rows

VERSION = 2  # of the files and of what preprocessing makes of a scan
COLUMNS = ("patient", "slice", "label", "area", "split", "source", "key", "hash")


def is_cache(path: Path) -> bool:
    """Whether `path` is a folder that `prepare_cache` writes, finished or not."""
    return (Path(path) / "scans.jsonl").is_file() or (Path(path) / "cache.json").is_file()


def prepare_cache(
    kind: str,
    items: list[LabelledScan],
    preset: Preset,
    out: Path,
    *,
    workers: Workers = Workers(),
    **options: str | None,
) -> dict[str, int]:
    """Writes the slices of `items` into `out` and returns {scans, slices, kept, failed}: `kept` scans were there
    already; those that `failed` are left out and stand in failures.csv.

    Killed at any moment, it goes on behind the last finished scan when called again; when scans were added, changed,
    mended or removed, from the first that differs. `options` (a modality) are kept for whoever reads the cache.
    Raises DataError where no scan can be used, for label maps, and for a cache of other preprocessing or other data.
    """
    out = Path(out)
    made = {"version": VERSION, "kind": kind, **options, "preprocessing": preprocessing(preset)}
    store = CacheWriter(out, preset.model.image_size)
    try:
        remove_partial(out)
        _same(out / "plan.json", made, "use another --out, or delete it")
        records, data = store.records(), _folder_of(items)
        _of_these(out / "plan.json", records, items, data)
        (out / "cache.json").unlink(missing_ok=True)
        write_json(out / "plan.json", {**made, "data": data})
        read = partial(read_all, preset=preset, workers=workers)
        done = _kept(records, items, read)
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
            progress.tell(len(done), len(items))
        store.finish()
    finally:
        store.close()
    used = _usable(items, done, out)
    write_csv(out / "index.csv", (*COLUMNS, "whose"), _index(used))
    facts = {"scans": len(used), "slices": store.count}
    masks, index = all(record["masks"] for _, record in used), _hash_of(out / "index.csv")
    write_json(out / "cache.json", {**made, **facts, "masks": masks, "index": index, "note": items[0].note})
    return {**facts, "kept": kept, "failed": len(items) - len(used)}


def _usable(items: list[LabelledScan], done: list[Json], out: Path) -> list[tuple[LabelledScan, Json]]:
    """The scans that were read; the others are written into failures.csv. Raises DataError where there are none, and
    where others are label maps: what these are drawn on may have lesions."""
    left_out = _where(items, done, failed=True)
    failed = [LeftOut(item.name, **record["failed"]) for item, record in left_out]
    write_csv(out / "failures.csv", ("scan", "reason", "remedy"), [tuple(map(defused, row)) for row in failed])
    if maps := [(item, record["failed"]) for item, record in left_out if record["failed"]["reason"].endswith(IS_MAP)]:
        more = f", as {len(maps) - 1} more are: {typed(out / 'failures.csv')}" if len(maps) > 1 else ""
        remedy = f"{maps[0][1]['remedy']}; then prepare again"
        raise DataError(f"{IS_MAP}{more}", path=maps[0][0].files[0], remedy=remedy)
    used = _where(items, done, failed=False)
    if not used:
        raise none_usable(failed, out)
    return used


class Facts(Record, frozen=True):
    """cache.json. index: SHA-256 of index.csv; note: `LabelledScan.note`."""

    version: int
    kind: str
    preprocessing: dict[str, object]
    scans: int
    slices: int
    masks: bool
    index: str
    note: str = ""


class IndexRow(Record, frozen=True):
    """A row of index.csv. label: -1 where it is not known; hash: `store.content_hash` of its scan's slices."""

    patient: str
    slice: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    label: Annotated[int, Meta(ge=-1, le=1)]
    area: Annotated[float, Meta(ge=0, le=1)]
    split: str
    source: str
    key: Annotated[str, Meta(pattern="^[0-9]{0,20}$")]
    hash: str
    whose: str = ""


def load_cache(path: Path, preset: Preset, **options: str | None) -> SliceSet:
    """The slices of a finished cache, mapped: images float16 and masks are `MappedRows`.

    Raises DataError for one that is not finished, was prepared otherwise (it names what differs), or is not as it was
    prepared: every scan's slices are hashed."""
    path = Path(path)
    if not (path / "cache.json").is_file():
        raise DataError("is not finished", path=path, remedy="run the same `maescan prepare` again")
    asked = {name: value for name, value in options.items() if value is not None}
    _same(path / "cache.json", {"version": VERSION, **asked, "preprocessing": preprocessing(preset)}, _ANEW)
    facts = read(Facts, path / "cache.json", remedy=_ANEW)
    if _hash_of(path / "index.csv") != facts.index:
        raise DataError("is not as it was prepared", path=path / "index.csv", remedy=_ANEW)
    rows = read_rows(IndexRow, path / "index.csv", remedy=_ANEW, columns=COLUMNS)
    images, masks = (load_array(path, name) for name in ("images", "masks"))
    if not len(images) == len(masks) == len(rows) == facts.slices:
        raise DataError("its files do not belong together", path=path, remedy=_ANEW)
    _check_content(path, rows, images, masks)
    split = np.array([row.split for row in rows])
    return SliceSet(
        images=MappedRows(images),
        patient=np.array([row.patient for row in rows]),
        slice=np.array([row.slice for row in rows], np.int64),
        label=np.array([row.label for row in rows], np.int8),
        area=np.array([row.area for row in rows], np.float32),
        mask=MappedRows(masks, width=images.shape[2]) if facts.masks else None,
        split=split if (split != "").any() else None,
        key=_keys(rows, path / "index.csv"),
        whose=np.array([row.whose for row in rows]),
    )


def cache_told(path: Path) -> str:
    """One line of what a finished cache holds and was made of, for people. Raises DataError."""
    note = read(Facts, path / "cache.json", remedy=_ANEW).note
    rows = read_rows(IndexRow, path / "index.csv", remedy=_ANEW, columns=COLUMNS)
    told = scans_told([row.patient for row in rows], [row.label for row in rows], [row.whose for row in rows])
    return told + (f": {note}" if note else "")


def failed_told(path: Path) -> str:
    """How many scans are not in a finished cache, for people; "" for none. Raises DataError."""
    file = path / "failures.csv"
    failed = len(read_rows(dict[str, str], file, remedy=_ANEW)) if file.is_file() else 0
    return f"; {counted(failed, 'scan')} could not be used when it was prepared: {typed(file)}" if failed else ""


def _keys(rows: list[IndexRow], file: Path) -> NDArray[np.uint64] | None:
    try:
        return np.array([int(row.key) for row in rows], np.uint64) if any(row.key for row in rows) else None
    except (OverflowError, ValueError) as error:
        raise DataError("has keys that are none", path=file, remedy=_ANEW) from error


def _check_content(path: Path, rows: list[IndexRow], images: Slices, masks: Slices) -> None:
    """Raises DataError naming the scan whose slices are not as they were prepared."""
    start = 0
    for _, scan in groupby(rows, key=lambda row: (row.patient, row.hash)):
        known = list(scan)
        part = slice(start, start + len(known))
        start = part.stop
        if content_hash(images[part], masks[part]) != known[0].hash:
            raise DataError(
                f"the slices of '{known[0].patient}' are not as they were prepared", path=path, remedy=_ANEW
            )


def _hash_of(file: Path) -> str:
    try:
        return sha256(file)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path=file, remedy=unread(error, file, _ANEW)) from error


_ANEW = "prepare it anew, into another folder"


def preprocessing(preset: Preset) -> Json:
    """What of a preset decides the slices."""
    parts = preset.to_dict()
    made = {f"{part}.{name}": value for part in ("intensity", "grid") for name, value in parts[part].items()}
    return {"model.image_size": preset.model.image_size, **made}


def stamp(item: LabelledScan) -> str:
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
    records: list[Json], items: list[LabelledScan], read: Callable[[list[LabelledScan]], Iterator[CachedScan]]
) -> list[Json]:
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


def _where(items: list[LabelledScan], records: list[Json], *, failed: bool) -> list[tuple[LabelledScan, Json]]:
    return [pair for pair in zip(items, records, strict=True) if ("failed" in pair[1]) == failed]


def _same(file: Path, made: Json, remedy: str) -> None:
    """Raises DataError, naming the first difference, where `file` says that the cache was made otherwise."""
    if not file.is_file():
        return
    old: Json = dict(read(dict[str, object], file, remedy=remedy))
    if not isinstance(old.get("preprocessing"), dict):
        raise DataError("is not as maescan writes it", path=file, remedy=remedy)
    defaults = preprocessing(Preset("defaults"))  # of fields that are younger than the cache
    if newer := sorted(old["preprocessing"].keys() - defaults.keys()):
        reason = f"was prepared with {newer[0]}, which only a newer maescan knows"
        raise DataError(reason, path=file.parent, remedy=remedy)
    for name, value in {**made, **made["preprocessing"]}.items():
        before = old.get(name, old["preprocessing"].get(name, defaults.get(name)))
        if name != "preprocessing" and before != value:
            raise DataError(f"was prepared with {name} {before}, not {value}", path=file.parent, remedy=remedy)


def _folder_of(items: list[LabelledScan]) -> str:
    """The folder that all files of a data set lie in."""
    return os.path.commonpath({os.path.realpath(file.parent) for item in items for file in item.files})


def _of_these(plan: Path, records: list[Json], items: list[LabelledScan], data: str) -> None:
    """Raises DataError where the scans of another folder, none of which is one of these, would make way for these."""
    before = read(dict[str, object], plan, remedy=_ANEW).get("data") if plan.is_file() else None
    elsewhere = isinstance(before, str) and os.path.commonpath([before, data]) not in (before, data)
    if elsewhere and records and {record["stamp"] for record in records}.isdisjoint(map(stamp, items)):
        of = f"{counted(len(records), 'scan')} of {quoted(str(before))}"
        reason = f"holds the slices of {of}, which would make way for these"
        raise DataError(reason, path=plan.parent, remedy="use another --out, or delete it")


def _index(used: list[tuple[LabelledScan, Json]]) -> Iterator[tuple[Any, ...]]:
    for item, record in used:
        parts = item.parts(record["slice"])
        parts = [""] * record["count"] if parts is None else parts.tolist()
        keys = record.get("key", [""] * record["count"])
        rows = zip(record["slice"], record["label"], record["area"], parts, keys, strict=True)
        for number, label, area, part, key in rows:
            source = record["sha256"][:16]
            yield record["patient"], number, label, float(area), part, source, key, record["hash"], item.whose


def check_new(split_dir: Path | None, path: Path) -> None:
    """Raises ConfigError for split files given with a cache, whose split was made when it was prepared."""
    if split_dir is not None:
        remedy = "give --split-dir to `maescan prepare`"
        raise ConfigError("a prepared cache is split already", path=path, remedy=remedy)
