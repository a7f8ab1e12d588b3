from __future__ import annotations

import pytest

from helpers.tiny_ablation import SMALL, half_ill
from maescan.train.ablations import Design, ablate


@pytest.fixture(scope="package")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("ablate")
    return out, ablate(half_ill(), "table2b", SMALL, out, Design(seeds=(0, 1), folds=2, device="cpu"))
