"""Slices in batches, filled across the borders of scans."""

from __future__ import annotations

import queue
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from maescan.scoring.pool import LoadedScan, ReaderPool

Slice = tuple[LoadedScan, int]
"""A scan, and the index of one of its slices."""


def batches(pool: ReaderPool, size: int) -> Iterator[list[Slice]]:
    """Up to `size` slices of one token count each. A partial batch goes when the engine would wait otherwise, so that
    no scan is held back for want of others."""
    waiting: dict[int, list[Slice]] = defaultdict(list)
    while True:
        try:
            scan = pool.get(wait=not waiting)
        except queue.Empty:
            yield _take(waiting, max(waiting, key=lambda tokens: len(waiting[tokens])), size)
            continue
        if scan is None:
            break
        sets = scan.reading.facts["sets"]  # the reader's: the engine's thread has no time for them
        for index, tokens in enumerate(np.zeros(len(scan.images), int) if sets is None else sets.size):
            if index not in scan.missing:
                waiting[int(tokens)].append((scan, index))
        full = [tokens for tokens, slices in waiting.items() for _ in range(len(slices) // size)]
        for tokens in full:
            yield _take(waiting, tokens, size)
    while waiting:
        yield _take(waiting, max(waiting, key=lambda tokens: len(waiting[tokens])), size)


def _take(waiting: dict[int, list[Slice]], tokens: int, size: int) -> list[Slice]:
    """Up to `size` of those that wait at this token count."""
    batch, waiting[tokens] = waiting[tokens][:size], waiting[tokens][size:]
    if not waiting[tokens]:
        del waiting[tokens]
    return batch
