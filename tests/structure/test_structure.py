"""The house stands as it is drawn: see rules.py."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from structure.code import PACKAGE, ROOT
from structure.known import any_counts, known
from structure.rules import FLOOR, RULES, anys

TOP = {"maescan", "__main__"}
SHRINK = "mended, well done: `python tests/structure/shrink.py` takes it off the list"


@pytest.mark.parametrize("rule", RULES)
def test_no_new_offence_and_none_listed_that_is_mended(rule):
    found, listed = set(RULES[rule]()), known(rule)
    assert not found - listed, "\n".join([f"against the rule of {rule}:", *sorted(found - listed)])
    assert not listed - found, "\n".join([SHRINK, *sorted(listed - found)])


def test_any_is_said_less_and_less():
    found, listed = any_counts(set(anys())), any_counts(known("anys"))
    more = {path: (count, listed.get(path, 0)) for path, count in found.items() if count > listed.get(path, 0)}
    assert not more, "says Any more often (now, allowed): give it a type"
    assert not {path for path, count in listed.items() if count > found.get(path, 0)}, SHRINK


def test_every_room_has_a_floor():
    assert {module.room for module in PACKAGE} <= set(FLOOR)


@pytest.mark.parametrize("start", ["import maescan", "import maescan.cli", "from maescan.cli import main; main()"])
def test_starting_loads_nothing_heavy(start):
    heavy = ("numpy", "torch", "openvino", "nibabel", "pydicom", "scipy", "safetensors")
    code = f"import sys\nsys.argv = ['maescan', '--help']\ntry:\n    {start.replace('; ', chr(10) + '    ')}\n" + (
        f"except SystemExit:\n    pass\nprint([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


def test_the_map_of_contributing_is_that_of_the_rules():
    rows = re.findall(r"^\| (\d) \| ((?:`\w+/?`[^|`]*)+)\|", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    drawn = {room: int(floor) for floor, rooms in rows for room in re.findall(r"`(\w+)/?`", rooms)}
    assert drawn == {room: floor for room, floor in FLOOR.items() if room in {m.room for m in PACKAGE} - TOP}
