"""The cache's files: kills and cuts."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import time

import pytest

from maescan import datasets
from maescan.config import preset
from maescan.datasets import store
from maescan.errors import DataError

TINY = preset("tiny")

FILES = ("images.npy", "masks.npy", "index.csv", "cache.json", "scans.jsonl")


def bytes_of(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def _slow_prepare(tree, out):
    """Prepares with a pause before every write, to be killed in."""
    plain = store._sync

    def sync(stream):
        time.sleep(0.02)
        plain(stream)

    store._sync = sync
    datasets.prepare(tree, TINY, out, readers=datasets.Workers(2))


@pytest.mark.slow
@pytest.mark.parametrize("wait", [0.0, 0.03, 0.09, 0.2])
def test_killed_at_any_moment_it_goes_on(made, tmp_path, wait):
    process = multiprocessing.get_context("forkserver").Process(target=_slow_prepare, args=(made[0], tmp_path))
    process.start()
    end = time.monotonic() + 60
    while not (tmp_path / "scans.jsonl").exists() and time.monotonic() < end:
        time.sleep(0.005)
    time.sleep(wait)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with pytest.raises(DataError, match="is not finished"):
        datasets.load(tmp_path, TINY)
    whole = (tmp_path / "scans.jsonl").read_bytes().count(b"\n")
    assert datasets.prepare(made[0], TINY, tmp_path, readers=datasets.Workers(1))["kept"] == whole < 5
    assert bytes_of(tmp_path) == bytes_of(made[1])


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_journal_or_an_array_cut_anywhere_is_mended(own, made, cut):
    for name, share in (("images.npy", cut / 60), ("scans.jsonl", (67 - cut) / 67)):
        size = (own[1] / name).stat().st_size
        os.truncate(own[1] / name, int(size * share))
    (own[1] / "cache.json").unlink()
    assert datasets.prepare(*[own[0], TINY, own[1]], readers=datasets.Workers(1))["kept"] < 5
    assert bytes_of(own[1])["images.npy"] == bytes_of(made[1])["images.npy"]
    assert datasets.load(own[1], TINY).fingerprint() == datasets.load(made[1], TINY).fingerprint()


def test_two_at_once_are_refused(made, tmp_path):
    first = store.CacheWriter(tmp_path, 64)
    with pytest.raises(DataError, match="another process prepares it"):
        datasets.prepare(made[0], TINY, tmp_path)
    first.close()


def test_a_cache_that_is_read_is_not_prepared_anew_and_the_other_way_round(own):
    """It was cut off under a training, which ended by SIGBUS or went on with other slices than it had begun with."""
    tree, cache = own
    training = datasets.load(cache, TINY).select([0, 3]).images
    with pytest.raises(DataError, match=r"prepares it or learns from it \(wait for it, or use another --out\)"):
        datasets.prepare(tree, TINY, cache)
    assert training[1].shape == (64, 64) and datasets.load(cache, TINY)
    del training
    writer = store.CacheWriter(cache, 64)
    with pytest.raises(DataError, match="another process prepares it"):
        datasets.load(cache, TINY)
    writer.close()
    assert datasets.prepare(tree, TINY, cache, readers=datasets.Workers(1))["kept"] == 5
    (cache / ".lock").unlink()
    assert datasets.load(cache, TINY)  # of a copy


def test_a_folder_that_cannot_be_written_is_one_line(made, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write: Not a directory"):
        datasets.prepare(made[0], TINY, tmp_path / "file" / "cache")


@pytest.mark.parametrize("how", [os.link, os.symlink])
def test_a_copy_of_names_alone_stays_as_it_is(own, tmp_path, how):
    """As of `cp -al` and `cp -as`."""
    tree, cache = own
    for file in (path for path in cache.rglob("*") if path.is_file()):
        copy = tmp_path / "copy" / file.relative_to(cache)
        copy.parent.mkdir(parents=True, exist_ok=True)
        how(file, copy)
    before = bytes_of(cache)
    os.utime(sorted(tree.rglob("*.nii.gz"))[-1])  # prepared anew
    datasets.prepare(tree, TINY, tmp_path / "copy")
    assert bytes_of(cache) == before
    assert not (tmp_path / "copy" / "images.npy").samefile(cache / "images.npy")


def test_a_new_cache_is_its_users_alone(made):
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (made[1], *made[1].rglob("*"))} == {0}
