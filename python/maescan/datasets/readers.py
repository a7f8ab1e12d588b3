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
from maescan.errors import DataError, MaescanError
from maescan.scoring.workers import content_hash

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
        raise DataError("does not fit in memory", path=item.files[0], remedy="use fewer --workers") from error
    except MaescanError:
        raise
    except Exception as error:
        reason = f"reading failed: {type(error).__name__}: {error}"
        raise DataError(reason, path=item.files[0], remedy="check the file with `maescan inspect`") from error


def read_all(items: list[Item], preset: Preset, workers: int) -> Iterator[Block]:
    """The blocks of `items` in their order; with more than one worker, processes read ahead. Raises what `read_block`
    raises, and DataError where a process dies."""
    if workers <= 1 or len(items) <= 1:
        yield from (read_block(item, preset) for item in items)
        return
    context = get_context("forkserver")
    context.set_forkserver_preload(["maescan.datasets.readers", "maescan.preprocess", "maescan.scans"])
    pool = ProcessPoolExecutor(min(workers, len(items)), context, _start, (workers,))
    try:
        yield from _in_order(pool, items, preset, AHEAD * workers)
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(pool: ProcessPoolExecutor, items: list[Item], preset: Preset, ahead: int) -> Iterator[Block]:
    waiting: deque[tuple[Item, Future[Block]]] = deque()
    left = iter(items)
    while True:
        while len(waiting) < ahead and (item := next(left, None)) is not None:
            waiting.append((item, pool.submit(read_block, item, preset)))
        if not waiting:
            return
        item, future = waiting.popleft()
        try:
            yield future.result()
        except BrokenProcessPool as error:
            reason = "a reader process died on it, or on one of the next scans"
            remedy = "the file is damaged, or memory ran out: use fewer --workers"
            raise DataError(reason, path=item.files[0], remedy=remedy) from error


def _start(workers: int) -> None:
    """In a worker: share the cores, leave Ctrl-C to the parent, and end when it is killed."""
    from maescan import kernels
    from maescan.cores import usable

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    kernels.set_threads(max(1, usable() // workers))
    threading.Thread(target=_end_with, args=(parent_process(),), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)
