from __future__ import annotations

import numpy as np
import pytest

from maescan.benchmark.series import dicom_slice


def test_an_element_takes_the_place_of_the_slices_own_and_none_leaves_it_out(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    values = np.arange(-3, 3, dtype=np.int16).reshape(2, 3)
    mr = "1.2.840.10008.5.1.4.1.1.4"
    dataset = dicom_slice(values, (1, 2, 3.5), Modality="MR", SOPClassUID=mr, RescaleSlope=None)
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    read = pydicom.dcmread(tmp_path / "a.dcm")
    assert (read.pixel_array == values).all() and list(read.ImagePositionPatient) == [1, 2, 3.5]
    assert (read.Modality, read.SOPClassUID, read.file_meta.MediaStorageSOPClassUID) == ("MR", mr, mr)
    assert "RescaleSlope" not in read and read.RescaleIntercept == 0
    assert read.file_meta.MediaStorageSOPInstanceUID == read.SOPInstanceUID
