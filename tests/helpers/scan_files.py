"""Small scan files for the tests of the readers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from helpers.inputs import given
from maescan.benchmark import series

UID = "1.2.826.0.1.3680043.8.498."
SHAPE = (6, 5, 4)  # slices, rows, columns
VALUES = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)


def dicom_slice(values: np.ndarray, position: Any, **tags: Any) -> Any:
    """A pydicom dataset of one axial CT slice [rows, columns]; `tags` overrides its elements, None removes one."""
    own = {
        **{"SeriesInstanceUID": UID + "1", "SeriesNumber": 3, "PixelSpacing": [1.5, 0.5]},
        **{"SliceThickness": 3, "SpacingBetweenSlices": 9},
    }
    return series.dicom_slice(values, position, **{**own, **tags})


def save(dataset: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return given(path)


def write_series(
    folder: Path,
    values: np.ndarray = VALUES,
    *,
    step: Any = (0, 0, 2.5),
    depths: Any = None,
    first: int = 0,
    **tags: Any,
) -> list[Path]:
    """One file a slice of `values` [slices, rows, columns], `step` mm apart; depths: their places in steps."""
    places = range(len(values)) if depths is None else depths
    return [
        save(
            dicom_slice(image, np.add(np.multiply(step, place), (10, 20, 30)), **tags), folder / f"{first + i:03}.dcm"
        )
        for i, (image, place) in enumerate(zip(values, places, strict=True))
    ]


def write_nifti(path: Path, values: np.ndarray = VALUES) -> Path:
    """Axial slices `values` [slices, rows, columns] as NIfTI, RAS+, 0.5 x 1.5 x 2.5 mm."""
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values.transpose(2, 1, 0), np.diag([0.5, 1.5, 2.5, 1])), path)
    return given(path)


def dataset_of(**elements: Any) -> Any:
    from pydicom.dataset import Dataset

    dataset = Dataset()
    for tag, value in elements.items():
        setattr(dataset, tag, value)
    return dataset


def enhanced(path: Path, order: Iterable[int] = range(6), echoes: Iterable[int] = (0,)) -> Path:
    """An enhanced image: one volume an echo (its number is added to the voxels), frames in any order."""
    frames = [(i, echo) for i in order for echo in echoes]
    values = np.stack([VALUES[i] + np.int16(echo) for i, echo in frames])
    dataset = dicom_slice(values, (0, 0, 0), NumberOfFrames=len(frames), Modality="MR")
    del dataset.PixelSpacing, dataset.ImagePositionPatient, dataset.ImageOrientationPatient
    shared = dataset_of(
        PlaneOrientationSequence=[dataset_of(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PixelMeasuresSequence=[dataset_of(PixelSpacing=[1.5, 0.5], SliceThickness=9)],
        PixelValueTransformationSequence=[dataset_of(RescaleSlope=2, RescaleIntercept=-1)],
    )
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [
        dataset_of(
            PlanePositionSequence=[dataset_of(ImagePositionPatient=[0, 0, i * 2.5])],
            MREchoSequence=[dataset_of(EffectiveEchoTime=float(echo))],
        )
        for i, echo in frames
    ]
    return save(dataset, path)
