"""End to end on a folder: files in, tables out. Scans per hour, where the time goes, how busy the engine is."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maescan.benchmark.engines import loaded, timed
from maescan.benchmark.machine import peak_memory
from maescan.benchmark.series import dicom_slice
from maescan.config import Preset
from maescan.config.types import Json
from maescan.datasets.phantom import make_phantom, write_scan
from maescan.method.engine import Engine
from maescan.method.raw import gathered
from maescan.method.score import score_slices, takes_raw
from maescan.method.tokens import TokenSets
from maescan.options import EngineOptions, ReadOptions
from maescan.scans import find_scans

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


def measure(scans: Path, bundle: Path, out: Path, engine: EngineOptions, workers: int) -> Json:
    """Scores the folder once. Seconds do not count loading the engine; `share` is the rate over that of the engine
    alone with the same slices (those of `ORIGINALS` scans), the better of just before and after; `stages` is
    run.json's, per stage the share of the run that it was busy (readers together) and percentiles of its seconds."""
    from maescan.scoring.options import ScoreOptions
    from maescan.scoring.pipeline import score_folder

    opened, running = loaded(bundle, engine)
    try:
        before = _alone(scans, running, opened.preset)
        summary = score_folder([scans], opened, running, out, ScoreOptions(force=True, pictures=0, workers=workers))
        alone = max(before, _alone(scans, running, opened.preset))
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
        "alone_slices_per_second": alone,
        "share": summary.slices / summary.seconds / alone,
        "engine_busy": stages.get("engine", {}).get("busy", 0.0),
        "stages": stages,
        "peak_memory": peak_memory(),
    }


def _alone(scans: Path, engine: Engine, preset: Preset) -> float:
    """Slices per second of what the folder holds, in full batches that wait for nothing: the fastest of the
    passes that fit into half a second, at least one."""
    from maescan.scoring.readers import read_and_prepare

    raw = takes_raw(engine, preset)
    read = [read_and_prepare(source, preset, ReadOptions(), as_raw=raw) for source in find_scans([scans])[:ORIGINALS]]
    same: dict[int, list[tuple[int, int]]] = {}
    for number, (_, images, facts) in enumerate(read):
        sets = facts["sets"]
        for index, tokens in enumerate(np.zeros(len(images), int) if sets is None else sets.size):
            same.setdefault(int(tokens), []).append((number, index))
    size = engine.batch
    batches = [group[at : at + size] for group in same.values() for at in range(0, len(group), size)]

    def score() -> None:
        for batch in batches:
            images = gathered([(read[number][1], index) for number, index in batch])
            ids = np.array([read[number][0].keys[index] for number, index in batch], np.uint64)
            found = [(read[number][2]["sets"], index) for number, index in batch]
            sets = None if found[0][0] is None else TokenSets.gathered(found)
            score_slices(images, ids, engine, preset, sets=sets)

    return sum(map(len, batches)) / min(timed(score, 0.5, least=1, warm=False))


def _write_series(folder: Path, voxels: NDArray[np.integer], affine: NDArray[np.float64]) -> None:
    """Axial MR slices as uncompressed DICOM, one file a slice."""
    from pydicom.uid import MRImageStorage, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    directions = lps[:3, :3] / spacing
    elements = {
        "SOPClassUID": MRImageStorage,
        "Modality": "MR",
        "SeriesInstanceUID": generate_uid(),
        "StudyInstanceUID": generate_uid(),
        "PatientID": folder.name,
        "SeriesNumber": 1,
        "PixelSpacing": _rounded(spacing[[1, 0]]),
        "SliceThickness": _rounded(spacing[2:])[0],
        "ImageOrientationPatient": _rounded(directions[:, :2].T.ravel()),
    }
    for index in range(voxels.shape[2]):
        image = voxels[:, :, index].T.astype("<i2")
        position = _rounded((lps @ [0, 0, index, 1])[:3])
        file = dicom_slice(image, position, **elements, InstanceNumber=index + 1)
        file.save_as(folder / f"{index:04d}.dcm", enforce_file_format=True)


def _rounded(values: NDArray[np.float64]) -> list[float]:
    """As many digits as a DICOM number holds."""
    return [float(f"{value:.8g}") for value in values]
