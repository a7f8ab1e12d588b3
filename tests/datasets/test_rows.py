"""Rows of an array on disk."""

from __future__ import annotations

import numpy as np
import pytest

from maescan.datasets.rows import MappedRows

RNG = np.random.default_rng(0)

IMAGES = RNG.normal(size=(10, 4, 5)).astype(np.float16)

MASKS = RNG.random((10, 4, 13)) < 0.5

KEYS = [3, slice(2, 7), slice(None, None, 3), np.array([4, 1, 1]), np.arange(10) > 6, np.array([], int), np.int64(2)]


@pytest.mark.parametrize("key", [*KEYS, (slice(1, 4), slice(None, None, 2)), (2, slice(1)), (..., 0)[:1]])
@pytest.mark.parametrize("index", [None, [9, 0, 0, 1, 2, 3, 4, 5, 6, 7]])
def test_rows_read_what_an_array_would(key, index):
    plain = IMAGES if index is None else IMAGES[index]
    assert np.array_equal(MappedRows(IMAGES, index)[key], plain[key])


@pytest.mark.parametrize("key", KEYS)
def test_masks_of_bits_are_read_as_bool(key):
    rows = MappedRows(np.packbits(MASKS, axis=-1), width=13)
    assert rows.dtype == bool and rows.shape == MASKS.shape and np.array_equal(rows[key], MASKS[key])


def test_a_selection_of_a_selection_reads_nothing(monkeypatch):
    rows = MappedRows(IMAGES)
    monkeypatch.setattr(MappedRows, "__getitem__", None)
    chosen = rows.select(np.arange(10) > 2).select([1, 5])
    assert chosen.index.tolist() == [4, 8] and chosen.shape == (2, 4, 5) and len(chosen) == 2 and chosen.size == 40


def test_neighbouring_rows_are_mapped_not_copied(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert np.shares_memory(MappedRows(mapped).select(np.arange(3, 8))[1:3], mapped)
