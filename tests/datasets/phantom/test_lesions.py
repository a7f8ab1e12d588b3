"""Lesions of phantoms."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")

from maescan.datasets.phantom import make_phantom, write_phantom

SMALL = (48, 48, 16)


def test_a_lesion_can_be_seen():
    for kind in ("brain", "lung"):
        ill, well = (make_phantom(kind, 0, 5, ill=sick, shape=SMALL) for sick in (True, False))
        change = np.abs(ill.voxels[ill.mask].astype(float) - well.voxels[ill.mask].astype(float)).mean()
        assert ill.mask.any() and not well.mask.any()
        assert change > 0.15 * (np.percentile(well.voxels, 99) - well.voxels.min())


@pytest.mark.slow
def test_nothing_trivial_gives_lesions_away(tmp_path):
    from maescan import datasets
    from maescan.config import preset
    from maescan.evaluate.baselines import trivial_baselines

    write_phantom(tmp_path, healthy=6, lesions=12, seed=1)
    found = trivial_baselines(datasets.load(tmp_path, preset("tiny")))
    assert max(auroc for auroc, _ in found.values()) < 0.65, found
