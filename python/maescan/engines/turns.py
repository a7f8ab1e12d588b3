"""Batches of any size in parts, which the places of two streams take in turn."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from maescan.method.engine import Floats, TokenBatch


class Replay(Protocol):
    """A place that is ready: `start` returns at once, `result` waits for the answers of the last start."""

    def start(self, batch: TokenBatch) -> None:
        """Fills the inputs and launches."""
        ...

    def result(self) -> dict[str, Floats]:
        """The answers, on the host."""
        ...


def in_turns(
    batches: Sequence[TokenBatch], passes: int, most: int, place_of: Callable[[TokenBatch, int], Replay]
) -> list[dict[str, Floats]]:
    """The answers of batches of any size, cut into parts of `most` slices that the places of two streams take in
    turn: place_of(part, turn) is the place of a part on stream 0 or 1. Whatever a part raises, the others are over by
    then: a stream's next batch writes into the memory that they read."""
    pending: list[tuple[int, Replay]] = []
    answers: list[list[dict[str, Floats]]] = [[] for _ in batches]

    def take() -> None:
        number, place = pending.pop(0)
        answers[number].append(place.result())

    parts = ((number, _part(batch, low, low + most, passes))
             for number, batch in enumerate(batches) for low in range(0, len(batch.images), most))  # fmt: skip
    try:
        for turn, (number, part) in enumerate(parts):
            if len(pending) == 2:  # this stream's last answer is taken before its buffers are filled again
                take()
            pending.append((number, place_of(part, turn % 2)))
            pending[-1][1].start(part)
        while pending:
            take()
    except BaseException:
        for _, place in pending:
            with contextlib.suppress(Exception):
                place.result()
        raise
    return [{name: np.concatenate([each[name] for each in found]) for name in found[0]} for found in answers]


def _part(batch: TokenBatch, low: int, high: int, passes: int) -> TokenBatch:
    rows = batch.rows[low * passes : high * passes]
    return TokenBatch(batch.images[low:high], batch.slice_ids[low:high], batch.ids[low:high], rows, batch.full)
