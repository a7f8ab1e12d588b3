"""Slices out of order are noted, and no healthy phantom's are."""

from __future__ import annotations

import numpy as np
import pytest

from maescan.config import PRESETS
from maescan.datasets.phantom import make_phantom, write_phantom, write_scan
from maescan.method.order import out_of_order
from maescan.method.preprocess import prepare
from maescan.scans import find_scans, read_scan


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder, healthy=3, lesions=3, seed=5)
    return [
        prepare(read_scan(source), PRESETS["tiny-fast"])
        for source in find_scans([folder / "healthy", folder / "lesions"])
    ]


def orders(count):
    upward = np.arange(count)
    return {
        "random": np.random.default_rng(0).permutation(count),
        "as names sort": np.array(sorted(upward, key=lambda number: str(number + 1))),
        "in turns": np.stack([upward[: count // 2], upward[count // 2 :]], axis=1).ravel(),
    }


def test_slices_in_order_are_not_noted(phantoms):
    assert [out_of_order(made.images) for made in phantoms] == [()] * len(phantoms)
    assert not any("order" in note for made in phantoms for note in made.notes)
    assert out_of_order(np.zeros((20, 64, 64), np.float32)) == ()
    assert out_of_order(np.random.default_rng(0).random((20, 64, 64), np.float32)) == ()  # noise has no order


@pytest.mark.parametrize("which", ["random", "as names sort", "in turns"])
def test_slices_out_of_order_are(phantoms, which):
    for made in phantoms:
        (note,) = out_of_order(made.images[orders(len(made.images))[which]])
        assert note.startswith("at ") and note.endswith("they may be out of order, look at it")


def test_a_scan_out_of_order_says_so(tmp_path):
    made = make_phantom("brain", 0, 5, ill=False)
    voxels = made.voxels[..., orders(made.voxels.shape[2])["random"]]
    write_scan(tmp_path / "scan.nii.gz", voxels, made.affine)
    (note,) = prepare(read_scan(tmp_path / "scan.nii.gz"), PRESETS["tiny-fast"]).notes
    assert note.endswith("out of order, look at it")
