"""End to end on a folder: files in, tables out. Scans per hour, where the time goes, how busy the engine is."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from maescan.benchmark.engines import loaded, timed
from maescan.benchmark.machine import peak_memory
from maescan.config import Preset
from maescan.datasets.phantom import make_phantom, write_scan
from maescan.method.score import score_slices
from maescan.options import EngineOptions

FORMATS = {"nifti": "gzip NIfTI", "dicom": "DICOM"}
ORIGINALS = 4
"""Scans that are drawn; the rest of a folder are these, shifted, so that a large folder costs little to make."""


def write_scans(out: Path, count: int, shape: tuple[int, int, int], preset: Preset, form: str = "nifti") -> Path:
    """`count` artificial scans of `shape` voxels as .nii.gz or as DICOM series; no two files are equal."""
    kind = "lung" if preset.modality == "ct" else "brain"
    drawn = [make_phantom(kind, index, 0, ill=False, shape=shape) for index in range(min(ORIGINALS, count))]  # type: ignore[arg-type]
    for index in range(count):
        phantom, turn = drawn[index % len(drawn)], index // len(drawn)
        voxels = np.roll(phantom.voxels, turn, axis=0)
        if form == "nifti":
            write_scan(out / f"scan_{index:04d}.nii.gz", voxels, phantom.affine)
        else:
            _write_series(out / f"scan_{index:04d}", voxels, phantom.affine)
    return out


def can_write(form: str) -> bool:
    """DICOM needs pydicom, which comes with maescan[dicom]."""
    return form == "nifti" or importlib.util.find_spec("pydicom") is not None


def measure(scans: Path, bundle: Path, out: Path, engine: EngineOptions, workers: int) -> dict[str, Any]:
    """Scores the folder once. Seconds do not count loading the engine; `share` is the rate over that of the engine
    alone, measured just before and after; `stages` is run.json's, per stage the share of the run that it was busy
    (readers together) and percentiles of its seconds."""
    from maescan.scoring.options import ScoreOptions
    from maescan.scoring.pipeline import score_folder

    opened, running = loaded(bundle, engine)
    try:
        before = _alone(running, opened.preset)
        summary = score_folder([scans], opened, running, out, ScoreOptions(force=True, pictures=0, workers=workers))
        alone = max(before, _alone(running, opened.preset))
    finally:
        running.close()
    stages, count = summary.stages, len(summary.scored)
    return {
        "engine": running.name,
        "scans": count,
        "failed": len(summary.failures),
        "slices": summary.slices,
        "seconds": summary.seconds,
        "scans_per_hour": 3600 * count / summary.seconds,
        "slices_per_second": summary.slices / summary.seconds,
        "share": summary.slices / summary.seconds / alone,
        "engine_busy": stages.get("engine", {}).get("busy", 0.0),
        "stages": stages,
        "peak_memory": peak_memory(),
    }


def _alone(engine: Any, preset: Preset) -> float:
    """Slices per second of full batches that wait for nothing: the fastest of three after one that does not count."""
    side, ids = preset.model.image_size, np.arange(engine.batch)
    images = np.ones((engine.batch, side, side), np.float32)
    return len(ids) / min(timed(lambda: score_slices(images, ids, engine, preset), 0))


def _write_series(folder: Path, voxels: Any, affine: Any) -> None:
    """Axial MR slices as uncompressed DICOM, one file per slice."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    directions = lps[:3, :3] / spacing
    series, study = generate_uid(), generate_uid()
    for index in range(voxels.shape[2]):
        file = FileDataset("", {}, preamble=b"\0" * 128)
        file.file_meta = FileMetaDataset()
        file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = MRImageStorage
        file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = generate_uid()
        file.Modality, file.SeriesInstanceUID, file.StudyInstanceUID = "MR", series, study
        file.PatientID, file.SeriesNumber, file.InstanceNumber = folder.name, 1, index + 1
        file.ImageType, file.SamplesPerPixel, file.PhotometricInterpretation = (
            ["ORIGINAL", "PRIMARY"],
            1,
            "MONOCHROME2",
        )
        file.Rows, file.Columns = voxels.shape[1], voxels.shape[0]
        file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, 1
        file.RescaleSlope, file.RescaleIntercept = 1, 0
        file.PixelSpacing = [float(f"{spacing[1]:.8g}"), float(f"{spacing[0]:.8g}")]
        file.SliceThickness = float(f"{spacing[2]:.8g}")
        file.ImageOrientationPatient = [float(f"{v:.8g}") for v in [*directions[:, 0], *directions[:, 1]]]
        file.ImagePositionPatient = [float(f"{v:.8g}") for v in (lps @ [0, 0, index, 1])[:3]]
        file.PixelData = np.ascontiguousarray(voxels[:, :, index].T.astype("<i2")).tobytes()
        file.save_as(folder / f"{index:04d}.dcm", enforce_file_format=True)
