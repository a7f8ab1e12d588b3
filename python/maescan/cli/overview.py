"""What `maescan --help` says. The commands' docstrings are read, not imported, and Typer is not needed for it."""

from __future__ import annotations

import ast
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

from maescan.cli.examples import EXAMPLES

ROOMS = {
    "scoring": ("score", "calibrate", "watch", "view", "pseudonym", "merge"),
    "demo": ("demo",),
    "network": ("echo", "listen", "send"),
    "training": ("train", "export", "card", "evaluate", "compare", "stress", "ablate", "import-checkpoint"),
    "data": ("phantom", "prepare", "inspect"),
    "machine": ("verify", "sign", "pull", "doctor", "bench", "version"),
}
"""Module -> its commands."""

PURPOSE = "Score every slice of medical scans for anomalies, by models that have seen healthy scans alone."
MORE = """Options may also stand in a file (--config) and in the environment (MAESCAN_WORKERS=4,
MAESCAN_SCORE_MAPS=1). Exit codes: 0 done, 1 a fault of maescan, 2 wrong input, 3 done but some scans failed, 4 a scan
alerts (--fail-on-alert), 5 scans are no longer like the calibration's, 6 the GPU is lost, 130 stopped by Ctrl-C,
143 by SIGTERM."""
OPTIONS = {
    "--version": "The version.",
    "--install-completion": "Install completion for the current shell.",
    "--show-completion": "Show completion for the current shell, to copy it or to change it.",
    "-h, --help": "This; after a command, what it does and its options.",
}
NARROW, WIDE = 60, 100
"""Columns that are used at the least, and at the most."""


def overview(columns: int = 0) -> str:
    """The commands by panel, each with the first sentence of its docstring. columns: the terminal's own if 0."""
    width = min(max(columns or shutil.get_terminal_size().columns, NARROW), WIDE)
    panels: dict[str, dict[str, str]] = {panel: {} for panel, _ in EXAMPLES.values()}
    for name, sentence in sentences():
        panels[EXAMPLES[name][0]][name] = sentence
    parts = ["Usage: maescan [OPTIONS] COMMAND [ARGS]...", textwrap.fill(PURPOSE, width)]
    parts += [listed(title, rows, width) for title, rows in {"Options": OPTIONS, **panels}.items()]
    return "\n\n".join([*parts, textwrap.fill(" ".join(MORE.split()), width, break_on_hyphens=False)])


def sentences() -> Iterator[tuple[str, str]]:
    """Each command and the first sentence of its docstring."""
    for room, commands in ROOMS.items():
        parsed = ast.parse(Path(__file__).with_name(f"{room}.py").read_text(encoding="utf-8"))
        functions = {node.name: node for node in parsed.body if isinstance(node, ast.FunctionDef)}
        for name in commands:
            words = " ".join((ast.get_docstring(functions[name.replace("-", "_")]) or "").split())
            yield name, words.partition(". ")[0].rstrip(".") + "."


def listed(title: str, rows: dict[str, str], width: int) -> str:
    """A panel: each name, and beside it what it is."""
    pad = max(map(len, rows)) + 4
    lines = (
        textwrap.fill(
            words, width, initial_indent=f"  {name}".ljust(pad), subsequent_indent=" " * pad, break_on_hyphens=False
        )
        for name, words in rows.items()
    )
    return "\n".join([f"{title}:", *lines])
