from __future__ import annotations

from pathlib import Path

import pytest

from maescan.engines.describe import Metrics
from maescan.errors import DataError
from maescan.records import check


def test_figures_are_numbers():
    known = check(Metrics, {"slice": {"auroc": 0.9}, "more": 1}, path=Path("metrics.json"), remedy="")
    assert known.slice.auroc == 0.9 and known.baselines == {}
    with pytest.raises(DataError, match="auroc"):
        check(Metrics, {"slice": {"auroc": "0.9"}}, path=Path("metrics.json"), remedy="")
