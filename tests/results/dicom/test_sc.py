"""The pictures of slices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from helpers.dicom_results import finding_of, made_of, read, source_of, write_oriented
from maescan.results.dicom.sc import NARROW, STRIP, drawn
from maescan.scans import read_scan
from maescan.scans.scan import axial_view


def test_the_map_is_red_at_its_place_with_the_patients_right_on_the_left(tmp_path):
    write_oriented(tmp_path, plane=(0, 1, 0, 0, 0, -1))
    scan = read_scan(source_of(tmp_path))
    view, axes = axial_view(scan)
    finding = finding_of(scan)
    inside = axes.to_axial(finding.volume)
    level = int(inside.sum(axis=(1, 2)).argmax())
    pixels = drawn(scan, finding, level, "brain").astype(int)[STRIP:-STRIP]
    half = pixels.shape[1] // 2
    red = pixels[..., 0] - pixels[..., 1] > 60
    assert not red[:, :half].any() and red[:, half:].any()
    row, column = np.argwhere(red[:, half:]).mean(axis=0)
    expected_row, expected_column = np.argwhere(inside[level] > 0).mean(axis=0)
    height, width = view.shape[1:]
    assert abs(row / red.shape[0] - (expected_row + 0.5) / height) < 0.05
    tall, wide = (scan.spacing[axis] for axis in axes.order[1:])
    middle = half / 2 + (expected_column + 0.5 - width / 2) * wide * red.shape[0] / (height * tall)
    assert abs(column - middle) < 0.05 * half


def test_a_judges_map_is_half_red_at_what_is_rare_in_healthy_scans(tmp_path):
    write_oriented(tmp_path)
    scan = read_scan(source_of(tmp_path))
    halves = []
    for units, value in (("probability", 0.9), ("probability", 0.45), ("of intensities 0 to 2", 0.9)):
        finding = replace(
            finding_of(scan), units=units, threshold=0.9, volume=np.full(scan.voxels.shape, value, "f4")
        )
        pixels = drawn(scan, finding, 0).astype(int)[STRIP:-STRIP, :, 1]
        halves.append(pixels[:, pixels.shape[1] // 2 :].sum() / pixels[:, : pixels.shape[1] // 2].sum())
    assert np.allclose(halves, [0.5, 0.75, 0.5], atol=0.03)


def test_a_chest_is_shown_as_lungs_are_whatever_the_bundle_is_called(tmp_path):
    write_oriented(tmp_path)
    scan = read_scan(source_of(tmp_path))
    ct = [replace(scan, meta={"Modality": "CT", "BodyPartExamined": part}) for part in ("CHEST", "ABDOMEN", "CHEST")]
    lungs, other, bundles = (
        drawn(of, finding_of(of), 0, organ) for of, organ in zip(ct, ("", "", "chest"), strict=True)
    )
    assert np.array_equal(lungs, bundles) and not np.array_equal(lungs, other)


def test_a_narrow_slice_leaves_room_for_its_lines(tmp_path):
    write_oriented(tmp_path, plane=(0, 1, 0, 0, 0, -1), shape=(4, 60, 60))
    scan = read_scan(source_of(tmp_path))
    assert drawn(scan, finding_of(scan), 0).shape[1] >= 2 * NARROW


def test_pictures_say_which_slice_they_are_of_and_claim_no_place_in_space(tmp_path):
    write_oriented(tmp_path)
    made = made_of(tmp_path, ["sc"])
    found = [read(made, name) for name in ("sc1", "sc2", "sc3")]
    assert ["".join(c for c in dataset.ImageComments[:24] if c.isdigit()) for dataset in found] == ["19", "18", "17"]
    assert [dataset.InstanceNumber for dataset in found] == [1, 2, 3]
    assert all("FrameOfReferenceUID" not in dataset and dataset.Modality == "OT" for dataset in found)


def test_of_a_series_that_was_compressed_with_loss_pictures_say_so(tmp_path):
    lossy = {"LossyImageCompression": "01", "LossyImageCompressionRatio": 12.5}
    write_oriented(tmp_path, shape=(3, 36, 40), **lossy)
    found = read(made_of(tmp_path, ["sc"]), "sc1")
    assert {tag: found[tag].value for tag in lossy} == lossy
