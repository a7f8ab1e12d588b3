"""Whom scans are of, by their names: what keeps a patient's scans on one side of a split."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maescan.scans.source import EXTENSIONS

_SUBJECT = re.compile(r"(?:^|/)sub-[^/_]+(?=[/_])")
_BESIDE = re.compile(r"(?:^|(?<=/))(?:(?:rawdata|sourcedata|derivatives)/(?:.*/)?|ses-[^/]+/)(?=sub-)")
_STUDIES = re.compile(
    r"(?<![0-9A-Za-z])(?:sub-)?(IXI\d{3}|OAS[12]_\d{4}|OAS[34]\d{4}|\d{3}_S_\d{4,5}|BraTS-[A-Za-z]+-\d{5}"
    r"|UPENN-GBM-\d{5}|UCSF-PDGM-\d{3,4}|TCGA-[0-9A-Z]{2}-[0-9A-Z]{4}|(?<![^/])\d{6}(?=_[37]T_|_V\d_|/(?:T1w|MNINonLinear)/)"
    r"|(?:training|test)\d\d(?=_\d\d_))(?![0-9A-Za-z])"
)
"""Subjects of IXI, OASIS, ADNI, BraTS from 2023 on, UPENN-GBM, UCSF-PDGM, TCGA, HCP and ISBI 2015."""
_FREESURFER = re.compile(r"(.+)/mri/(?:orig/)?[^/]+\.mgz")
_CHANNEL = re.compile(r"((?:.*/)?images(?:Tr|Ts|Val)/(?:.*/)?[^/]*\d[^/]*)_000\d")
_CONTRAST = "t1|t1w|t1n|t1c|t1ce|t1gd|t1post|t1wce|t2|t2w|t2f|t2star|flair|pd|pdw|mprage|swi|dwi|adc|mra|gd"
_VISIT = r"(?:ses|session|visit|tp|timepoint)[_-]?\d+|baseline|follow[_-]?up\d*"
_PART = re.compile(f"(?:{_CONTRAST}|{_VISIT})", re.IGNORECASE)
_OWN_VISIT = re.compile(r"(?:ses|session|visit)[_-]?\d{3,}", re.IGNORECASE)
"""Nobody comes as often: in session_001/brain.nii.gz it is all that tells whose scan it is."""
_CONTRAST_END = re.compile(f"(.+)[ ._-](?:{_CONTRAST})", re.IGNORECASE)
_VISIT_END = re.compile(rf"(.*\d.*)[ ._-](?:{_VISIT})", re.IGNORECASE)


def subjects_of(scans: ArrayLike, whose: ArrayLike | None = None) -> NDArray[np.str_]:
    """Whom each scan [N] is of: as `whose` [N] says, where it does; by BIDS's names the subject
    (site/sub-01/ses-2/anat/...: site/sub-01), who may have been scanned twice (ses-2/sub-01/... too), and whose scans
    may lie in derivatives/ too; by the names of public studies, of nnU-Net and of FreeSurfer; else by the path
    without the contrasts and visits that its folders are called by (a/T1/), or its file's name ends in (a_T1,
    a_followup). Of other names nothing is known, and each scan is taken for a patient's only one."""
    names, place = np.unique(np.asarray(scans, str), return_inverse=True)
    named = np.asarray([_subject(name) for name in names.tolist()], str)[place]
    return named if whose is None else np.where(np.asarray(whose, str) == "", named, np.asarray(whose, str))


def named_subject(name: str) -> str:
    """Whom a scan is of by the names of BIDS or of a public study, whatever it says itself; "" for other names.

    >>> print(named_subject("sourcedata/sub-01/ses-1/1-T1"), named_subject("TCGA-02-0001_T1.nii"))
    sub-01 TCGA-02-0001
    """
    if known := _STUDIES.search(name):
        return known[1]
    subject = _SUBJECT.search(name)
    return _BESIDE.sub("", name[: subject.end()]) if subject else ""


@cache
def _subject(name: str) -> str:
    if named := named_subject(name):
        return named
    if known := _FREESURFER.fullmatch(name):
        return known[1]
    if known := _CHANNEL.fullmatch(stem_of(name)):
        return known[1]
    *folders, file = stem_of(name).split("/")
    while shorter := _shorter(file):
        file = shorter
    kept = [part for part in (*folders, file) if not _PART.fullmatch(part)]
    if folders and _OWN_VISIT.fullmatch(folders[0]) and not re.search(r"\d", "/".join(kept)):
        kept = [folders[0], *kept]
    return "/".join(kept) or stem_of(name)


def _shorter(file: str) -> str:
    """A file's name without the contrast or the visit at its end; "" where it has none, or where no number is left
    that would tell whose visit it is."""
    contrast, visit = _CONTRAST_END.fullmatch(file), _VISIT_END.fullmatch(file)
    return contrast[1] if contrast else visit[1] if visit else ""


def stem_of(name: str) -> str:
    """A scan's name without the ending of its format.

    >>> print(stem_of("a/b.nii.gz"))
    a/b
    """
    end = next((end for end in sorted(EXTENSIONS, key=len, reverse=True) if name.lower().endswith(end)), "")
    return name[: len(name) - len(end)]


def contrast_of(name: str) -> str:
    """The contrast that a scan's name ends in, or its folder has; "" for none.

    >>> print(contrast_of("a_T1w.nii.gz"), contrast_of("T2/a.nii"))
    t1w t2
    """
    *folders, file = stem_of(name).lower().split("/")
    found = re.search(f"(?:^|[ ._-])({_CONTRAST})$", file)
    return found[1] if found else next((f for f in reversed(folders) if re.fullmatch(_CONTRAST, f)), "")
