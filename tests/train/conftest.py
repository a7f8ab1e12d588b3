from __future__ import annotations

import pytest

from helpers.tiny_training import run


@pytest.fixture(scope="package")
def unbroken(tmp_path_factory):
    """A run folder that nothing interrupted; tests leave it as it is."""
    return run(tmp_path_factory.mktemp("unbroken"))
