"""Bounds on what a header declares: the last size that passes and the first that does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from maescan.errors import ConfigError, ScanError
from maescan.scans import sizes

PATH = Path("scan.nii")


def refused(check, *values, match):
    with pytest.raises(ScanError, match=match):
        check(*values, PATH)


def test_shapes(monkeypatch):
    monkeypatch.setenv("MAESCAN_MAX_VOXELS", "120")
    assert sizes.check_shape((4, 5, 6), PATH) == 120
    refused(sizes.check_shape, (11, 11), match="declares 11 x 11 voxels, more than 120")
    for shape in ((), (4, 0, 6), (4, -5, -6)):
        refused(sizes.check_shape, shape, match="not positive")
    monkeypatch.delenv("MAESCAN_MAX_VOXELS")
    refused(sizes.check_shape, (2**40, 2**40), match=f"more than {2**30}")


def test_frames():
    sizes.check_frames(3, 16, PATH)
    refused(sizes.check_frames, 4, 16, match="declares 4 frames in a file of 16 bytes")
    refused(sizes.check_frames, 2**17 + 1, 2**40, match="it is a bomb")


def test_plain_lengths():
    sizes.check_length(100, 100, PATH)
    sizes.check_length(100, 100 + sizes.SLACK, PATH)
    refused(sizes.check_length, 100, 99, match="truncated: its header declares 100 bytes, it has 99")
    refused(sizes.check_length, 100, 101 + sizes.SLACK, match="65537 bytes more than its header declares")


def test_deflated_lengths():
    sizes.check_deflated(1032, 1, PATH)
    refused(sizes.check_deflated, 1033, 1, match="1 compressed bytes cannot hold the 1033")
    sizes.check_deflated(1000, 1010 + sizes.SLACK, PATH)
    refused(sizes.check_deflated, 1000, 1011 + sizes.SLACK, match="far more than the 1000")


def test_bombs():
    big = sizes.BOMB_BYTES + 144  # a multiple of 200
    sizes.check_packed(sizes.BOMB_BYTES, 1, PATH)
    sizes.check_packed(big, big // 200, PATH)
    for check in (sizes.check_packed, sizes.check_deflated):
        refused(check, big, big // 200 - 1, match="a decompression bomb")


def test_volumes():
    assert sizes.check_volume(1, None, PATH) == 0 and sizes.check_volume(3, 2, PATH) == 2
    refused(sizes.check_volume, 3, None, match="holds 3 volumes .*--volume 0 to 2")
    for volume in (-1, 3):
        refused(sizes.check_volume, 3, volume, match=f"has no volume {volume}")


@pytest.mark.parametrize("text", ["abc", "1e6", "-3", "0"])
def test_a_limit_of_the_environment_that_is_none_is_no_scans_fault(monkeypatch, text):
    monkeypatch.setenv("MAESCAN_MAX_VOXELS", text)
    with pytest.raises(ConfigError, match=rf"MAESCAN_MAX_VOXELS is '{text}' \(give a whole number"):
        sizes.check_shape((2, 2, 2), PATH)


def test_an_empty_limit_is_none(monkeypatch):
    monkeypatch.setenv("MAESCAN_MAX_VOXELS", "")
    assert sizes.check_shape((2, 2, 2), PATH) == 8
