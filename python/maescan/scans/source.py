"""What was found and not yet read, and what was passed over: every file given is one or the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from maescan.errors import PictureError, ScanError

EXTENSIONS = {
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".nii.bz2": "nifti",
    ".nii.xz": "nifti",
    ".nii.zst": "nifti",
    ".hdr": "nifti",
    ".hdr.gz": "nifti",
    ".mhd": "metaimage",
    ".mha": "metaimage",
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",
    ".mgh": "mgh",
    ".mgz": "mgh",
    ".mnc": "minc",
    ".zip": "zip",
    ".dcm": "dicom",
    ".ima": "dicom",
    ".dcm.gz": "dicom",
    ".ima.gz": "dicom",
}
UNREAD = {
    **dict.fromkeys((".mif", ".mif.gz", ".mih"), "is an MRtrix image: convert it to NIfTI with mrconvert"),
    **dict.fromkeys((".par", ".rec"), "is half of a Philips PAR/REC image: convert it to NIfTI with dcm2niix"),
    **dict.fromkeys((".head", ".brik", ".brik.gz"), "is half of an AFNI image: convert it with 3dAFNItoNIFTI"),
    **dict.fromkeys((".gipl", ".gipl.gz", ".vtk", ".vti"), "is no kind of image that is read: convert it to NIfTI"),
    **dict.fromkeys((".img", ".img.gz", ".img.bz2"), "is half of a pair: its .hdr is not beside it"),
    **dict.fromkeys((".raw", ".zraw", ".raw.gz"), "holds voxels without a header, or its header names another file"),
    **dict.fromkeys((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".7z", ".rar", ".tar.xz"), "is an archive: unpack it"),
    **dict.fromkeys((".mnc.gz", ".nrrd.gz", ".mha.gz", ".zst", ".bz2", ".xz", ".gz"), "is compressed: unpack it"),
}
"""Endings that scans have and that nobody here reads, with what is to be said of them; longer ones first."""

TEXTS = (".tsv", ".csv", ".txt", ".json", ".log", ".xml")
"""Endings of what lies beside scans and is none, however it is compressed: recordings of BIDS are .tsv.gz."""

READ = "NIfTI, DICOM, MetaImage, NRRD, MGH and MINC are read"
Why = Literal["result", "unread", "other", "hidden", "output", "link", "labels", "picture", "excluded"]
LOOKED_INTO: tuple[Why, ...] = ("labels", "picture")
"""Why what was taken for a scan is passed over once it is read; a search tells the rest."""


@dataclass(frozen=True)
class ScanSource:
    """A scan that was found and not yet read.

    name: its label, unique among the scans found together: the path below the folder that was searched; of a DICOM
    series FOLDER/NUMBER-DESCRIPTION (`scans.labels`). path: the file, or the folder of a series.
    files: all that it is read from (for a .zip, the .zip; `members` are the files inside it). identity: of a DICOM
    series, a hash of what makes it one (patient, study, series, frame of reference, which of its volumes). patient: a
    hash of its PatientID; "" where that says nothing.
    fault: why it cannot be read, where that is known already; notes: warnings that its scan begins with.
    incomplete: files that seem to be of the same series cannot be read. localizer: so its header says.
    """

    name: str
    path: Path
    format: str
    files: tuple[Path, ...]
    series_uid: str = ""
    members: tuple[str, ...] = ()
    identity: str = ""
    patient: str = ""
    fault: ScanError | None = None
    notes: tuple[str, ...] = ()
    incomplete: bool = False
    localizer: bool = False

    @property
    def picture(self) -> bool:
        """Whether it is known to show no volume of anatomy, and is passed over where nobody accepts it."""
        return self.localizer or isinstance(self.fault, PictureError)


@dataclass(frozen=True)
class PassedOver:
    """A file or folder that was given and is no scan. name: as a scan's. reason: one line that follows the name.

    why: 'result' (DICOM that is no image of a patient), 'unread' (a scan of a kind that is not read), 'link' (to what
    is searched already), 'output' (written by maescan), 'hidden', 'labels' (a label map), 'picture' (images that
    show no volume: a localizer, a projection, a screenshot), 'excluded' (by --include or --exclude), or 'other'."""

    name: str
    path: Path
    why: Why
    reason: str


def format_of(path: Path) -> str | None:
    """The format that a file's extension promises."""
    name = path.name.lower()
    return next((kind for end, kind in EXTENSIONS.items() if name.endswith(end) and name != end), None)


def unread(path: Path) -> str:
    """What is to be said of a file whose ending is that of a scan that nobody here reads; '' for other files."""
    name = path.name.lower()
    if name.rpartition(".")[0].endswith(TEXTS):
        return ""
    return next((text for end, text in UNREAD.items() if name.endswith(end) and name != end), "")
