"""Where what is written of a scored scan lies in the output folder: the one place that makes such paths."""

from __future__ import annotations

from pathlib import Path

from maescan.files import output_path


def map_path(out: Path, label: str, *, clash: bool = False) -> Path:
    """The heat map of a scan: maps/LABEL_anomaly.nii.gz."""
    return output_path(out, "maps", label, "_anomaly.nii.gz", clash=clash)


def picture_path(out: Path, label: str, *, clash: bool = False) -> Path:
    """The picture of a scan's worst slice: pictures/LABEL.png."""
    return output_path(out, "pictures", label, ".png", clash=clash)


PLACES = {"map": map_path, "picture": picture_path}
"""Of each kind of output of a scan."""
