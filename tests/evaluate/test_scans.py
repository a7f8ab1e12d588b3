from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from maescan.datasets import SliceSet
from maescan.errors import DataError
from maescan.evaluate.scans import scan_auroc, scan_labels, trained_scans, training_text, unlike_scans
from maescan.method.prints import training_prints


def test_a_scan_is_abnormal_when_any_slice_is():
    label, patient = [0, 1, 0, 0], ["b", "b", "a", "a"]
    assert scan_labels(label, patient).tolist() == [0, 1]
    assert scan_auroc(label, [0.1, 0.9, 0.2, 0.3], patient, {"method": "max"}) == 1.0


def test_scans_that_trained_the_bundle_are_counted_and_said():
    images = np.random.default_rng(0).random((12, 8, 8)).astype(np.float32)
    patient, zeros = np.repeat(["a", "b", "c"], 4), np.zeros(12)
    data = SliceSet(images, patient, np.arange(12) % 4, zeros.astype(np.int8), zeros.astype(np.float32))
    known = data.select(patient != "b")
    manifest = {"provenance": {"prints": {"salt": "s", "scans": training_prints(known.images, known.patient, "s")}}}
    assert trained_scans(data, patient, manifest) == 2 and trained_scans(data, patient, {"provenance": {}}) == 0
    parted = {"provenance": {"prints": {"salt": "s", "scans": training_prints(images[:1], patient[:1], "s")}}}
    judged = data.select(np.arange(12) > 0)  # other slices of a scan are judged than trained on
    assert trained_scans(data, judged.patient, parted) == 1 and trained_scans(data, ["b", "c"], parted) == 0
    assert "trained with 2 of these scans" in training_text({"model": {"trained_scans": 2}})
    assert training_text({"model": {}}) == ""


def test_scans_unlike_trainings_are_counted_and_said():
    images = np.ones((12, 8, 8), np.float32)
    images[4:] *= 3
    patient, zeros = np.repeat(["a", "b", "c"], 4), np.zeros(12)
    data = SliceSet(images, patient, np.arange(12) % 4, zeros.astype(np.int8), zeros.astype(np.float32))
    data.images[:, :2] = 0
    manifest = {"intensity": {"mean": [0.5, 1.5]}}
    assert unlike_scans(data, data.patient, manifest) == 2 and unlike_scans(data, ["a", "b", "b"], manifest) == 1
    assert unlike_scans(data, data.patient, {}) == 0
    patches = replace(data, key=np.arange(12, dtype=np.uint64))
    assert unlike_scans(patches, data.patient, manifest) == 0  # of so few patches score says nothing either
    assert unlike_scans(SliceSet.join([patches] * 2), data.patient, manifest) == 2
    assert "Of these scans 2 have values outside training's" in training_text({"model": {"unlike_scans": 2}})


def test_scan_auroc_takes_a_scan_as_abnormal_when_a_slice_is():
    patient = np.repeat(["a", "b", "c"], 4)
    label = np.array([0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    score = np.array([0, 0, 0, 0.3, 0.9, 0, 0, 0, 0.4, 0.4, 0.4, 0])
    assert scan_auroc(label, score, patient, {"method": "max"}) == 1.0
    assert scan_auroc(label, score, patient, {"method": "top", "k": 3}) == 0.5  # b 0.3, a 0.1, c 0.4
    with pytest.raises(DataError, match="one class only"):
        scan_auroc(label[4:8], score[4:8], patient[4:8])
