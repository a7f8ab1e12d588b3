from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from maescan import datasets
from maescan.config import IntensityConfig, preset
from maescan.datasets import cache, items, readers, store
from maescan.datasets.phantom import write_phantom
from maescan.datasets.rows import Rows
from maescan.errors import ConfigError, DataError
from maescan.scans.budget import Limits

TINY = preset("tiny")
FILES = ("images.npy", "masks.npy", "index.csv", "cache.json", "scans.jsonl")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(a tree of 5 scans, its cache)."""
    root = tmp_path_factory.mktemp("prepared")
    write_phantom(root / "tree", healthy=3, lesions=2, seed=1, shape=(48, 40, 8))
    assert datasets.prepare(root / "tree", TINY, root / "cache") == {"scans": 5, "slices": 40, "kept": 0, "failed": 0}
    return root / "tree", root / "cache"


@pytest.fixture
def own(made, tmp_path):
    """A copy to change."""
    for source, name in zip(made, ("tree", "cache"), strict=True):
        shutil.copytree(source, tmp_path / name)
    return tmp_path / "tree", tmp_path / "cache"


def bytes_of(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def test_a_cache_holds_what_the_folder_does(made):
    slices, mapped = (datasets.load(path, TINY) for path in made)
    assert isinstance(mapped.images, Rows) and isinstance(mapped.images.base, np.memmap)
    assert np.array_equal(mapped.images[:], slices.images.astype(np.float16))
    for name in ("patient", "slice", "label", "mask", "split"):
        assert np.array_equal(getattr(mapped, name), getattr(slices, name)), name
    assert np.allclose(mapped.area, slices.area, atol=1e-6) and mapped.mask[:].any()


def test_it_is_the_same_bytes_whatever_the_workers(made, tmp_path):
    datasets.prepare(made[0], TINY, tmp_path, workers=1)
    assert bytes_of(tmp_path) == bytes_of(made[1])


def test_what_is_prepared_is_not_read_again(own, monkeypatch):
    monkeypatch.setattr(readers, "read_scan_slices", None)
    assert datasets.prepare(own[0], TINY, own[1], workers=1)["kept"] == 5


def test_a_changed_scan_and_those_behind_it_are_read_again(own):
    before = bytes_of(own[1])
    os.utime(own[0] / "healthy" / "brain_0002.nii.gz", ns=(1, 1))
    assert datasets.prepare(own[0], TINY, own[1], workers=1)["kept"] == 2
    after = bytes_of(own[1])
    assert after["images.npy"] == before["images.npy"] and after["scans.jsonl"] != before["scans.jsonl"]


def test_a_new_label_is_prepared(own):
    text = (own[0] / "labels.csv").read_text()
    (own[0] / "labels.csv").write_text(text.replace("healthy/brain_0001.nii.gz,3,0", "healthy/brain_0001.nii.gz,3,1"))
    datasets.prepare(own[0], TINY, own[1], workers=1)
    assert datasets.load(own[1], TINY).label[11] == 1


def _slow_prepare(tree, out):
    """Prepares with a pause before every write, to be killed in."""
    plain = store._sync

    def sync(stream):
        time.sleep(0.02)
        plain(stream)

    store._sync = sync
    datasets.prepare(tree, TINY, out, workers=2)


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
    assert datasets.prepare(made[0], TINY, tmp_path, workers=1)["kept"] == whole < 5
    assert bytes_of(tmp_path) == bytes_of(made[1])


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_journal_or_an_array_cut_anywhere_is_mended(own, made, cut):
    for name, share in (("images.npy", cut / 60), ("scans.jsonl", (67 - cut) / 67)):
        size = (own[1] / name).stat().st_size
        os.truncate(own[1] / name, int(size * share))
    (own[1] / "cache.json").unlink()
    assert datasets.prepare(*[own[0], TINY, own[1]], workers=1)["kept"] < 5
    assert bytes_of(own[1])["images.npy"] == bytes_of(made[1])["images.npy"]
    assert datasets.load(own[1], TINY).fingerprint() == datasets.load(made[1], TINY).fingerprint()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"model__image_size": 32}, "was prepared with model.image_size 64, not 32"),
        ({"intensity": IntensityConfig("zscore")}, "was prepared with intensity.method percentile, not zscore"),
        ({"intensity__high": 99.0}, "was prepared with intensity.high 99.5, not 99.0"),
        ({"grid__field_mm": None}, "was prepared with grid.field_mm 170.0, not None"),
    ],
)
def test_other_preprocessing_is_refused_by_name(made, changes, message):
    for call in (lambda p: datasets.load(made[1], p), lambda p: datasets.prepare(made[0], p, made[1])):
        with pytest.raises(DataError) as error:
            call(TINY.replace(**changes))
        assert message in str(error.value)


def test_another_training_recipe_is_no_other_preprocessing(made):
    assert len(datasets.load(made[1], TINY.replace(mae__epochs=3, masks__ratio=0.5))) == 40


def test_a_modality_or_split_files_of_a_cache_are_refused(made, tmp_path):
    with pytest.raises(DataError, match="was prepared with modality None, not t2"):
        datasets.load(made[1], TINY, modality="t2")
    with pytest.raises(ConfigError, match="is split already"):
        datasets.load(made[1], TINY, split_dir=tmp_path)


def test_a_damaged_index_is_refused(own):
    text = (own[1] / "index.csv").read_text()
    (own[1] / "index.csv").write_text(text[: text.rindex("\n", 0, -2) + 1])
    with pytest.raises(DataError, match=r"index\.csv: is not as it was prepared"):
        datasets.load(own[1], TINY)


def test_a_bad_scan_is_left_out_and_named_until_it_is_mended(own, made, tmp_path):
    bad = own[0] / "healthy" / "brain_0001.nii.gz"
    good = bad.read_bytes()
    bad.write_bytes(b"nothing")
    new = tmp_path / "new"
    assert datasets.prepare(own[0], TINY, new) == {"scans": 4, "slices": 32, "kept": 0, "failed": 1}
    assert "healthy/brain_0001.nii.gz,is not a NIfTI file" in (new / "failures.csv").read_text()
    assert bad.name not in " ".join(datasets.load(new, TINY).patient)
    assert datasets.prepare(own[0], TINY, new) == {"scans": 4, "slices": 32, "kept": 5, "failed": 1}
    bad.write_bytes(good)
    assert datasets.prepare(own[0], TINY, new) == {"scans": 5, "slices": 40, "kept": 1, "failed": 0}
    assert np.array_equal(datasets.load(new, TINY).images[:], datasets.load(made[1], TINY).images[:])


def test_what_failed_for_want_of_something_is_tried_again(own, monkeypatch):
    """A record that says failed, of a file that reads well now: a package was installed, memory is free."""
    lines = (own[1] / "scans.jsonl").read_text().splitlines()
    known = json.loads(lines[3].rpartition(" ")[0])
    lost = json.dumps({**known, "count": 0, "slice": [], "label": [], "area": [], "failed": {}})
    check = hashlib.sha256(lost.encode()).hexdigest()[:16]
    (own[1] / "scans.jsonl").write_text("\n".join([*lines[:3], f"{lost} {check}", ""]))
    assert datasets.prepare(own[0], TINY, own[1]) == {"scans": 5, "slices": 40, "kept": 3, "failed": 0}


def test_no_scan_that_can_be_used_is_one_line(own, tmp_path):
    for file in own[0].rglob("brain_*.nii.gz"):
        file.write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"none of its 5 scans can be used; .*brain_0000.*is not a NIfTI file"):
        datasets.prepare(own[0], TINY, tmp_path / "new")
    with pytest.raises(DataError, match="is not finished"):
        datasets.load(tmp_path / "new", TINY)


def _die(made_preset):
    os.kill(os.getpid(), signal.SIGSEGV)


def _hang(made_preset):
    time.sleep(600)


def test_a_reader_that_crashes_or_hangs_costs_one_scan(made, tmp_path):
    _, found = datasets.find(made[0])
    found[1], found[2] = replace(found[1], read=_hang), replace(found[2], read=_die)
    made = cache.prepare_cache("folder", found, TINY, tmp_path, workers=readers.Workers(limits=Limits(seconds=10)))
    assert made == {"scans": 3, "slices": 24, "kept": 0, "failed": 2}
    text = (tmp_path / "failures.csv").read_text()
    assert f"{found[1].name},reading took over 10 s" in text
    assert f"{found[2].name},the reader crashed (SIGSEGV)" in text


def test_two_at_once_are_refused(made, tmp_path):
    first = store.Store(tmp_path, 64)
    with pytest.raises(DataError, match="another process prepares it"):
        datasets.prepare(made[0], TINY, tmp_path)
    first.close()


def test_a_folder_that_cannot_be_written_is_one_line(made, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write: Not a directory"):
        datasets.prepare(made[0], TINY, tmp_path / "file" / "cache")


def test_the_split_is_kept_in_the_index(made, tmp_path):
    kind, found = datasets.find(made[0])
    parts = ["train", "train", "val", "test", {0: "test", 7: "train"}]
    found = [replace(item, split=part) for item, part in zip(found, parts, strict=True)]
    cache.prepare_cache(kind, found, TINY, tmp_path, workers=readers.Workers(1))
    split = datasets.load(tmp_path, TINY).split
    assert split.tolist() == ["train"] * 16 + ["val"] * 8 + ["test"] * 9 + [""] * 6 + ["train"]
    assert set(split) - {""} == set(items.PARTS)


def test_the_index_names_what_each_slice_was_read_from(made):
    lines = (made[1] / "index.csv").read_text().splitlines()
    facts = json.loads((made[1] / "cache.json").read_text())
    assert (
        lines[0] == "patient,slice,label,area,split,source,key,hash"
        and len(lines) == 41
        and facts["kind"] == "folder"
    )
    assert len({line.split(",")[5] for line in lines[1:]}) == 5
