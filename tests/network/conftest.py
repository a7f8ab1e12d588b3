from __future__ import annotations

import gc
import warnings

import pytest

pytest.importorskip("pynetdicom")


@pytest.fixture
def slices(tmp_path):
    """Slices of an MR series as files."""
    from helpers.series import write_slices

    return write_slices(tmp_path / "sent", range(6), uid="1.2.9")


@pytest.fixture(autouse=True, scope="module")
def forgotten_sockets():
    """pynetdicom leaves sockets of calls that came to nothing to the garbage collector."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()
