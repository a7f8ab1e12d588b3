"""Reading the scans of a data set in processes, in order."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any

import numpy as np

from maescan.config import Preset
from maescan.datasets.items import Item
from maescan.datasets.store import Block
from maescan.errors import ConfigError, DataError, MaescanError
from maescan.scoring.readers import content_hash

AHEAD = 2  # scans a worker that are read before they are asked for: memory does not grow with the data set


def read_block(item: Item, preset: Preset) -> Block:
    """One scan as a cache keeps it. Raises ScanError or DataError, naming the file."""
    try:
        made = item.read(preset)
        masks = None if made.mask is None else np.packbits(np.asarray(made.mask), axis=-1)
        record = {
            "patient": str(made.patient[0]) if len(made) else item.name,
            "count": len(made),
            "sha256": content_hash(list(item.files)),
            "masks": masks is not None,
            "slice": np.asarray(made.slice).tolist(),
            "label": np.asarray(made.label).tolist(),
            "area": [round(float(area), 6) for area in made.area],
        }
        return Block(np.asarray(made.images, np.float16), masks, record)
    except MemoryError as error:
        remedy = "use fewer --workers, then run again"
        raise DataError("does not fit in memory", path=item.files[0], remedy=remedy) from error
    except MaescanError:
        raise
    except Exception as error:
        reason = f"reading failed: {type(error).__name__}: {error}"
        raise DataError(reason, path=item.files[0], remedy="check the file with `maescan inspect`") from error


def try_block(item: Item, preset: Preset) -> Block:
    """`read_block`, or for a bad scan a block of no slices whose record has `failed`. Raises ConfigError."""
    try:
        return read_block(item, preset)
    except ConfigError:
        raise
    except MaescanError as error:
        return _failed(item, preset, error.reason, error.remedy)


def _failed(item: Item, preset: Preset, reason: str, remedy: str | None) -> Block:
    size = preset.model.image_size
    record = {"patient": item.name, "count": 0, "slice": [], "label": [], "area": [], "sha256": ""}
    failed = {"failed": {"reason": reason, "remedy": remedy or ""}}
    return Block(np.zeros((0, size, size), np.float16), None, record | failed)


def read_all(items: list[Item], preset: Preset, workers: int) -> Iterator[Block]:
    """The blocks of `items` in their order, read ahead in `workers` processes. A scan that cannot be read, or that a
    process dies on, is a block of no slices whose record has `failed`: {reason, remedy}. Raises ConfigError."""
    waiting: deque[tuple[Item, Future[Block]]] = deque()
    left = iter(items)
    pool = _pool(workers)
    try:
        while True:
            while len(waiting) < AHEAD * workers and (item := next(left, None)) is not None:
                waiting.append((item, pool.submit(try_block, item, preset)))
            if not waiting:
                return
            item, future = waiting.popleft()
            try:
                yield future.result()
            except BrokenProcessPool:  # on this scan or on one read beside it
                yield _alone(item, preset)
                pool.shutdown()
                pool = _pool(workers)
                waiting = deque((other, pool.submit(try_block, other, preset)) for other, _ in waiting)
    finally:
        pool.shutdown(cancel_futures=True)


def _alone(item: Item, preset: Preset) -> Block:
    with _pool(1) as pool:
        try:
            return pool.submit(try_block, item, preset).result()
        except BrokenProcessPool:
            remedy = "the file is damaged, or memory ran out: leave it out"
            return _failed(item, preset, "the process that read it died", remedy)


def _pool(workers: int) -> ProcessPoolExecutor:
    context = get_context("forkserver")
    context.set_forkserver_preload(["maescan.datasets.readers", "maescan.method.preprocess", "maescan.scans"])
    return ProcessPoolExecutor(workers, context, _start, (workers,))


def _start(workers: int) -> None:
    """In a worker: share the cores, leave Ctrl-C to the parent, and end when it is killed."""
    from maescan import kernels
    from maescan.machine import usable

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    kernels.set_threads(max(1, usable() // workers))
    threading.Thread(target=_end_with, args=(parent_process(),), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)
