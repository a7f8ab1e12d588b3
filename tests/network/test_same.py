from __future__ import annotations

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian, RLELossless

from maescan.network import same
from maescan.network.same import same_data_set


def written(path, dataset, **named):
    dataset.save_as(path, enforce_file_format=True, **named)
    return path


def test_sequences_and_private_elements_in_another_syntax_are_the_same(slices, tmp_path):
    dataset = dcmread(slices[0])
    item = Dataset()
    item.PatientID = "B"
    dataset.OtherPatientIDsSequence = [item]
    block = dataset.private_block(0x0029, "MAKER", create=True)
    block.add_new(1, "LO", "odd")
    first = written(tmp_path / "a", dataset)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    assert same_data_set(first, written(tmp_path / "b", dataset, implicit_vr=True))
    item.PatientID = "C"
    assert not same_data_set(first, written(tmp_path / "c", dataset, implicit_vr=True))


@pytest.mark.parametrize("change", ["less", "more", "value"])
def test_what_is_another_data_set(slices, tmp_path, change):
    dataset = dcmread(slices[0])
    if change == "less":
        del dataset.PatientID
    else:
        setattr(dataset, "StudyID" if change == "more" else "PatientID", "Z")
    assert not same_data_set(slices[0], written(tmp_path / "a", dataset))
    assert same_data_set(slices[0], slices[0])


def test_what_cannot_be_compared_is_not_the_same(slices, tmp_path, monkeypatch):
    (tmp_path / "bad").write_bytes(slices[0].read_bytes()[:300])
    assert not same_data_set(slices[0], tmp_path / "bad")
    monkeypatch.setattr(same, "LARGEST", 10)
    assert not same_data_set(slices[0], slices[0])


def test_pixels_that_would_fill_the_memory_are_not_decoded(slices, tmp_path, monkeypatch):
    packed = dcmread(slices[0])
    packed.compress(RLELossless, generate_instance_uid=False)
    assert same_data_set(slices[0], written(tmp_path / "packed", packed))
    plain = dcmread(slices[0])
    for image in (plain, packed):
        image.Rows = image.Columns = 65535
    monkeypatch.setattr(Dataset, "pixel_array", property(lambda _: pytest.fail("decodes 8 GB")))
    assert not same_data_set(written(tmp_path / "plain", plain), written(tmp_path / "packed", packed))
