"""Random weights as a bundle."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from helpers.bundles import SMALL
from maescan.benchmark import weights
from maescan.errors import ConfigError


def test_random_weights_without_torch_say_what_to_install(monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.startswith(("maescan.models", "timm"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match="timm") as caught:
        weights.random_bundle(SMALL, tmp_path, ("fp32",), np.zeros((1, 32, 32), np.float32))
    assert "--bundle" in caught.value.remedy
