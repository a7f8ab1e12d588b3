"""What is pinned can be installed with the oldest Python that is promised."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[2]
OLDEST = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
PINS = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]


@pytest.mark.parametrize("pin", PINS, ids=lambda pin: pin.name)
def test_a_pinned_release_takes_the_first_release_of_the_oldest_python(pin):
    """pip on an older patch release than ours finds no such release, and resolves nothing: Debian 12 has 3.11.2."""
    try:
        found = metadata.metadata(pin.name)
    except metadata.PackageNotFoundError:
        pytest.skip("is not installed here")
    if found["Version"] not in pin.specifier:
        pytest.skip(f"{found['Version']} is installed here")
    assert f"{OLDEST}.0" in SpecifierSet(found["Requires-Python"] or "")
