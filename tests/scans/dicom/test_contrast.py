"""Slices of another contrast at other places are another scan."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.scan_files import VALUES, enhanced, write_series
from maescan.errors import ScanError
from maescan.scans import find_scans, read_scan
from maescan.scans.dicom.contrast import by_contrast

OTHER = "its series has slices of another EchoTime at other places: 20, 80"


@pytest.mark.parametrize(
    ("values", "parts", "notes"),
    [
        (["20"] * 6, [range(6)], ()),
        (["20", "80"] * 3, [(0, 2, 4), (1, 3, 5)], (OTHER,)),
        (["20", "20.3"] * 3, [range(6)], ()),  # jitters
        (["10", "20", "30", "40", "50", "60"], [range(6)], ()),  # one a slice tells nothing
        (["20"] * 5 + ["80"], [range(6)], ("its slices differ in EchoTime: 20, 80",)),
        (["20"] * 3 + [""] * 3, [range(6)], ()),
    ],
)
def test_echo_times(values, parts, notes):
    found = by_contrast({"EchoTime": values}, len(values))
    assert [tuple(places) for places, _ in found] == [tuple(part) for part in parts]
    assert {told for _, told in found} == {notes}


def test_two_tags_that_differ():
    echoes, times = ["20"] * 4 + ["80"] * 4, ["5", "5", "900", "900"] * 2
    found = by_contrast({"EchoTime": echoes, "InversionTime": times}, 8)
    assert [places for places, _ in found] == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_two_contrasts_at_places_in_turns(tmp_path):
    for k in range(12):
        tags = {"EchoTime": (20, 80)[k % 2], "AcquisitionNumber": 1 + k % 2, "Modality": "MR"}
        write_series(tmp_path, VALUES[:1] + k % 2, depths=[k], first=k, **tags)
    sources = find_scans(tmp_path)
    assert [source.notes for source in sources] == [(OTHER,)] * 2
    assert [np.ptp(read_scan(source).voxels) == np.ptp(VALUES[0]) for source in sources] == [True, True]


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "ImageType: ORIGINAL, DERIVED"),
        ({"AcquisitionNumber": 2}, "AcquisitionNumber: 1, 2"),
    ],
)
def test_what_another_acquisition_adds_is_noted(tmp_path, tags, told):
    write_series(tmp_path, AcquisitionNumber=1)
    write_series(tmp_path, depths=range(6, 12), first=6, **{"AcquisitionNumber": 1, **tags})
    (source,) = find_scans(tmp_path)
    assert source.notes == (f"its slices differ in {told}",)


def test_two_halves_of_two_echoes_make_no_volume(tmp_path):
    write_series(tmp_path, EchoTime=20)
    write_series(tmp_path, VALUES[:3], first=6, EchoTime=50)
    write_series(tmp_path, VALUES[3:], depths=range(3, 6), first=9, EchoTime=80)
    sources = find_scans(tmp_path)
    assert [len(source.files) for source in sources] == [6, 3, 3]
    assert all("holds 3 slices where another volume of its series holds 6" in s.notes for s in sources[1:])


def test_frames_of_two_echoes_in_turns_are_two_volumes(tmp_path):
    from pydicom import dcmread

    path = enhanced(tmp_path / "a.dcm")
    dataset = dcmread(path)
    for k, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        frame.MREchoSequence[0].EffectiveEchoTime = (20.0, 80.0)[k % 2]
    dataset.save_as(path)
    with pytest.raises(ScanError, match="holds 2 volumes"):
        read_scan(path)
    assert np.array_equal(read_scan(path, volume=1).voxels, VALUES[1::2].transpose(2, 1, 0))
