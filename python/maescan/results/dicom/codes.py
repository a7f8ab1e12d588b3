"""The codes of what is said: standard ones where there are any, else maescan's own, with its meaning in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.sr.coding import Code

SCHEME = "99MAESCAN"
REGIONS = {"brain": "Brain", "chest": "Chest"}


def own(value: str, meaning: str) -> Code:
    """A code of maescan's own. value: at most 16 characters."""
    from pydicom.sr.coding import Code

    return Code(value, SCHEME, meaning)


QUANTITIES = {
    "difference": "Absolute difference of scan and reconstruction",
    "probability": "Probability of an anomaly",
    "score": "Mean anomaly score of the patches around",
}


def map_quantity(units: str) -> Code:
    """What a map's values are. units: as `method.heat.units` says them, or "score" of CT patches."""
    value = units if units in QUANTITIES else "difference"
    return own(value, QUANTITIES[value])


def map_unit(units: str) -> Code:
    """The unit of a map's values, by UCUM."""
    from pydicom.sr.coding import Code

    value, meaning = ("10*2.[hnsf'U]", units) if units == "hundreds of HU" else ("1", "no units")
    return Code(value, "UCUM", meaning)


def map_values(units: str) -> str:
    """The same for people, at most 64 characters."""
    return QUANTITIES.get(units, f"|scan - reconstruction|, {units}")


def region(body_part: str, organ: str) -> Code:
    """Of SNOMED CT, for what a header calls by DICOM's word; else the part that the bundle judges, or "Body"."""
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    words = {"BRAIN": "Brain", "HEAD": "Head", "CHEST": "Chest", "LUNG": "Lung", "ABDOMEN": "Abdomen", "NECK": "Neck"}
    name = words.get(body_part.upper(), "" if body_part else REGIONS.get(organ, ""))
    if name and hasattr(codes.SCT, name):
        found: Code = getattr(codes.SCT, name)
        return found
    return Code("38266002", "SCT", "Entire body")
