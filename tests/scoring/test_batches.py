from __future__ import annotations

import queue
from types import SimpleNamespace

import numpy as np

from maescan.config import preset
from maescan.method.tokens import token_sets
from maescan.scoring.batches import batches

PRESET = preset("tiny-fg").replace(tokens__buckets=(16, 32, 64))


class Pool:
    """All scans at hand; `gaps`: before which of them there is none for a moment."""

    def __init__(self, scans, gaps=()):
        self.scans, self.gaps, self.given = scans, set(gaps), 0

    def get(self, *, wait):
        if self.given in self.gaps and not wait:
            self.gaps.remove(self.given)
            raise queue.Empty
        self.given += 1
        return self.scans[self.given - 1] if self.given <= len(self.scans) else None


class Scan:
    missing = ()

    def __init__(self, images):
        self.images, self.left = images, len(images)
        self.reading = SimpleNamespace(facts={"sets": token_sets(images, PRESET)})


def squares():
    images = np.zeros((30, 64, 64), np.float32)
    for index, (high, wide) in enumerate([(4, 4), (12, 28), (28, 28)] * 10):
        images[index, 32 - high : 32 + high, 32 - wide : 32 + wide] = 1
    return [Scan(part) for part in np.split(images, 6)]


def sums(pool):
    return [[scan.images[index].sum() for scan, index in batch] for batch in batches(pool, 4)]


def test_batches_are_filled_across_scans_by_token_count():
    """All slices at hand: of each count every batch but the last is full."""
    found = sums(Pool(squares()))
    assert all(len(set(batch)) == 1 for batch in found)
    assert sorted(map(len, found)) == [2, 2, 2] + [4] * 6


def test_no_scan_waits_for_others():
    """Where no scan is ready, what there is goes to the engine."""
    pool = Pool(squares(), gaps=[1])
    taken = batches(pool, 1000)
    assert len(next(taken)) == 2 and pool.given == 1
    assert sum(map(len, taken)) == 28
