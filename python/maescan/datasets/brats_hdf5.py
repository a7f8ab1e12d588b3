"""BraTS2020, the public HDF5 edition: one file per slice, `volume_V_slice_S.h5`, with all modalities and the mask.

`image` is [X, Y, 4] and `mask` [X, Y, 3]; the first axis goes to the patient's left, the second to the back, as in
the NIfTI release. The edition is standardised over all voxels, air included.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.datasets.brats import MODALITIES, checked_modality, part_of
from maescan.datasets.contrasts import statistics, tell_modalities
from maescan.datasets.folder import MARKS, check_share
from maescan.datasets.items import LabelledScan
from maescan.datasets.sliceset import SliceSet
from maescan.datasets.splits import split_patients, volume_split
from maescan.errors import ConfigError, DataError, quoted, typed
from maescan.scans import Scan
from maescan.scans.hdf5 import kept_elsewhere

NAME = re.compile(r"volume_(\d+)_slice_(\d+)\.h5")
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])  # voxels of 1 mm, to the left, the back and the top
FARTHEST = 65_535  # MR images are stored in 16 bits, and standardised values are lower
LOOKED_AT, LEVELS = 8, 32  # volumes, and slices of each, by which channels are told apart
REMEDY = "download it anew; it should hold image [240, 240, 4] and mask [240, 240, 3]"


def find_hdf5(
    path: Path, modality: str | None = None, split_dir: Path | None = None, seed: int = 0
) -> list[LabelledScan]:
    """The volumes of a folder of `volume_V_slice_S.h5`, at any depth below `path`; none where there is no such file.
    They are split by volume, drawn by `seed` in the paper's shares, or as the authors' files in `split_dir` say.

    modality: a name, whose channel the data tell (`contrasts`), or channel:N; without one channel 0, as the authors.
    """
    volumes: dict[int, dict[int, Path]] = {}
    for file in sorted(path.rglob("volume_*_slice_*.h5")) if path.is_dir() else []:
        if match := NAME.fullmatch(file.name):
            slices = volumes.setdefault(int(match[1]), {})
            if (other := slices.setdefault(int(match[2]), file)) is not file:
                reason = f"is of volume {match[1]}, as {typed(other)} is: one number is one patient's"
                raise DataError(reason, path=file, remedy="renumber the volumes of one folder, or move it out")
    if not volumes:
        return []
    channel, note = choose_channel(modality, volumes.values())
    lists = volume_split(split_dir) if split_dir else None
    drawn = None if lists is not None else split_patients((f"volume_{v:03}" for v in volumes), seed)
    items = []
    for volume, slices in sorted(volumes.items()):
        name = f"volume_{volume:03}"
        said = lists.get(volume, {}) if lists is not None else {}
        files = dict(sorted(slices.items()))
        read, split = partial(read_volume, name, files, channel), part_of(name, lists, said, drawn)
        items.append(LabelledScan(name, tuple(files.values()), read, channel, split, said, note))
    return items


def choose_channel(modality: str | None, volumes: Iterable[Mapping[int, Path]]) -> tuple[int, str]:
    """(channel, what was taken and why). Raises ConfigError for a modality or a channel that there is none of."""
    if modality is not None and modality.startswith("channel:"):
        number = modality.removeprefix("channel:")
        if number not in ("0", "1", "2", "3"):
            raise ConfigError(f"--modality {modality} is none of channel:0 to channel:3", remedy="count from 0")
        return int(number), f"channel {number} of the HDF5 files, as asked for"
    if modality is not None:
        checked_modality(modality)
    told = tell_channels(volumes)
    if modality is None:
        looks = f"; it looks like {told[0]}" if told else "; the data do not tell which modality it is"
        return 0, f"channel 0 of the HDF5 files, as the authors{looks}"
    if told:
        channel = told.index(modality)
        return channel, f"channel {channel} of the HDF5 files: it looks like {modality}"
    channel = MODALITIES.index(modality)
    order = ", ".join(MODALITIES)
    return (
        channel,
        f"channel {channel} of the HDF5 files: the data do not tell {modality}, so the order {order} is taken",
    )


def tell_channels(volumes: Iterable[Mapping[int, Path]]) -> tuple[str, ...] | None:
    """The modality of each channel, by a few volumes with lesions; None where they do not tell."""
    found = []
    for files in itertools.islice(volumes, LOOKED_AT):
        levels = sorted(files)[:: max(1, len(files) // LEVELS)]
        with contextlib.suppress(DataError):  # it is named when it is read
            read = [read_slice(files[level]) for level in levels]
            if len({image.shape for image, _ in read}) == 1:
                found.append(statistics(*(np.stack(part) for part in zip(*read, strict=True))))
    return tell_modalities([each for each in found if each is not None])


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
    check_share(lesions, path)
    prepared = prepare(Scan(voxels, 1.0, 0.0, AFFINE, name, path, "hdf5", meta={STANDARDISED: True}), preset)
    axial = prepared.axes.to_axial(lesions)
    label = np.asarray(axial.any(axis=(1, 2)), np.int8)
    names, numbers = np.repeat(name, len(label)), np.array(list(files), np.int64)
    return SliceSet(prepared.images, names, numbers, label, prepared.area, to_grid(axial, prepared))


def _read(file: Path, channel: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(image [X, Y] of one channel, whether any class of the mask marks a voxel [X, Y])."""
    image, classes = read_slice(file, channel)
    return image, np.asarray(classes.any(axis=-1))


def read_slice(file: Path, channel: int | None = None) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(image [X, Y] of one channel, or all channels [X, Y, 4]; which classes mark a voxel [X, Y, 3]). Raises
    DataError for a file that is damaged or not of that edition."""
    import h5py

    try:
        with h5py.File(file, "r") as stream:
            if part := kept_elsewhere(stream):
                raise DataError(f"keeps {quoted(part)} in another file", path=file, remedy=REMEDY)
            image: Any = stream["image"]
            mask: Any = stream["mask"]
            if (
                image.ndim != 3
                or mask.ndim != 3
                or image.shape[:2] != mask.shape[:2]
                or image.shape[2] <= (channel or 0)
            ):
                raise DataError(f"holds image {image.shape} and mask {mask.shape}", path=file, remedy=REMEDY)
            stored, marks = np.asarray(image[:] if channel is None else image[..., channel]), np.asarray(mask[:])
    except (OSError, KeyError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(f"cannot be read: {type(error).__name__}: {error}".split())
        raise DataError(reason, path=file, remedy=REMEDY) from error
    for name, values in (("image", stored), ("mask", marks)):
        if values.dtype.kind not in "biuf":
            raise DataError(f"its {name} holds {values.dtype}, no numbers", path=file, remedy=REMEDY)
        if not np.isfinite(values).all():
            raise DataError(f"its {name} holds values that are not finite", path=file, remedy=REMEDY)
    if (farthest := float(np.abs(stored).max(initial=0))) > FARTHEST:
        raise DataError(f"its image holds values of up to {farthest:.3g}, as no MR has", path=file, remedy=REMEDY)
    if marks.min(initial=0) < 0:
        raise DataError("its mask holds values below 0", path=file, remedy=MARKS)
    return stored.astype(np.float32), marks > 0
