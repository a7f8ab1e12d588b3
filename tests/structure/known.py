"""The lists of today's offences, lists/RULE.txt: one a line, sorted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

LISTS = Path(__file__).parent / "lists"


def known(rule: str) -> set[str]:
    """Offences that are listed."""
    file = LISTS / f"{rule}.txt"
    return set(file.read_text(encoding="utf-8").splitlines()) if file.exists() else set()


def write(rule: str, offences: Iterable[str]) -> None:
    """An empty list is no file."""
    lines = [f"{line}\n" for line in offences]
    file = LISTS / f"{rule}.txt"
    file.write_text("".join(lines), encoding="utf-8") if lines else file.unlink(missing_ok=True)


def any_counts(lines: set[str]) -> dict[str, int]:
    """How often a file says Any; of a path listed twice, as after a merge, the larger."""
    counts: dict[str, int] = {}
    for path, _, count in (line.rpartition(" ") for line in lines):
        counts[path] = max(int(count), counts.get(path, 0))
    return counts
