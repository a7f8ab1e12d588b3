"""Phantoms as files."""

from __future__ import annotations

import csv

import numpy as np
import pytest

pytest.importorskip("scipy")

from maescan.datasets.phantom import Look, write_phantom
from maescan.errors import ConfigError, DataError
from maescan.files import PARTIAL, claim
from maescan.folders import alone
from maescan.scans import axial_view, find_scans, read_scan

SMALL = (48, 48, 16)


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_same_seed_same_bytes(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_phantom(tmp_path / name, healthy=1, lesions=1, seed=seed, look=Look(kind="both", shape=SMALL))
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert files(tmp_path / "a")["healthy/brain_0000.nii.gz"] != files(tmp_path / "c")["healthy/brain_0000.nii.gz"]


def test_of_two_phantoms_in_one_folder_the_second_is_refused_and_halves_of_a_killed_one_go(tmp_path):
    """Both said that theirs was there, whichever files were whose."""
    half = tmp_path / "healthy" / f"{PARTIAL}x.nii.gz"
    claim(tmp_path, "phantom scans", mark=".maescan-phantom")
    half.parent.mkdir()
    half.write_bytes(b"half")
    with alone(tmp_path, ""), pytest.raises(DataError, match=r"another run is writing here .wait for it, or name"):
        write_phantom(tmp_path, healthy=1, lesions=0, seed=1, look=Look(shape=SMALL))
    write_phantom(tmp_path, healthy=1, lesions=0, seed=1, look=Look(shape=SMALL))
    assert not half.exists()


def test_labels_are_where_the_masks_are(tmp_path):
    write_phantom(tmp_path, healthy=1, lesions=3, seed=1, look=Look(shape=SMALL))
    labels = {}
    with open(tmp_path / "labels.csv", newline="") as stream:
        for row in csv.DictReader(stream):
            labels[row["scan"], int(row["slice"])] = int(row["label"])
    assert len(labels) == 4 * 16 and sum(labels.values()) > 0
    for source in find_scans([tmp_path / "masks"]):
        view, _ = axial_view(read_scan(source))
        found = [labels[f"lesions/{source.path.name}", z] for z in range(16)]
        assert found == view.any(axis=(1, 2)).astype(int).tolist()


def test_metaimage_is_the_same_scan(tmp_path):
    pytest.importorskip("SimpleITK")
    for name, mhd in (("nii", False), ("mhd", True)):
        write_phantom(tmp_path / name, healthy=1, lesions=0, seed=2, look=Look(kind="lung", mhd=mhd, shape=SMALL))
    nifti, meta = (read_scan(find_scans([tmp_path / name / "healthy"])[0]) for name in ("nii", "mhd"))
    assert np.array_equal(nifti.voxels, meta.voxels) and np.allclose(nifti.affine, meta.affine, atol=1e-3)


def test_unknown_kind(tmp_path):
    with pytest.raises(ConfigError, match="brain, lung, both"):
        write_phantom(tmp_path, healthy=1, lesions=1, seed=0, look=Look(kind="knee"))


def test_two_phantoms_are_not_mixed(tmp_path):
    """What a run says is what lies there: scans of another would be calibrated by, and trained on."""
    write_phantom(tmp_path / "out", healthy=2, lesions=1, seed=1, look=Look(shape=SMALL))
    labels = (tmp_path / "out" / "labels.csv").read_bytes()
    for healthy, lesions in ((1, 1), (2, 0), (1, 0), (3, 1)):
        with pytest.raises(DataError, match=r"of another phantom.*\(name an empty or a new"):
            write_phantom(tmp_path / "out", healthy=healthy, lesions=lesions, seed=1, look=Look(shape=SMALL))
    assert (tmp_path / "out" / "labels.csv").read_bytes() == labels
    for name in ("Thumbs.db", ".brain_0000.nii.gz"):
        (tmp_path / "out" / "healthy" / name).touch()
    write_phantom(tmp_path / "out", healthy=2, lesions=1, seed=2, look=Look(shape=SMALL))
    assert len(list((tmp_path / "out").rglob("brain*.nii.gz"))) == 4
    write_phantom(tmp_path / "out", healthy=2, lesions=1, seed=1, look=Look(shape=SMALL))
    assert (tmp_path / "out" / "labels.csv").read_bytes() == labels
