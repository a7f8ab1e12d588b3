"""The examples of docstrings, of the README and of the notebook run."""

from __future__ import annotations

import doctest
import importlib
import json
import re
from pathlib import Path

import pytest

from helpers.notebooks import run

ROOT = Path(__file__).resolve().parents[1]
MODULES = ("maescan", "maescan.errors", "maescan.progress", "maescan.options", "maescan.scoring.options")


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_docstrings_run(name):
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.attempted and not found.failed


@pytest.mark.slow
def test_the_readme_s_python_runs(tmp_path, monkeypatch):
    from maescan.cli.demo import unpack
    from maescan.datasets.phantom import make_phantom, write_scan

    made = make_phantom("brain", 0, 1, ill=True)
    write_scan(tmp_path / "scan.nii.gz", made.voxels, made.affine)
    unpack(tmp_path / "bundle")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    space: dict[str, object] = {}
    exec(code, space)
    assert space["result"].p_value is not None and space["result"].show().width > 100


@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_it_shows(tmp_path, monkeypatch):
    notebook = ROOT / "docs" / "first-score.ipynb"
    monkeypatch.chdir(tmp_path)
    kept = [cell["outputs"] for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    made = run(notebook)
    assert [_numbers(outputs) for outputs in made] == [pytest.approx(_numbers(outputs), abs=0.02) for outputs in kept]
    assert [output.keys() for cell in made for output in cell] == [output.keys() for cell in kept for output in cell]


def _numbers(outputs):
    """The numbers of the texts of a cell's outputs."""
    texts = [output.get("text") or output["data"]["text/plain"] for output in outputs]
    return [float(number) for text in texts for number in re.findall(r"\d+(?:\.\d+)?", text)]
