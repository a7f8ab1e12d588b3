from __future__ import annotations

import pytest

from helpers.bundles import SMALL
from maescan.benchmark import weights


@pytest.fixture(scope="package")
def images(tmp_path_factory):
    return weights.slices_of_a_phantom(SMALL, tmp_path_factory.mktemp("phantom"), 8)


@pytest.fixture(scope="package")
def bundle(tmp_path_factory, images):
    pytest.importorskip("timm")
    return weights.random_bundle(SMALL, tmp_path_factory.mktemp("random"), ("fp32",), images)
