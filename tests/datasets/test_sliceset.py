"""Slices of a set, on disk as in memory."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

from maescan import datasets
from maescan.config import preset
from maescan.datasets.phantom import Look, write_phantom
from maescan.datasets.rows import MappedRows
from maescan.datasets.sliceset import SliceSet, copies_told
from maescan.errors import DataError

RNG = np.random.default_rng(0)

IMAGES = RNG.normal(size=(10, 4, 5)).astype(np.float16)


def made(images=IMAGES, count=10) -> SliceSet:
    patients = np.array([f"p{i // 2}" for i in range(count)])
    return SliceSet(images, patients, np.arange(count), np.arange(count) % 2, np.zeros(count, np.float32))


def test_a_set_on_disk_is_the_set_in_memory():
    rows, plain = made(MappedRows(IMAGES)), made()
    which = plain.label == 0
    assert rows.fingerprint() == plain.fingerprint()
    assert rows.select(which).fingerprint() == plain.select(which).fingerprint() == rows.healthy().fingerprint()
    assert np.array_equal(np.asarray(SliceSet.join([rows, rows]).images), np.concatenate([IMAGES, IMAGES]))


def test_what_was_taken_stays_with_the_slices():
    one, two = (dataclasses.replace(made(), taken=taken) for taken in ("one", "two"))
    assert one.select([1, 3]).taken == one.healthy().taken == SliceSet.join([one, one]).taken == "one"
    assert SliceSet.join([made(), one, two]).taken == "one; two" and one.fingerprint() == two.fingerprint()


def test_patients_are_held_back_whole():
    rest, held = made().split_patients(0.4, seed=3)
    assert len(held) == 4 and not set(held.patient) & set(rest.patient)
    assert made().split_patients(0.4, seed=3)[1].fingerprint() == held.fingerprint()


def test_scans_of_one_subject_stay_together():
    twice = made(np.zeros((12, 4, 5)), 12)
    twice = dataclasses.replace(
        twice, patient=np.array([f"sub-{i // 4}/ses-{i % 2}/anat/T1w.nii" for i in range(12)])
    )
    for seed in range(5):
        rest, held = twice.split_patients(0.34, seed)
        assert len(held) == 4 and not set(held.subject) & set(rest.subject)


def test_a_set_without_healthy_slices_says_so():
    with pytest.raises(DataError, match="no healthy slices"):
        made().select([1, 3]).healthy()


def test_copies_under_other_names_are_told():
    assert copies_told(made()) == copies_told(made(np.zeros_like(IMAGES))) == ""
    again = IMAGES.copy()
    again[4:8] = np.concatenate([IMAGES[:2], IMAGES[:2]])
    for images in (again, MappedRows(again)):
        assert copies_told(made(images)) == "; 2 copies by their values under other names: p2 is p0"


def test_a_set_that_is_read_tells_its_copies(tmp_path):
    write_phantom(tmp_path, healthy=2, lesions=0, seed=0, look=Look(shape=(48, 40, 4)))
    (tmp_path / "labels.csv").unlink()
    scan = next((tmp_path / "healthy").glob("*0.nii.gz"))
    shutil.copy(scan, tmp_path / "healthy" / "other.nii.gz")
    taken = datasets.load(tmp_path, preset("tiny")).taken
    assert taken.endswith(f"; 1 copy by their values under other names: healthy/other.nii.gz is healthy/{scan.name}")
