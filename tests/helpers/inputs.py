"""Scans that tests give to maescan must be afterwards what they were: hashed when they are written, and again at the
end of every test of scoring (see conftest.py)."""

from __future__ import annotations

import hashlib
from pathlib import Path

_written: dict[Path, str] = {}


def given(path: Path) -> Path:
    """Says that `path` is an input as it now is; or, where it is gone, that it is meant to be."""
    if path.exists():
        _written[path] = _hash(path)
    else:
        _written.pop(path, None)
    return path


def harmed() -> list[str]:
    """The inputs that changed or went since they were given, while the folder that they lie in stays."""
    found = [path for path, hash_ in _written.items() if path.parent.is_dir() and _hash(path) != hash_]
    return [str(path) for path in found]


def forget() -> None:
    _written.clear()


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "gone"
