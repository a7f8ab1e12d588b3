"""Pages name commands' options, and events, that are there, and all events."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from maescan.benchmark.cost import slice_operations
from maescan.cli import app
from maescan.config import PRESETS, preset
from maescan.evaluate.baselines import NAMES

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
TOLD = ("tell", "_tell", "event", "listen", "report", "add", "self")


def _options() -> dict[str, set[str]]:
    """Of each command."""
    commands = vars(get_command(app))["commands"]
    shared = {"--help", "--config", "--verbose"}
    return {
        name: shared.union(*(each.opts + each.secondary_opts for each in command.params))
        for name, command in commands.items()
    }


def _wrong(text: str, known: dict[str, set[str]]) -> list[str]:
    """Options in command lines of a page that their command has not, and commands that are none."""
    lines = re.findall(r"maescan ([a-z][a-z-]+)([^`\n]*)", text.replace("\\\n", " "))
    wrong = [
        f"{command} {option}"
        for command, rest in lines
        for option in re.findall(r"(?<!\S)--[a-z][a-z0-9-]*", re.split(r"&&|[;#]", rest)[0])
        if command in known and option not in known[command]
    ]
    blocks = "\n".join(re.findall(r"(?ms)^```\w*\n(.*?)^```", text))
    typed = re.findall(r"`maescan ([a-z][a-z-]+)", text) + re.findall(r"(?m)^maescan ([a-z][a-z-]+)", blocks)
    return wrong + [f"maescan {command}" for command in typed if command not in known]


@pytest.mark.parametrize(
    "text", ["maescan score SCANS --bundel B", "```sh\nmaescan scor A\n```", "x\n`maescan send O --tile`"]
)
def test_a_wrong_option_is_found(text):
    assert _wrong(text, _options())


def test_pages_name_options_that_commands_have():
    known = _options()
    found = {page.name: _wrong(page.read_text(), known) for page in PAGES}
    assert not {name: wrong for name, wrong in found.items() if wrong}


def test_tables_call_the_baselines_as_maescan_does():
    text = (ROOT / "docs" / "results.md").read_text()
    assert not [name for name in NAMES if f"| {name} |" not in text]


def test_the_table_of_presets_has_each_and_what_it_costs():
    rows = re.findall(
        r"(?m)^\| `([^`]+)` \|.*\| (classifier|\[?judge).*\| ([\d.]+) \|$", (ROOT / "docs/datasets.md").read_text()
    )
    assert {name for name, _, _ in rows} == set(PRESETS)
    for name, judged, cost in rows:
        own = PRESETS[name]
        gflop = slice_operations(own, None if own.tokens.method == "all" else 50) / 1e9
        assert (judged.strip("["), cost) == (own.measure, f"{gflop:.{1 if gflop > 1 else 3}f}"), name


def test_files_of_presets_that_pages_make_are_presets(tmp_path):
    lines = [line for page in PAGES for line in re.findall(r'(?m)^python -c "(.*)" > (\w+\.json)$', page.read_text())]
    assert {name for _, name in lines} >= {"mine.json", "half.json"}
    for code, name in lines:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        (tmp_path / name).write_text(done.stdout)
        assert preset(str(tmp_path / name)).masks.ratio == (0.5 if name == "half.json" else 0.75), done.stderr


def test_the_readme_names_every_command():
    text = (ROOT / "README.md").read_text()
    assert not {
        name for name in _options() if name != "version" and f"maescan {name}" not in text and f"`{name}`" not in text
    }


def test_pages_name_every_event():
    """Of scoring and of `listen`."""
    modules = [path for room in ("scoring", "network") for path in (ROOT / "python/maescan" / room).glob("*.py")]
    calls = [node for path in modules for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    names = {
        node.args[0].value
        for node in calls
        if len(node.args) == 2 and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) in TOLD
    }  # fmt: skip
    assert {"found", "alert_failed", "forwarded", "restarted"} <= names
    text = "".join((ROOT / "docs" / page).read_text() for page in ("scoring.md", "hospital.md"))
    assert not {name for name in names if f"`{name}`" not in text}
