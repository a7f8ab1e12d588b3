"""What says that scans are ill where healthy ones are asked for: names of folders, labels.csv, masks/, and what is
drawn on scans in a kind that is not read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path, PurePosixPath

from maescan.datasets.members import LABELS, read_labels
from maescan.datasets.subjects import stem_of
from maescan.errors import DataError, quoted, typed
from maescan.scans.find import Found
from maescan.scans.source import PassedOver

_ILL = re.compile(
    r"(?:un-?healthy|ill|abnormals?|anomal(?:y|ies|ous)|lesions?|diseased?|patholog(?:y|ies|ical)|defects?|positives?"
    r"|tumou?rs?|cancers?|gliomas?|meningiomas?|metastas[ei]s|strokes?|[hl]gg)"
)
_HEALTHY = re.compile(r"(?:good|healthy|normals?|controls?|hc|negatives?|no(?:[_-]?(?:tumou?rs?|lesions?))?)")
_STUDIES = re.compile(r"(?:^|/)(?:brats(?:\d\d|20\d\d)?[-_]|upenn-gbm-|ucsf-pdgm-)", re.IGNORECASE)
"""Names of scans of public studies in which everybody has a tumour."""
MASKS = re.compile(
    r"masks?|labels?(?:tr|ts|val)?|segs?|segmentations?|annotations?|gt|ground[_-]?truth|rois?|seg-lungs[\w-]*"
)
"""What folders of masks and of other label maps are called, in small letters."""
_NEITHER = re.compile(r"train(?:ing)?|test(?:ing)?|val(?:id(?:ation)?)?|derivatives|rawdata|sourcedata|masks")


def refuse_ill(path: Path, scans: Iterable[str], *, beside: bool = True) -> None:
    """Raises DataError where the name of a folder says that scans, named by their path below `path`, are ill:
    lesions/, abnormal/, or with `beside` `path` itself and any folder next to healthy/ or normal/; or where they are
    called as those of a study of tumours."""
    scans = list(scans)
    if tumour := next((scan for scan in scans if _STUDIES.search(scan)), None):
        reason = "is called as scans of BraTS, UPENN-GBM or UCSF-PDGM are, all of tumours, and nothing says otherwise"
        label = "" if path.is_file() else f"label all in {typed(path / LABELS)}, or "
        raise DataError(reason, path=path / tumour, remedy=f"{label}leave them out")
    folders = sorted({folder for scan in scans for folder in PurePosixPath(scan).parents})
    healthy = {folder.parent: folder for folder in folders if _HEALTHY.fullmatch(_plain(folder.name))}
    for folder in folders:
        name, place = _plain(folder.name), path / folder
        known = healthy.get(folder.parent) if beside and folder.name else None
        if not folder.name and beside:
            name = _called(path)
        if _ILL.fullmatch(name):
            reason = "is called as a folder of scans with lesions is, and nothing says which of them are healthy"
        elif known and not (_called_healthy(name) or _NEITHER.fullmatch(name)):
            reason = f"lies beside {known.name}/, and nothing says whether its scans are healthy"
        else:
            continue
        other = next(iter(healthy.values()), None)
        alone = f"give the healthy scans alone{f', {typed(path / other)}' if other else ''}"
        remedy = f"{alone}, or label all in {typed(path / LABELS)}"
        if packed := next((at for at in (place, *place.parents) if at.is_file()), None):
            remedy = f"unpack {typed(packed)} and give the healthy scans alone"
        raise DataError(reason, path=place, remedy=remedy)


def _called(path: Path) -> str:
    """A folder's name as it is typed; that of what a link leads to where the link's says nothing."""
    typed_, real = (_plain(Path(of(path)).name) for of in (os.path.abspath, os.path.realpath))
    return typed_ if _ILL.fullmatch(typed_) or _called_healthy(typed_) else real


def _plain(name: str) -> str:
    """What a folder is called, or a .zip, which is a folder of scans too."""
    return name.lower().removesuffix(".zip")


def _called_healthy(name: str) -> bool:
    """healthy/, and healthy-2/."""
    found = _HEALTHY.match(name)
    return found is not None and not name[found.end() :][:1].isalpha()


def refuse_drawn(path: Path, passed_over: Iterable[PassedOver], bare: Collection[str], *, masks: bool) -> None:
    """Raises DataError where what is drawn on scans below `path` would be left out of account: what lies in a folder
    of masks and is no mask that is read, as its kind or the name of a scan says; and where scans (`bare`) are taken
    for healthy as no label and no mask says otherwise, segmentations and contours in DICOM, and a folder of masks of
    which nothing is read (`masks`: some are)."""
    passed = list(passed_over)
    inside = [item for item in passed if _among_masks(item)]
    named = {key for name in bare for key in (stem_of(name), PurePosixPath(stem_of(name)).name)}
    if item := next((item for item in inside if item.why in ("result", "unread") or named & _keys(item)), None):
        raise DataError(f"lies among masks, and {item.reason}", path=item.path, remedy=_NO_MASK)
    if not bare:
        return
    label = f"label all in {typed(path / LABELS)}, or move it out if it marks no lesions"
    empty = None if masks else next((item.path.parent for item in inside), _folder_of_masks(path))
    if empty:
        reason = "holds no mask that is read, and without one all scans would be taken as healthy"
        raise DataError(reason, path=empty, remedy=f"write masks as NIfTI into a folder called masks; or {label}")
    if item := next((item for item in passed if item.why == "result" and _DRAWN.search(item.reason)), None):
        reason = f"{item.reason}: what it is drawn on may not be healthy, and it is not read"
        raise DataError(reason, path=item.path, remedy=f"write it as NIfTI into a folder called masks; or {label}")


_NO_MASK = "write the mask as NIfTI (.nii.gz) on its scan's own grid, or move this out of the folder"
_DRAWN = re.compile(r"\b(?:Segmentation|Structure Set|SEG|RTSTRUCT)\b")
"""What a DICOM object is called that marks places of an image."""


def _among_masks(item: PassedOver) -> bool:
    folders = PurePosixPath(item.name.lower()).parts[:-1]
    named = any(MASKS.fullmatch(folder) for folder in folders if folder != "label")  # FreeSurfer's, of parcels
    return named and item.why in ("result", "unread", "other")


def _keys(item: PassedOver) -> set[str]:
    """The scan that it would be the mask of: its own path or name, with and without what may be an ending."""
    own = PurePosixPath(*(part for part in PurePosixPath(item.name).parts if not MASKS.fullmatch(part.lower())))
    return {str(own), stem_of(str(own.with_suffix("")))}


def _folder_of_masks(path: Path) -> Path | None:
    return next((place for place in sorted(path.rglob("masks")) if place.is_dir()), None)


def refuse_reference(path: Path, found: Found, wants: Callable[[str], bool]) -> None:
    """Raises DataError where a folder or .zip that is given as one of healthy scans says itself that some of those
    chosen of it are not: by labels.csv, by masks/ of lesions, read or not, or by a folder's name, also in a .zip.
    found: what was found, without scans that are not wanted; wants: whether one is, by its name."""
    sources = found.sources
    own = [source for source in sources if (path.is_dir() or source.members) and source.files[0].is_relative_to(path)]
    names = [source.files[0].joinpath(*source.members[:1]).relative_to(path) for source in own]
    if own and (path / LABELS).is_file():
        known = {source.name for source in own} | {name.as_posix() for name in names}
        if ill := sorted({row.scan for row in read_labels(path / LABELS) if row.label == 1 and row.scan in known}):
            more = f", and {len(ill) - 1} more" if len(ill) > 1 else ""
            raise DataError(f"calls {quoted(ill[0])} abnormal{more}", path=path / LABELS, remedy=_ALONE)
        return
    passed = [item.path for item in found.passed_over if _among_masks(item) and wants(item.name)]
    drawn = (file.relative_to(path) for file in passed if file.is_relative_to(path))
    if mask := next((name for name in (*names, *drawn) if "masks" in name.parts[:-1]), None):
        raise DataError("is a mask of a lesion: its scan is not healthy", path=path / mask, remedy=_ALONE)
    refuse_ill(path, (name.as_posix() for name in names))


_ALONE = "give a folder of the healthy scans alone"
