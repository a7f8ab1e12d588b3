"""A series that comes to a watch from a folder that holds another now was moved; else it is a copy."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.inputs import given
from helpers.series import write_slices
from maescan.options import ReadOptions
from maescan.results.rows import ScanRow
from maescan.scans import find_scans
from maescan.scoring.ledger import Ledger
from maescan.scoring.moved import look_for_moved


@pytest.fixture
def job(tmp_path):
    ledger = Ledger(tmp_path / "out", "job")
    yield SimpleNamespace(ledger=ledger, options=SimpleNamespace(read=ReadOptions()))
    ledger.close()


def known(job, inbox):
    """What the scans of an inbox are called that come one by one."""
    labels = {}
    for source in find_scans(inbox):
        look_for_moved(job, [source])
        row = job.ledger.know(source, source.identity)
        job.ledger.add(row, source.identity, ScanRow(row.label, np.ones(2), np.ones(2)))
        labels[source.path.relative_to(inbox).as_posix()] = row.label
    return labels


def test_series_whose_folders_swapped_names_keep_their_rows(job, tmp_path):
    """Each had a second row, and P1/3 was the score of what lies in P2 now."""
    inbox = tmp_path / "in"
    files = write_slices(inbox / "P1", range(3), uid="1.2.1", patient="A")
    files += write_slices(inbox / "P2", range(3), uid="1.2.2", patient="B")
    first = {"P1": "P1/3", "P2": "P2/3"}
    assert known(job, inbox) == first
    for old, new in (("P1", "P0"), ("P2", "P1"), ("P0", "P2")):
        (inbox / old).rename(inbox / new)
    for file in files:
        given(file)
    assert known(job, inbox) == {"P1": "P2/3", "P2": "P1/3"} == known(job, inbox)
    shutil.copytree(inbox / "P2", inbox / "P3")
    assert known(job, inbox) == {"P1": "P2/3", "P2": "P1/3", "P3": "P3/3"} and job.ledger.gone([]) == []
    (inbox / "P1").rename(inbox / "P2" / "sub")  # comes to a folder that was looked into before
    assert known(job, inbox)["P2/sub"] == "P2/3" and job.ledger.gone([]) == []


def test_a_series_whose_first_images_come_alone_is_still_itself(job, tmp_path):
    inbox = tmp_path / "in"
    files = write_slices(inbox / "P1", range(3), uid="1.2.1", patient="A")
    assert known(job, inbox) == {"P1": "P1/3"}
    shutil.copytree(inbox / "P1", inbox / "P2")
    assert known(job, inbox)["P2"] == "P2/3"
    (single,) = find_scans(files[0])
    look_for_moved(job, [single])
    assert job.ledger.know(single, "some").label == "P1/3"
