"""Reading the scans of a data set in workers, in order."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np

from maescan.config import Preset
from maescan.datasets.items import LabelledScan
from maescan.datasets.sliceset import LeftOut, SliceSet
from maescan.datasets.store import CachedScan
from maescan.decimals import counted
from maescan.errors import ConfigError, DataError, MaescanError, ScanError
from maescan.files import printable
from maescan.scans.budget import Limits
from maescan.scans.quiet import one_line
from maescan.scans.streams import Identity, content_hash, unchanged
from maescan.scans.worker import Worker

AHEAD = 2  # scans per worker that are read before they are asked for: memory does not grow with the data set


def read_scan_slices(item: LabelledScan, preset: Preset) -> CachedScan:
    """One scan as a cache keeps it. Raises ScanError or DataError, naming the file."""
    known: dict[str, Identity] = {}
    with _named(item), unchanged(known):  # what is hashed is what is read
        slices = item.read(preset)
        content = content_hash(item.files)
    masks = None if slices.mask is None else np.packbits(np.asarray(slices.mask), axis=-1)
    record: dict[str, object] = {
        "patient": str(slices.patient[0]) if len(slices) else item.name,
        "count": len(slices),
        "sha256": content,
        "masks": masks is not None,
        "slice": np.asarray(slices.slice).tolist(),
        "label": np.asarray(slices.label).tolist(),
        "area": [round(float(area), 6) for area in slices.area],
    }
    if slices.key is not None:
        record["key"] = slices.key.tolist()
    return CachedScan(np.asarray(slices.images, np.float16), masks, record)


@contextlib.contextmanager
def _named(item: LabelledScan) -> Iterator[None]:
    """Raises ScanError, naming the scan, for what a library says of it."""
    try:
        yield
    except (MaescanError, MemoryError):
        raise
    except Exception as error:
        reason = f"reading failed: {type(error).__name__}: {one_line(error)}"
        raise ScanError(reason, path=_place(item), remedy="check the file with `maescan inspect`") from error


def read_usable(items: list[LabelledScan], preset: Preset, path: Path) -> SliceSet:
    """The slices of `items`, read in this process, without scans that cannot be scored: these are `left_out`. Raises
    DataError where none is left, and for labels and masks that do not fit: others may be as wrong; ConfigError."""
    parts, left_out = list[SliceSet](), list[LeftOut]()
    for item in items:
        try:
            with _named(item):
                parts.append(item.slices(preset))
        except ScanError as error:
            if len(items) == 1:
                raise
            left_out.append(LeftOut(item.name, _at_fault(item, error) + error.reason, error.remedy or ""))
    if not parts:
        raise none_usable(left_out, path)
    return replace(SliceSet.join(parts), left_out=tuple(left_out))


def none_usable(left_out: Sequence[LeftOut], path: Path) -> DataError:
    """What is said of a data set without a scan that can be used."""
    name, reason, remedy = left_out[0]
    few = f"none of its {counted(len(left_out), 'scan')} can be used; {name}: {reason}"
    return DataError(few, path=path, remedy=remedy)


class BlockReader:
    """What a worker does for `read_all`. threads: of the cores, its share."""

    def __init__(self, preset: Preset, threads: int):
        from maescan import kernels

        kernels.set_threads(threads)
        self._preset = preset

    def read(self, item: LabelledScan) -> CachedScan:
        """Of `read_scan_slices`."""
        return read_scan_slices(item, self._preset)


@dataclass(frozen=True)
class Workers:
    """How many processes read at once, and what one scan may cost each."""

    count: int = 2
    limits: Limits = field(default_factory=Limits)


def read_all(items: list[LabelledScan], preset: Preset, workers: Workers) -> Iterator[CachedScan]:
    """The blocks of `items` in their order, read ahead in worker processes. A scan that cannot be read, that a
    process dies on, or that goes over the limits is a block of no slices whose record has `failed`: {reason, remedy}.
    Raises ConfigError."""
    from maescan.machine import available_cores

    local, slices = threading.local(), list[Worker]()

    def read(item: LabelledScan) -> CachedScan:
        if not hasattr(local, "worker"):
            local.worker = Worker(
                BlockReader, preset, max(1, available_cores() // workers.count), limits=workers.limits
            )
            slices.append(local.worker)
        return _try(local.worker, item, preset)

    waiting: deque[Future[CachedScan]] = deque()
    pool = ThreadPoolExecutor(workers.count)
    try:
        for item in items:
            waiting.append(pool.submit(read, item))
            if len(waiting) >= AHEAD * workers.count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        for worker in slices:
            worker.close()


def _try(worker: Worker, item: LabelledScan, preset: Preset) -> CachedScan:
    try:
        return cast(CachedScan, worker.call("read", item, path=_place(item)))
    except ConfigError:
        raise
    except MaescanError as error:
        size = preset.model.image_size
        record = {"patient": item.name, "count": 0, "slice": [], "label": [], "area": [], "sha256": ""}
        failed = {"failed": {"reason": _at_fault(item, error) + error.reason, "remedy": error.remedy or ""}}
        return CachedScan(np.zeros((0, size, size), np.float16), None, record | failed)


def _place(item: LabelledScan) -> Path:
    """What is named where no file of a scan is known to be at fault: its own, or the folder where it has several."""
    return item.files[0] if len(item.files) == 1 else item.files[0].parent


def _at_fault(item: LabelledScan, error: MaescanError) -> str:
    """Which of a scan's several files an error is of; "" where it does not say or the scan is called so."""
    file = Path(error.file) if error.file is not None else None
    if file is None or file not in item.files or len(item.files) == 1:
        return ""
    alike = sum(one.name == file.name for one in item.files) > 1  # a mask has its scan's name
    named = f"{file.parent.name}/{file.name}" if alike else file.name
    return "" if named == item.name else f"{printable(named)}: "
