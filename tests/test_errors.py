from __future__ import annotations

from maescan.errors import MaescanError


def test_error_is_one_line():
    error = MaescanError("no\nscans", path="a b", remedy="look")
    assert str(error) == "a b: no scans (look)"
