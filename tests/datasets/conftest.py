from __future__ import annotations

import shutil

import pytest

from helpers.trees import write_luna16_tree
from maescan import datasets
from maescan.config import preset
from maescan.datasets.phantom import Look, write_phantom

TINY = preset("tiny")


@pytest.fixture(scope="package")
def made(tmp_path_factory):
    """(a tree of 5 scans, its cache)."""
    root = tmp_path_factory.mktemp("prepared")
    write_phantom(root / "tree", healthy=3, lesions=2, seed=1, look=Look(shape=(48, 40, 8)))
    assert datasets.prepare(root / "tree", TINY, root / "cache") == {"scans": 5, "slices": 40, "kept": 0, "failed": 0}
    return root / "tree", root / "cache"


@pytest.fixture
def own(made, tmp_path):
    """A copy to change."""
    for source, name in zip(made, ("tree", "cache"), strict=True):
        shutil.copytree(source, tmp_path / name)
    return tmp_path / "tree", tmp_path / "cache"


@pytest.fixture(scope="package")
def luna16_tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("luna")
    write_luna16_tree(root, patients=6, normals=10)
    return root
