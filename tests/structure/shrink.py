"""Takes out of known/ what is mended. It never adds: `python tests/structure/shrink.py`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from structure.known import any_counts, known, write
from structure.rules import RULES, anys


def main() -> None:
    for name, rule in RULES.items():
        write(name, sorted(known(name) & set(rule())))
    allowed, there = any_counts(known("anys")), any_counts(set(anys()))
    least = {path: min(count, there[path]) for path, count in allowed.items() if path in there}
    write("anys", [f"{path} {count}" for path, count in sorted(least.items())])


if __name__ == "__main__":
    main()
