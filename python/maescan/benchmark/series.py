"""Slices as DICOM, made up: for benchmarks, and for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom.dataset import FileDataset


def dicom_slice(values: NDArray[np.integer], position: Sequence[float], **elements: object) -> FileDataset:
    """An axial CT slice of voxels [rows, columns], the first of them at `position` in mm (LPS), for `save_as`.

    `elements`, TransferSyntaxUID too, stand in the place of the slice's own; None leaves one out."""
    from pydicom import uid
    from pydicom.dataset import FileDataset, FileMetaDataset

    unknown: bool = None  # type: ignore[assignment]  # the transfer syntax says which
    dataset = FileDataset("", {}, preamble=b"\0" * 128, is_little_endian=unknown, is_implicit_VR=unknown)
    bits = values.itemsize * 8
    own = {
        "SOPClassUID": uid.CTImageStorage,
        "SOPInstanceUID": uid.generate_uid(),
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "Rows": values.shape[-2],
        "Columns": values.shape[-1],
        "SamplesPerPixel": 1,
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(values.dtype.kind == "i"),
        "PhotometricInterpretation": "MONOCHROME2",
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": list(position),
        "PixelData": values.tobytes(),
    }
    syntax = elements.pop("TransferSyntaxUID", uid.ExplicitVRLittleEndian)
    for keyword, value in {**own, **elements}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.UID(str(syntax))
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset
