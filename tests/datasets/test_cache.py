"""A prepared cache is what it was when it was prepared, or says what of it is not."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from helpers.mutations import mutations
from maescan import datasets
from maescan.config import PRESETS
from maescan.content import sha256
from maescan.datasets.phantom import Look, write_phantom
from maescan.errors import DataError

TINY = PRESETS["tiny"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    write_phantom(folder / "tree", healthy=2, lesions=1, seed=0, look=Look(shape=(24, 24, 4)))
    datasets.prepare(folder / "tree", TINY, folder / "cache", readers=datasets.Workers(1))
    return folder


@pytest.fixture
def cache(prepared, tmp_path):
    return shutil.copytree(prepared / "cache", tmp_path / "cache")


@pytest.mark.parametrize("name", ["images.npy", "masks.npy"])
@pytest.mark.parametrize("at", [0.1, 0.5, 0.99])
def test_a_changed_slice_is_found_and_its_scan_named(cache, name, at):
    content = bytearray((cache / name).read_bytes())
    content[128 + int(at * (len(content) - 128))] ^= 1
    (cache / name).write_bytes(content)
    with pytest.raises(DataError, match=r"the slices of '.*brain_000\d.*' are not as they were prepared"):
        datasets.load(cache, TINY)


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "index.csv", "cache.json"])
@pytest.mark.parametrize("content", [b"", b"x" * 300, "half", "pickle", "other"])
def test_a_damaged_file_is_one_line(cache, name, content):
    whole = (cache / name).read_bytes()
    if content == "half":
        content = whole[: len(whole) // 2]
    if content == "pickle":
        content = b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07\x93."
    if content == "other":
        np.save(cache / "other.npy", np.zeros((3, 2)))
        content = (cache / "other.npy").read_bytes()
    (cache / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        datasets.load(cache, TINY)
    assert "\n" not in str(error.value) and str(cache) in str(error.value)


def test_every_field_of_its_facts_changed_is_an_error_or_the_same_cache(cache):
    file, wrong = cache / "cache.json", []
    whole = json.loads(file.read_text())
    for what, values in mutations(whole):
        file.write_text(json.dumps(values))
        try:
            datasets.load(cache, TINY)
        except DataError as error:
            wrong += [(what, str(error))] if "\n" in str(error) else []
        except Exception as error:
            wrong.append((what, repr(error)))
    assert not wrong, wrong[:5]


def test_slices_of_unknown_label_are_kept_and_load_again(tmp_path):
    """As where labels.csv names some slices of a scan."""
    scans, out = tmp_path / "scans", tmp_path / "cache"
    write_phantom(scans, healthy=2, lesions=0, seed=5)
    names = sorted(str(path.relative_to(scans)) for path in scans.rglob("*.nii.gz"))
    (scans / "labels.csv").write_text(f"scan,slice,label\n{names[0]},9,0\n{names[0]},10,1\n")
    datasets.prepare(scans, TINY, out)
    found, wanted = datasets.load(out, TINY), datasets.load(scans, TINY)
    assert sorted(np.unique(found.label)) == [-1, 0, 1] and np.array_equal(found.label, wanted.label)


def test_a_cache_of_other_data_is_refused_and_stays(prepared, cache, tmp_path):
    before = {path.name: path.read_bytes() for path in cache.iterdir() if path.is_file()}
    write_phantom(tmp_path / "other", healthy=2, lesions=1, seed=1, look=Look(shape=(24, 24, 4)))
    with pytest.raises(DataError, match=r"slices of 3 scans of .*tree', which would make way for these"):
        datasets.prepare(tmp_path / "other", TINY, cache)
    assert {path.name: path.read_bytes() for path in cache.iterdir() if path.is_file()} == before


def test_scans_that_were_moved_or_of_which_some_went_keep_their_cache(prepared, cache, tmp_path):
    moved = shutil.copytree(prepared / "tree", tmp_path / "moved")
    assert datasets.prepare(moved, TINY, cache)["kept"] == 3
    (moved / "labels.csv").unlink()
    next(moved.glob("lesions/*")).unlink()
    shutil.rmtree(moved / "masks")
    assert datasets.prepare(moved, TINY, cache)["scans"] == 2


WRONG = [("slice", -1), ("slice", 2**63), ("label", 2), ("label", 300), ("area", -1.0), ("area", 1e300),
         ("area", "nan"), ("key", 7), ("key", 10**20 - 1)]  # fmt: skip


@pytest.mark.parametrize(("column", "value"), WRONG)
def test_rows_that_cannot_be_are_refused_whoever_hashed_the_index(cache, column, value):
    file = cache / "index.csv"
    names, first, *rest = file.read_text().splitlines()
    row = first.split(",")
    row[names.split(",").index(column)] = str(value)
    file.write_text("\n".join([names, ",".join(row), *rest, ""]))
    facts = json.loads((cache / "cache.json").read_text())
    (cache / "cache.json").write_text(json.dumps({**facts, "index": sha256(file)}))
    with pytest.raises(DataError, match=r"index\.csv"):
        datasets.load(cache, TINY)


@pytest.mark.slow
def test_a_journal_line_that_is_none_is_prepared_again(prepared, cache):
    lines = (cache / "scans.jsonl").read_text().splitlines()
    wrong = list(mutations(json.loads(lines[1].rpartition(" ")[0])))[::27]
    assert len(wrong) > 3
    for what, values in wrong:
        (cache / "scans.jsonl").write_text(
            "\n".join([lines[0], f"{json.dumps(values)} {lines[1][-16:]}", lines[2], ""])
        )
        done = datasets.prepare(prepared / "tree", TINY, cache, readers=datasets.Workers(1))
        assert done["scans"] == 3, what
        datasets.load(cache, TINY)
