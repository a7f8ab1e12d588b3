"""Key images."""

from __future__ import annotations

from helpers.dicom_results import made_of, read, write_oriented


def selected(dataset):
    return [
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in dataset.ContentSequence
        if item.ValueType == "IMAGE"
    ]


def test_the_images_and_the_pictures_of_the_highest_slices_are_selected(tmp_path):
    write_oriented(tmp_path)
    alone = read(made_of(tmp_path, ["ko"]), "ko")
    assert selected(alone) == ["1.2.9.3.20", "1.2.9.3.19", "1.2.9.3.18"]
    made = made_of(tmp_path, ["ko", "sc"])
    pictures = [read(made, name).SOPInstanceUID for name in ("sc1", "sc2", "sc3")]
    assert selected(read(made, "ko")) == [*selected(alone), *pictures]


def test_where_slices_are_cut_across_the_images_only_pictures_can_be(tmp_path):
    write_oriented(tmp_path, plane=(0, 1, 0, 0, 0, -1))
    made = made_of(tmp_path, ["ko"])
    assert made.files == {} and "--dicom-out sc,ko" in str(made.refused["ko"])
    assert len(selected(read(made_of(tmp_path, ["ko", "sc"]), "ko"))) == 3
