"""The gate before an alert: is a scan of the kind that a bundle judges, by its tags and by its values?

A score means something beside scores of like scans alone. A chest CT in a brain MR bundle is scored and shown, but
gets no p-value and no alert; a label map is no scan and is passed over.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.decimals import counted
from maescan.errors import NoScanError, quoted
from maescan.method.lungs import LUNG_HU
from maescan.scans.dicom.kinds import PROJECTIONS
from maescan.scans.scan import Scan, missing_across

CT, MR = "CT", "MR"

BODY = {
    "brain": frozenset({
        "BRAIN", "BRAINSTEM", "CEREBELLUM", "CEREBRUM", "CIRCLEOFWILLIS", "HEAD", "HEADANDNECK", "HEADNECK",
        "HYPOTHALAMUS", "IAC", "INTRACRANIAL", "NEURO", "NEUROCRANIUM", "PITUITARY", "PONS", "POSTFOSSA",
        "POSTERIORFOSSA", "SELLA", "SKULL", "SKULLBASE", "THALAMUS", "WHOLEBODY",
    }),
    "chest": frozenset({
        "BRONCHUS", "CAP", "CHEST", "CHESTABD", "CHESTABDOMEN", "CHESTABDOMENPELVIS", "CHESTABDPELV",
        "CHESTABDPELVIS", "LUNG", "LUNGS", "MEDIASTINUM", "NECKCHEST", "NECKCHESTABDOMEN", "NECKCHESTABDPELV",
        "NECKCHESTABDPELVIS", "THORAX", "THORAXABDOMEN", "WHOLEBODY",
    }),
}  # fmt: skip
"""DICOM's BodyPartExamined that holds the organ, without blanks and marks: terms of PS3.16, Annex L (table L-1), of
parts of the organ and of what it lies in, and what scanners write in their place."""
MARKS = re.compile(r"[\W_]")

ORGANS = {"brats": "brain", "luna16": "chest"}
"""By how a preset's name begins."""

NOT_ANATOMY = {
    "a map of a quantity": frozenset({
        "ADC", "EADC", "FA", "FRACTIONAL_ANISO", "RELATIVE_ANISO", "VOLUME_RATIO", "DIFFUSION MAP", "DENSITY MAP",
        "T1 MAP", "T2 MAP", "T2_STAR MAP", "R2 MAP", "R2_STAR MAP", "CBF", "CBV", "RCBF", "RCBV", "RELCBF", "RELCBV",
        "MTT", "RELMTT", "TTP", "TMAX", "T_TEST", "Z_SCORE", "STD_DEVIATION", "QUANTITY",
        "MAT_SPECIFIC", "MAT_FRACTIONAL", "EFF_ATOMIC_NUM", "ELECTRON_DENSITY",
    }),
    "a projection of slices": PROJECTIONS,
    "a difference of images": frozenset({"SUBTRACTION", "MODULUS SUBTRACT", "PHASE SUBTRACT"}),
    "an image of phase": frozenset({"P", "PHASE", "PHASE MAP", "VELOCITY", "VELOCITY MAP"}),
}  # fmt: skip
"""What ImageType calls what no longer shows anatomy: terms of PS3.3 (C.8.3.1, C.8.13.3, C.8.15.3, C.8.16) and of
scanners."""
UNITS = {
    "MGML": "mg/ml",
    "Z_EFF": "atomic numbers",
    "ED": "electron densities",
    "EDW": "electron densities",
    "PCT": "%",
}
"""What RescaleType calls values of a CT that are no Hounsfield units: of maps of two energies (PS3.3, C.11.1.1.2)."""

AIR_HU = (-1100.0, -900.0)
LEAST_HU = -1e4
AIR_SHARE = 0.01
"""Share of voxels that a CT shows as air, at the least, also where the table is cut away."""

FEW_LABELS, MOST_LABELS, ALIKE = 16, 256, 0.7
"""No scan has so few values; up to MOST_LABELS it is a label map where most voxels are as their neighbours, which
noise makes differ in scans."""
FIRST_LOOK = 20_000  # voxels that tell most scans from label maps

LEVELS_8_BIT = 255


class Fit(enum.StrEnum):
    """ok: like training's scans; unlike: of the bundle's kind, but its values lie outside training's; other: of
    another kind, which is not judged."""

    ok = "ok"
    unlike = "unlike"
    other = "other"


def admit(scan: Scan, preset: Preset, accept: Collection[str] = ()) -> str:
    """`other_kind`, or why nobody can judge a scan of which slices are missing. Raises NoScanError for a label map,
    unless "labels" is accepted."""
    if "labels" not in accept and is_label_map(scan):
        raise NoScanError("is a label map", path=scan.path, remedy="if it is a scan, --accept labels")
    return other_kind(scan, preset) or _cut_through(scan)


def _cut_through(scan: Scan) -> str:
    """Why a scan with missing slices in another plane than the axial one is not judged: what was filled in looks like
    an anomaly, or hides one, in all that is scored. "" for others."""
    absent = missing_across(scan)
    if not absent:
        return ""
    run = "runs" if absent == 1 else "run"
    return f"{counted(absent, 'missing slice')} of another plane {run} through all of its axial slices"


def fit_of(other: str, unlike: Collection[str]) -> Fit:
    """From what `other_kind` and `Prepared.warnings` say."""
    return Fit.other if other else Fit.unlike if unlike else Fit.ok


def windowed(scan: Scan, unlike: Collection[str]) -> str:
    """Why a scan without tags whose values are unlike training's is none that can be judged: 256 levels are what an
    export for viewing leaves, and nothing says any more what was windowed, a CT or an MR. "" where that is not so."""
    if not unlike or scan.meta.get("Modality"):
        return ""
    some = _some(scan.voxels)
    if not np.array_equal(some, np.round(some)) or float(some.max()) - float(some.min()) > LEVELS_8_BIT:
        return ""
    return "it is stored in 8 bits, has no tags, and its values are unlike training's"


def other_kind(scan: Scan, preset: Preset) -> str:
    """Why a scan is not of the kind that a preset is for; "" where nothing says so."""
    expected = CT if preset.intensity.method == "hu" else MR
    modality = str(scan.meta.get("Modality", "")).upper()
    if modality and modality != expected:
        said = modality if len(modality) == 2 else quoted(modality)
        return f"its modality is {said}, the bundle judges {expected}"
    organ = next((organ for name, organ in ORGANS.items() if preset.name.startswith(name)), None)
    part = str(scan.meta.get("BodyPartExamined", "")).upper().strip()
    if organ and (plain := MARKS.sub("", part)) and plain not in BODY[organ]:
        return f"its body part is {quoted(part)}, the bundle judges the {organ}"
    if modality:
        return _no_anatomy(scan) or (_no_hounsfield(scan, organ) if expected == CT else "")
    hounsfield = holds_hounsfield(scan)
    if expected == MR and hounsfield:
        return "its values are Hounsfield units, the bundle judges MR"
    if expected == CT and not hounsfield:
        return "its values are not Hounsfield units, the bundle judges CT"
    return ""


def _no_anatomy(scan: Scan) -> str:
    terms = str(scan.meta.get("ImageType", "")).upper().split("\\")[2:]
    for what, names in NOT_ANATOMY.items():
        if term := next((term for term in terms if term in names), ""):
            return f"it is {what} ({term}), the bundle judges anatomy"
    return ""


def _no_hounsfield(scan: Scan, organ: str | None) -> str:
    """Why the values of a CT by its tags are none: its tags say so; a chest holds what is as dark as lung, and where
    nothing says how values are rescaled the air beside a patient tells."""
    if unit := UNITS.get(str(scan.meta.get("RescaleType", "")).upper().strip()):
        return f"its values are not Hounsfield units but {unit}, the bundle judges CT"
    low, high = sorted(float(end) * scan.slope + scan.intercept for end in (scan.voxels.min(), scan.voxels.max()))
    if low < LUNG_HU or not (organ == "chest" or scan.meta.get("unscaled")):
        return ""
    return f"its values are not Hounsfield units but {low:.0f} to {high:.0f}, the bundle judges CT"


def holds_hounsfield(scan: Scan) -> bool:
    """Whether part of a scan lies where CT shows air, and nothing under the least that CT's padding goes: -10,000, or
    one value of a scanner's own, such as -32,768."""
    raw, (low, high) = _some(scan.voxels), AIR_HU
    ends = sorted(float(end) * scan.slope + scan.intercept for end in (raw.min(), raw.max()))
    if not ends[0] <= high:  # as of any MR whose values are not negative
        return False
    values = raw.astype(np.float32) * scan.slope + scan.intercept
    seen = values >= LEAST_HU
    if not seen.any() or (values[~seen] != values.min()).any():
        return False
    return bool(((values[seen] >= low) & (values[seen] <= high)).mean() >= AIR_SHARE)


def is_label_map(scan: Scan) -> bool:
    """Whether the voxels are labels: few whole values, in areas of one value."""
    voxels = scan.voxels
    some = _some(voxels)
    few = some[:: max(1, some.size // FIRST_LOOK)]
    if not _whole(few) or len(np.unique(few)) > MOST_LABELS or not _whole(some):
        return False
    values, counts = np.unique(some, return_counts=True)
    if not FEW_LABELS < len(values) <= MOST_LABELS:
        return 2 <= len(values) <= FEW_LABELS
    tissue = voxels != values[counts.argmax()]
    return all(_repeats(voxels, tissue, axis) for axis in range(3)) and bool(tissue.any())


def _repeats(voxels: NDArray[np.generic], tissue: NDArray[np.bool_], axis: int) -> bool:
    """Whether tissue along an axis is mostly as its neighbour is, as in areas of one label; also where it has none.
    Along one axis so is a scan that came to a finer grid by copies of its voxels."""
    voxels, tissue = np.moveaxis(voxels, axis, 0), np.moveaxis(tissue, axis, 0)
    inside = tissue[1:] | tissue[:-1]
    same = (voxels[1:] == voxels[:-1])[inside]
    return not same.size or bool(same.mean() >= ALIKE)


def _whole(values: NDArray[np.generic]) -> bool:
    return values.dtype.kind in "biu" or np.array_equal(values, np.round(values))


def _some(voxels: NDArray[np.generic], most: int = 2_000_000) -> NDArray[np.generic]:
    """The voxels [N], in any order, of slices along the longest axis, evenly apart: about `most` or fewer."""
    step = max(1, voxels.size // most)
    axis = int(np.argmax(voxels.shape))
    return np.moveaxis(voxels, axis, 0)[::step].ravel(order="K")
