"""DICOM series of any orientation with a ball of known place in their map, and what stands for a scored scan."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.scan_files import dicom_slice, save
from maescan.method.healthy import CELLS, HealthyMaps
from maescan.results.dicom import KINDS
from maescan.results.dicom.finding import Finding, Maker
from maescan.results.dicom.make import DicomMaker, Made, Request
from maescan.scans import find_scans, read_scan
from maescan.scans.scan import Scan, axial_view
from maescan.scans.source import ScanSource
from maescan.scans.streams import content_hash

BALL = np.array([6.0, -9.0, 11.0])
"""RAS+ mm."""
RADIUS = 9.0
MAKER = Maker("k" * 64, "b" * 64, "brats", "openvino-fp32", "0.1.0", "brain")
CALIBRATION = {
    **{"scans": [0.1] * 19 + [9.0], "slices": [0.1, 0.2]},
    "maps": HealthyMaps(1.0, 0.4, np.zeros((1, *CELLS), np.uint8)).to_json(),
}
MR = "1.2.840.10008.5.1.4.1.1.4"


def write_oriented(
    folder: Path,
    plane: Sequence[float] = (1, 0, 0, 0, 1, 0),
    *,
    shape: tuple[int, int, int] = (20, 36, 40),
    spacing: tuple[float, float, float] = (2.0, 1.8, 3.0),
    names: Sequence[int] | None = None,
    **tags: Any,
) -> list[Path]:
    """An MR series around `BALL`: shape slices, rows, columns; spacing between rows, columns and slices. names: the
    order in which files are named."""
    directions = np.asarray(plane, float)
    normal = np.cross(directions[:3], directions[3:])
    count, rows, columns = shape
    centre = np.diag([-1, -1, 1]) @ BALL
    corner = centre - directions[:3] * spacing[1] * (columns // 2 - 4) - directions[3:] * spacing[0] * (rows // 2 + 3)
    rng = np.random.default_rng(0)
    given = {
        **{"Modality": "MR", "SOPClassUID": MR, "FrameOfReferenceUID": "1.2.9.5", "StudyInstanceUID": "1.2.9.1"},
        **{"SeriesInstanceUID": "1.2.9.2", "PatientID": "A1", "PatientName": "Test^A", "StudyDate": "20200102"},
        **{"StudyTime": "101112", "StudyID": "1", "AccessionNumber": "7", "PixelSpacing": list(spacing[:2])},
        **{"ImageOrientationPatient": [f"{value:.12g}"[:16] for value in directions], "SliceThickness": spacing[2]},
        **{"PatientBirthDate": "19700101", "PatientSex": "F", "BodyPartExamined": "BRAIN", **tags},
    }
    paths = []
    for number in range(count):
        place = corner + normal * spacing[2] * (number - count // 2 + 2)
        values = rng.integers(100, 900, (rows, columns)).astype(np.uint16)
        more = {"InstanceNumber": number + 1, "SOPInstanceUID": f"1.2.9.3.{number + 1}", **given}
        dataset = dicom_slice(values, [f"{value:.10g}"[:16] for value in place], **more)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        paths.append(save(dataset, folder / f"{(names or range(count))[number]:03d}.dcm"))
    return paths


def source_of(folder: Path) -> ScanSource:
    (source,) = find_scans(folder)
    return source


def ball_map(scan: Scan) -> np.ndarray:
    """[X, Y, Z]: 0.5 within the ball, which may reach over the edge."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in scan.shape), indexing="ij"), axis=-1)
    places = index @ scan.affine[:3, :3].T + scan.affine[:3, 3]
    return np.where(np.linalg.norm(places - BALL, axis=-1) < RADIUS, 0.5, 0.0).astype(np.float32)


def finding_of(scan: Scan, **more: Any) -> Finding:
    view, _ = axial_view(scan)
    scores = np.linspace(0.1, 0.9, len(view)).astype(np.float32)
    facts = {"p_value": 0.012345, "alert": True, "threshold": 0.25, "slice_p": tuple(np.linspace(1, 0, len(view)))}
    facts["units"] = "of intensities 0 to 2"
    return Finding(0.654321, scores, np.arange(len(view)), ball_map(scan), scan.affine, **{**facts, **more})


def made_of(folder: Path, kinds: Sequence[str] = KINDS, maker: Maker = MAKER, **more: Any) -> Made:
    """The results of the one series in a folder, or what `more` says of them."""
    source = source_of(folder)
    limit, volume = more.pop("limit", 200_000_000), more.pop("volume", None)
    request = Request(tuple(kinds), volume, frozenset(), content_hash(source.files), limit)
    return DicomMaker().make(source, finding_of(read_scan(source, volume=volume), **more), maker, request)


def written(made: Made, folder: Path) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in made.files.items():
        (folder / f"{name}.dcm").write_bytes(content)
    return {name: folder / f"{name}.dcm" for name in made.files}


def read(made: Made, name: str) -> Any:
    from pydicom import dcmread

    return dcmread(BytesIO(made.files[name]))


def tool(name: str) -> str:
    """A program of dcmtk, dicom3tools or dcmqi; a test without it is skipped, and fails where tools are demanded."""
    for package in ("dcmqi", "dicom3tools"):
        with contextlib.suppress(PackageNotFoundError):
            for file in distribution(package).files or ():
                if file.name == name and Path(file.locate()).is_file():
                    return str(Path(file.locate()).resolve())
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found
