from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from maescan.errors import EXTRAS, ConfigError, MaescanError, require


def test_error_is_one_line():
    error = MaescanError("no\nscans", path="a b", remedy="look")
    assert str(error) == "a b: no scans (look)"


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_package_that_an_extra_brings_is_named_with_it(extra, monkeypatch):
    for package in EXTRAS[extra].split():
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(ConfigError) as error:
            require(package, "--this")
        assert str(error.value) == f"--this needs {package} (pip install 'maescan[{extra}]')"


def test_the_extras_are_those_of_the_package():
    told = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS) <= set(told["optional-dependencies"])


def test_another_import_that_fails_is_a_fault():
    with pytest.raises(ImportError, match="no_such_package"):
        require("no_such_package", "--this")
