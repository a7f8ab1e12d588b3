"""A tree of scans in which every name, and every text inside, holds a marker: what of it comes out must not."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

import nibabel
import numpy as np

from helpers.scan_files import dicom_slice
from helpers.scoring_stub import write_scan

MARK = "SMITH^JO-ZQX4711"
BESIDE = "mark 4820-7 1970-01-02"
"""Words and numbers that maescan knows: the beginning of a damaged file's name, beside good ones."""
WORDS = ("smith", "zqx4711", BESIDE)
ITK = f"ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = %s\nElementDataFile = %s\n{MARK} = {MARK}\n"
NRRD = "NRRD0004\ntype: %s\ndimension: 3\nsizes: 4 4 4\nencoding: %s\n\n"
TEXTS = {
    "-bad.nii": MARK * 100,
    ".mif": MARK,
    ".txt": MARK,
    "-no.img": MARK,
    "-z.zip": f"PK{MARK}",
    ".mhd": ITK % ("MET_SHORT", f"{MARK}.raw"),
    "-out.mhd": ITK % ("MET_SHORT", f"../../{MARK}.raw"),
    "-type.mhd": ITK % (MARK, "LOCAL"),
    ".nrrd": NRRD % ("short", MARK),
    "-type.nrrd": NRRD % (MARK, "raw"),
}
"""Files that are no scans, each for a reason of its own."""
PLACE = np.diag([10.0, 10, 5, 1])


def write_marked(folder: Path) -> Path:
    """Writes the tree, and returns its root."""
    root = folder / MARK
    write_scan(root / MARK / f"{MARK}.nii", 1)
    write_scan(root / f"{MARK}.nii.gz", 2)
    write_scan(root / f"{MARK}-left.nii", 9)
    _series(root / f"{MARK}-dcm", range(6), uid="1.2.9")
    _series(root / f"{MARK}-gap", [0, 1, 2, 5, 6], uid="1.2.10")
    _series(root / f"{MARK}-kind", range(5), uid="1.2.11", Modality="SMITH")
    _series(root / f"{MARK}-colour", range(5), uid="1.2.12", PhotometricInterpretation="SMITH JOHN")
    for end, text in TEXTS.items():
        (root / f"{MARK}{end}").write_text(text)
    (root / f"{MARK}-dcm" / f"{BESIDE} {MARK}.dcm").write_bytes(b"\0" * 128 + b"DICM" + MARK.encode() * 10)
    (root / f"{MARK}-bad.dcm").write_bytes(b"\0" * 128 + b"DICM" + MARK.encode() * 10)
    _arrays(root)
    with zipfile.ZipFile(root / f"{MARK}.zip", "w") as made:
        made.write(root / f"{MARK}.nii.gz", f"{MARK}/{MARK}-in.nii.gz")
        made.writestr(f"{MARK}/{MARK}-bad.nii.gz", MARK)
    with zipfile.ZipFile(root / f"{MARK}-deep.zip", "w") as made:
        made.write(root / f"{MARK}.zip", f"{MARK}.zip")
    os.mkfifo(root / f"{MARK}-pipe.nii")
    (root / f"{MARK}-l.nii").symlink_to(f"/nowhere/{MARK}")
    (root / f"{MARK}-ring").symlink_to(root)
    (root / f".{MARK}").write_text(MARK)
    return root


def _series(folder: Path, numbers: Iterable[int], *, uid: str, **more: str) -> None:
    folder.mkdir(parents=True)
    named = dict.fromkeys(("PatientID", "PatientName", "AccessionNumber", "SeriesDescription", "StudyID"), MARK)
    for number in numbers:
        values = np.random.default_rng(number).integers(200, 900, (24, 24)).astype(np.uint16)
        tags = {"Modality": "MR", **named, "SeriesInstanceUID": uid, "StudyInstanceUID": f"{uid}.1", **more}
        place = {"InstanceNumber": number + 1, "PixelSpacing": [10, 10]}
        path = folder / f"{MARK}-{number:03d}"
        dicom_slice(values, (0, 0, 5.0 * number), **tags, **place).save_as(path, enforce_file_format=True)


def _arrays(root: Path) -> None:
    labels = np.zeros((24, 24, 6), np.uint8)
    labels[4:9, 4:9], labels[12:14] = 1, 2
    nibabel.Nifti1Image(labels, PLACE).to_filename(root / f"{MARK}_seg.nii.gz")
    empty = np.full((24, 24, 6), np.nan, np.float32)
    nibabel.Nifti1Image(empty, PLACE).to_filename(root / f"{MARK}_nan.nii.gz")
    voxels = np.random.default_rng(5).integers(200, 900, (24, 24, 6), dtype=np.int16)
    image = nibabel.Nifti1Image(voxels, PLACE)
    for name in ("descrip", "aux_file", "db_name"):
        image.header[name] = MARK
    image.to_filename(root / f"{MARK}_header.nii")


def leaks(*places: Path) -> list[str]:
    """Files below `places` that hold a part of the marker in their names or bytes."""
    files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*"))]
    texts = {
        file: (f"{file.name} ".encode() + (file.read_bytes() if file.is_file() else b"")).lower() for file in files
    }
    return [f"{file}: {word}" for file, text in texts.items() for word in WORDS if word.encode() in text]
