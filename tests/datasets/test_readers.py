"""Readers of a data set: what crashes or hangs costs one scan."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from maescan import datasets
from maescan.config import preset
from maescan.datasets import cache, readers
from maescan.errors import DataError, ScanError
from maescan.scans.budget import Limits

TINY = preset("tiny")


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


def test_loading_leaves_out_and_names_what_cannot_be_scored(own, tmp_path):
    """One blank scan refused all of a set, whose others prepare and score took."""
    blank = own[0] / "healthy" / "brain_0000.nii.gz"
    scan = nibabel.load(blank)
    nibabel.save(nibabel.Nifti1Image(np.zeros(scan.shape, np.int16), scan.affine), blank)
    told = []
    found = datasets.load(own[0], TINY, listen=told.append)
    left_out = "healthy/brain_0000.nii.gz: there is nothing but air in it (check the file)"
    assert told[1:] == [f"1 scan cannot be used and is left out: {left_out}"] and len(found) == 32
    assert found.select(found.label == 0).left_out == found.left_out, "who judges a part knows it too"
    datasets.prepare(own[0], TINY, tmp_path / "new")
    assert np.array_equal(datasets.load(tmp_path / "new", TINY).patient, found.patient), "as a prepared set's"
    why = f"; 1 scan could not be used when it was prepared: {tmp_path / 'new' / 'failures.csv'}"
    assert datasets.load(tmp_path / "new", TINY).taken == found.taken + why
    for file in own[0].rglob("brain_*.nii.gz"):
        if file.parent.name != "masks":
            file.write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"none of its 5 scans can be used; healthy/brain_0000"):
        datasets.load(own[0], TINY)


@pytest.mark.parametrize(("folder", "named"), [("lesions", ""), ("masks", "masks/brain_0003.nii.gz: ")])
def test_of_a_scan_and_its_mask_the_file_at_fault_is_named_once(own, folder, named):
    (own[0] / folder / "brain_0003.nii.gz").write_bytes(b"nothing")
    (found,) = datasets.load(own[0], TINY).left_out
    assert found.scan == "lesions/brain_0003.nii.gz" and found.reason == f"{named}is not a NIfTI file"


def test_one_scan_alone_and_labels_that_do_not_fit_are_refused(own):
    """A table that is wrong for one scan may be as wrong for others."""
    labels = own[0] / "labels.csv"
    rows = labels.read_text()
    labels.write_text(f"{rows}healthy/brain_0000.nii.gz,8,0\n")
    with pytest.raises(DataError, match="names slice 8, it has 8"):
        datasets.load(own[0], TINY)
    labels.unlink()
    for file in own[0].rglob("brain_*.nii.gz"):
        if file.name != "brain_0000.nii.gz":
            file.unlink()
    (own[0] / "masks").rmdir()
    (own[0] / "healthy" / "brain_0000.nii.gz").write_bytes(b"nothing")
    with pytest.raises(ScanError, match="is not a NIfTI file"):
        datasets.load(own[0], TINY)


def test_what_failed_for_want_of_something_is_tried_again(own, monkeypatch):
    """A record that says failed, of a file that reads well now: a package was installed, memory is free."""
    lines = (own[1] / "scans.jsonl").read_text().splitlines()
    known = json.loads(lines[3].rpartition(" ")[0])
    lost = json.dumps({**known, "count": 0, "slice": [], "label": [], "area": [], "failed": {}})
    check = hashlib.sha256(lost.encode()).hexdigest()[:16]
    (own[1] / "scans.jsonl").write_text("\n".join([*lines[:3], f"{lost} {check}", ""]))
    assert datasets.prepare(own[0], TINY, own[1]) == {"scans": 5, "slices": 40, "kept": 3, "failed": 0}


def _die(made_preset):
    os.kill(os.getpid(), signal.SIGSEGV)


def _hang(made_preset):
    time.sleep(600)


@pytest.mark.slow
def test_a_reader_that_crashes_or_hangs_costs_one_scan(made, tmp_path):
    _, found = datasets.find(made[0])
    found[1], found[2] = replace(found[1], name="=a", read=_hang), replace(found[2], read=_die)
    made = cache.prepare_cache("folder", found, TINY, tmp_path, workers=readers.Workers(limits=Limits(seconds=10)))
    assert made == {"scans": 3, "slices": 24, "kept": 0, "failed": 2}
    text = (tmp_path / "failures.csv").read_text()
    assert "\n'=a,reading took over 10 s" in text  # no cell is a formula
    assert f"{found[2].name},the reader crashed (SIGSEGV)" in text
