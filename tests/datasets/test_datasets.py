"""A data set is prepared once, and loaded from what was prepared."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from helpers.scan_files import write_series
from maescan import datasets
from maescan.config import IntensityConfig, preset
from maescan.datasets import cache, items, readers
from maescan.datasets.rows import MappedRows
from maescan.errors import ConfigError, DataError

TINY = preset("tiny")

FILES = ("images.npy", "masks.npy", "index.csv", "cache.json", "scans.jsonl")


def bytes_of(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def test_a_cache_holds_what_the_folder_does(made):
    slices, mapped = (datasets.load(path, TINY) for path in made)
    assert isinstance(mapped.images, MappedRows) and isinstance(mapped.images.base, np.memmap)
    assert np.array_equal(mapped.images[:], slices.images.astype(np.float16))
    for name in ("patient", "slice", "label", "mask", "split"):
        assert np.array_equal(getattr(mapped, name), getattr(slices, name)), name
    assert np.allclose(mapped.area, slices.area, atol=1e-6) and mapped.mask[:].any()


def told(path, **options):
    lines = []
    assert [datasets.load(path, TINY, listen=lines.append, **options).taken] == lines
    return lines


def test_one_line_says_what_was_taken_and_what_was_not(own, tmp_path):
    """Without it ill scans are trained on as healthy ones beside a table that nobody reads."""
    tree, known = own[0], "5 scans of 5 patients (3 healthy, 2 with lesions): labels of labels.csv, lesions of masks/"
    assert told(tree) == told(own[1]) == [known]
    (tree / "labels.csv").unlink()
    assert told(tree) == [
        "5 scans of 5 patients (3 healthy, 2 with lesions): labels of masks/, 3 without a mask taken as healthy"
    ]
    (tree / "healthy" / "annotations.CSV").write_text("")
    lines = []
    datasets.prepare(tree / "healthy", TINY, tmp_path / "new", listen=lines.append)
    assert lines == [
        "3 scans of 3 patients (3 healthy): no labels.csv and no masks/, so all are taken as healthy; not"
        " read for labels or parts: annotations.CSV"
    ]
    assert told(tmp_path / "new") == lines


def test_it_is_the_same_bytes_whatever_the_workers(made, tmp_path):
    datasets.prepare(made[0], TINY, tmp_path, readers=datasets.Workers(1))
    assert bytes_of(tmp_path) == bytes_of(made[1])


def test_what_is_prepared_is_not_read_again(own, monkeypatch):
    monkeypatch.setattr(readers, "read_scan_slices", None)
    assert datasets.prepare(own[0], TINY, own[1], readers=datasets.Workers(1))["kept"] == 5


def test_a_changed_scan_and_those_behind_it_are_read_again(own):
    before = bytes_of(own[1])
    os.utime(own[0] / "healthy" / "brain_0002.nii.gz", ns=(1, 1))
    assert datasets.prepare(own[0], TINY, own[1], readers=datasets.Workers(1))["kept"] == 2
    after = bytes_of(own[1])
    assert after["images.npy"] == before["images.npy"] and after["scans.jsonl"] != before["scans.jsonl"]


def test_a_new_label_is_prepared(own):
    text = (own[0] / "labels.csv").read_text()
    (own[0] / "labels.csv").write_text(text.replace("healthy/brain_0001.nii.gz,3,0", "healthy/brain_0001.nii.gz,3,1"))
    datasets.prepare(own[0], TINY, own[1], readers=datasets.Workers(1))
    assert datasets.load(own[1], TINY).label[11] == 1


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


def test_a_cache_of_preprocessing_that_only_a_newer_maescan_knows_is_refused(own):
    for file in (own[1] / "plan.json", own[1] / "cache.json"):
        known = json.loads(file.read_text())
        known["preprocessing"]["grid.novelty"] = 2
        file.write_text(json.dumps(known))
    for call in (lambda: datasets.load(own[1], TINY), lambda: datasets.prepare(own[0], TINY, own[1])):
        with pytest.raises(DataError, match=r"was prepared with grid\.novelty, which only a newer maescan knows"):
            call()


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


def test_no_scan_that_can_be_used_is_one_line(own, tmp_path):
    for file in own[0].rglob("brain_*.nii.gz"):
        file.write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"none of its 5 scans can be used; .*brain_0000.*is not a NIfTI file"):
        datasets.prepare(own[0], TINY, tmp_path / "new")
    with pytest.raises(DataError, match="is not finished"):
        datasets.load(tmp_path / "new", TINY)


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
    assert lines[0] == "patient,slice,label,area,split,source,key,hash,whose"
    assert len(lines) == 41 and facts["kind"] == "folder"
    assert len({line.split(",")[5] for line in lines[1:]}) == 5


def test_pictures_of_a_study_are_passed_over_as_score_does(tmp_path):
    """A study holds localizers and projections: they are no scans that failed."""
    mr, values = {"Modality": "MR"}, np.random.default_rng(0).integers(0, 900, (6, 24, 24)).astype(np.int16)
    write_series(tmp_path / "a", values, SeriesDescription="T1", **mr)
    write_series(tmp_path / "a", values, first=10, SeriesNumber=1, SeriesDescription="Localizer", **mr)
    write_series(tmp_path / "a", values[:1], first=20, SeriesNumber=2, ImageType=["DERIVED", "PRIMARY", "MIP"], **mr)
    slices = datasets.load(tmp_path, TINY)
    assert set(slices.patient) == {"a/3-T1"} and not slices.left_out
    assert slices.taken.endswith("; passed over, as no volumes of anatomy: a/1-Localizer and 1 more")
    for file in (tmp_path / "a").glob("00*.dcm"):
        file.unlink()
    with pytest.raises(DataError, match=r"none of its 2 scans can be used; a/1-Localizer: is a localizer by its"):
        datasets.load(tmp_path, TINY)
