"""The lower bounds of pyproject.toml, as pip takes them: python bench/lowest.py [EXTRA...] > lowest.txt"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def lowest(extras: list[str]) -> list[str]:
    """NAME==BOUND of every dependency of the core and of these extras; those without a bound as they are.

    An extra of maescan itself is followed."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    wanted, found = [*project["dependencies"]], dict[str, None]()
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    for line in wanted:
        if inner := re.match(r"maescan\[(.+)\]", line):
            found |= dict.fromkeys(lowest(inner[1].split(",")))
        else:
            found[re.sub(r">=\s*([^,;\s]+)(,<[^;\s]+)?", r"==\1", line)] = None
    return list(found)


if __name__ == "__main__":
    print("\n".join(lowest(sys.argv[1:])))
