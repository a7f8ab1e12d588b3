"""Where what is written of a scored scan lies in the output folder: the one place that makes such paths."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from maescan.files import output_path
from maescan.results.dicom import OBJECTS


def map_path(out: Path, label: str, *, clash: bool = False) -> Path:
    """The heat map of a scan: maps/LABEL_anomaly.nii.gz."""
    return output_path(out, "maps", label, "_anomaly.nii.gz", clash=clash)


def exceedance_path(out: Path, label: str, *, clash: bool = False) -> Path:
    """How many healthy scans are as high, place by place: maps/LABEL_exceedance.nii.gz."""
    return output_path(out, "maps", label, "_exceedance.nii.gz", clash=clash)


def picture_path(out: Path, label: str, *, clash: bool = False) -> Path:
    """The picture of a scan's highest slices: pictures/LABEL.png."""
    return output_path(out, "pictures", label, ".png", clash=clash)


def dicom_path(out: Path, label: str, name: str, *, clash: bool = False) -> Path:
    """A DICOM result of a scan: dicom/LABEL_sr.dcm and so on, by its name in `results.dicom.OBJECTS`."""
    return output_path(out, "dicom", label, f"_{name}.dcm", clash=clash)


def view_path(out: Path, label: str, *, clash: bool = False) -> Path:
    """The page of a scan: views/LABEL.html."""
    return output_path(out, "views", label, ".html", clash=clash)


PLACES: dict[str, Callable[..., Path]] = {
    "map": map_path,
    "exceedance": exceedance_path,
    "picture": picture_path,
    "view": view_path,
    **{name: partial(dicom_path, name=name) for names in OBJECTS.values() for name in names},
}
"""Of each kind of output of a scan."""
