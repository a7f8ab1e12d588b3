"""The tree: a line a room, a line a file with its lines. `python tests/structure/tree.py`"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from structure.code import BENCH, PACKAGE, TESTS, Module


def tree(modules: list[Module]) -> list[str]:
    """Rooms in the order of their folders, each with its files."""
    lines = []
    for folder, files in groupby(modules, lambda module: str(Path(module.path).parent)):
        sizes = {Path(module.path).name: len(module.text.splitlines()) for module in files}
        lines.append(f"{folder}/  {len(sizes)} files, {sum(sizes.values())} lines, longest {max(sizes.values())}")
        lines += [f"  {size:4} {name}" for name, size in sizes.items()]
    return lines


if __name__ == "__main__":
    print("\n".join(tree(sorted(PACKAGE + BENCH + TESTS, key=lambda module: Path(module.path).parts[:-1]))))
