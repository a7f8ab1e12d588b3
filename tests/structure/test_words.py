"""What users read says "per" of rates, and "highest-scoring" of slices: pages, help, messages, tables and reports."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "python" / "maescan"
COUNTED = (
    "slices|scans|samples|operations|bytes|batches|seconds|images|launches|bits?|numbers?|pairs|steps|ms|CPU|scratch"
    "|alerts|one|once|masks|tokens|logit|scores|patches|shapes|models|pictures|GFLOP|MFLOP|MB|actor|slices/s"
)
EACH = (
    "second|minute|hour|day|scan|slice|batch|patient|event|GPU|node|step|core|pixel|voxel|box|token|pass|epoch|row"
    "|image|process|seed|stream|modality|tensor|worker|call|stage|side"
)
RATE = re.compile(rf"(?<![\w-])({COUNTED}) an? ({EACH})\b(?!')", re.IGNORECASE)
WORST = re.compile(r"\bworst", re.IGNORECASE)
FORMAT = {"worst"}  # a key of bundles' manifests, which no table shows
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHOWN = [path for path in sorted(PACKAGE.rglob("*")) if path.suffix in (".html", ".js") and "niivue" not in path.name]


def _strings(path: Path) -> list[str]:
    """The strings of a module; of one in parts, as f-strings are, the parts with {} between."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


def _faults(text: str) -> list[str]:
    flat = " ".join(text.split())
    return [found.group() for found in (*RATE.finditer(flat), *WORST.finditer(flat)) if text not in FORMAT]


@pytest.mark.parametrize(
    "text", ["3 scans an hour", "slices\na second", "one a GPU", "the worst slice", "worst_slice"]
)
def test_a_fault_is_found(text):
    assert _faults(text)


@pytest.mark.parametrize("path", [*PAGES, *SHOWN], ids=lambda path: path.name)
def test_pages_and_reports_say_per_and_highest(path):
    assert not _faults(path.read_text())


def test_all_that_the_package_says_says_per_and_highest():
    found = {path: [f for text in _strings(path) for f in _faults(text)] for path in sorted(PACKAGE.rglob("*.py"))}
    assert not {str(path.relative_to(ROOT)): faults for path, faults in found.items() if faults}
