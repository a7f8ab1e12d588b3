"""BraTS2020, the public HDF5 edition: one file a slice, `volume_V_slice_S.h5`, with all modalities and the mask.

`image` is [X, Y, 4] and `mask` [X, Y, 3]; the first axis goes to the patient's left, the second to the back, as in
the NIfTI release. The edition is standardised over all voxels, air included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.datasets.brats import MODALITIES, checked_modality
from maescan.datasets.items import Item
from maescan.datasets.sliceset import SliceSet
from maescan.datasets.splits import split_patients, volume_split
from maescan.errors import DataError
from maescan.scans import Scan

NAME = re.compile(r"volume_(\d+)_slice_(\d+)\.h5")
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])  # voxels of 1 mm, to the left, the back and the top
REMEDY = "download it anew; it should hold image [240, 240, 4] and mask [240, 240, 3]"


def find_hdf5(path: Path, modality: str | None = None, split_dir: Path | None = None, seed: int = 0) -> list[Item]:
    """The volumes of a folder of `volume_V_slice_S.h5`, at any depth below `path`; none where there is no such file.
    They are split by volume, drawn by `seed` in the paper's shares, or as the authors' files in `split_dir` say."""
    volumes: dict[int, dict[int, Path]] = {}
    for file in sorted(path.rglob("volume_*_slice_*.h5")) if path.is_dir() else []:
        if match := NAME.fullmatch(file.name):
            volumes.setdefault(int(match[1]), {})[int(match[2])] = file
    if not volumes:
        return []
    channel = MODALITIES.index(checked_modality(modality))
    lists = volume_split(split_dir) if split_dir else None
    drawn = None if lists is not None else split_patients((f"volume_{v:03}" for v in volumes), seed)
    items = []
    for volume, slices in sorted(volumes.items()):
        name = f"volume_{volume:03}"
        split = lists.get(volume, {}) if lists is not None else drawn[name] if drawn else None
        files = dict(sorted(slices.items()))
        items.append(Item(name, tuple(files.values()), partial(read_volume, name, files, channel), channel, split))
    return items


def read_volume(name: str, files: Mapping[int, Path], channel: int, preset: Preset) -> SliceSet:
    """The slices of one volume that there are files of, abnormal where the mask marks any tumour. Intensities are
    fitted to the volume as a whole. Raises DataError for a file that is damaged or not of that edition."""
    from maescan.method.intensity import STANDARDISED
    from maescan.method.preprocess import prepare, to_grid

    read = [_read(file, channel) for file in files.values()]
    sizes = {image.shape for image, _ in read}
    if len(sizes) > 1:
        raise DataError(f"slices of {name} differ in size", path=next(iter(files.values())).parent, remedy=REMEDY)
    voxels, lesions = (np.stack(part, axis=-1) for part in zip(*read, strict=True))
    path = next(iter(files.values())).parent / f"{name}.h5"
    prepared = prepare(Scan(voxels, 1.0, 0.0, AFFINE, name, path, "hdf5", meta={STANDARDISED: True}), preset)
    axial = prepared.axes.to_axial(lesions)
    label = np.asarray(axial.any(axis=(1, 2)), np.int8)
    names, numbers = np.repeat(name, len(label)), np.array(list(files), np.int64)
    return SliceSet(prepared.images, names, numbers, label, prepared.area, to_grid(axial, prepared))


def _read(file: Path, channel: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(image [X, Y] of one channel, whether any class of the mask marks a voxel [X, Y])."""
    import h5py

    try:
        with h5py.File(file, "r") as stream:
            image: Any = stream["image"]
            mask: Any = stream["mask"]
            if image.ndim != 3 or mask.ndim != 3 or image.shape[:2] != mask.shape[:2] or image.shape[2] <= channel:
                raise DataError(f"holds image {image.shape} and mask {mask.shape}", path=file, remedy=REMEDY)
            values, lesion = np.asarray(image[..., channel], np.float32), np.asarray((mask[:] != 0).any(axis=-1))
    except (OSError, KeyError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(f"cannot be read: {type(error).__name__}: {error}".split())
        raise DataError(reason, path=file, remedy=REMEDY) from error
    if not np.isfinite(values).all():
        raise DataError("holds values that are not finite", path=file, remedy=REMEDY)
    return values, lesion
