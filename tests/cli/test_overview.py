from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from maescan.cli import app, overview
from maescan.cli.examples import EXAMPLES


def test_every_command_stands_in_its_panel_with_what_it_does():
    lines = overview.overview(200).splitlines()
    panel, seen = "", {}
    for line in lines:
        panel = line.rstrip(":") if line and not line.startswith(" ") else panel
        name, _, words = line.strip().partition(" ")
        if panel in {title for title, _ in EXAMPLES.values()} and line.startswith("  ") and line[2] != " ":
            seen[name] = (panel, words.strip())
    assert {name: title for name, (title, _) in seen.items()} == {
        name: title for name, (title, _) in EXAMPLES.items()
    }
    assert seen["echo"][1] == "Ask a DICOM node whether it is there (C-ECHO)."
    assert all(words.count(". ") == 0 and words for _, words in seen.values())
    assert (
        max(map(len, lines)) <= overview.WIDE and max(map(len, overview.overview(20).splitlines())) <= overview.NARROW
    )


def test_it_is_the_same_with_typer_and_without():
    found = CliRunner().invoke(app, ["--help"])
    assert found.exit_code == 0 and found.output.split() == overview.overview().split()
    code = "import atexit, sys; atexit.register(lambda: print('typer' in sys.modules)); import maescan.cli; "
    for typed, exit_code in (["-h"], 0), ([], 2):
        run = f"{code} sys.argv = ['maescan', *{typed}]; maescan.cli.main()"
        done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True)
        assert done.returncode == exit_code and done.stdout.split() == [*found.output.split(), "False"], done.stderr


def test_the_options_of_the_whole_program_are_its_own():
    listed = {word.strip(",") for names in overview.OPTIONS for word in names.split()}
    found = CliRunner().invoke(app, ["--version"])
    assert found.exit_code == 0 and "--version" in listed
    options = {text for parameter in typer.main.get_command(app).params for text in parameter.opts}
    assert options <= listed


def test_a_reader_that_leaves_early_is_no_fault():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "maescan", "--help"], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert done.returncode == 0 and not done.stderr


@pytest.mark.parametrize("typed", ["--version", "score --help"])
def test_output_that_cannot_be_written_is_said_and_is_no_fault_of_maescans(typed):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "maescan", *typed.split()]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "maescan: standard output: cannot write: No space left on device (free space, or print elsewhere)\n"
    )


def test_exit_codes_are_those_of_the_page():
    page = (Path(__file__).resolve().parents[2] / "docs" / "command-line.md").read_text()
    rows = re.findall(r"^\| ([0-9, ]+) \|", page, re.MULTILINE)
    listed = re.findall(r"(\d+) [a-z]", overview.MORE.partition("Exit codes:")[2])
    assert listed == [code for row in rows for code in row.split(", ")]
    assert "(--fail-on-alert)" in overview.overview(80)
