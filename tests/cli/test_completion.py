"""Completion by the tab key: the scripts that are installed, asked as shells ask them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.marks import slow

CASES = [
    ("maescan sc", {"score"}),
    ("maescan score --dev", {"--device"}),
    ("maescan score scans --format ", {"csv", "parquet"}),
]
BIN = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def _run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": BIN, **environment},
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _asked(shell: str, **environment: str) -> str:
    code = "import sys; sys.argv = ['maescan']; import maescan.cli; maescan.cli.main()"
    return _run(sys.executable, "-c", code, _MAESCAN_COMPLETE=f"complete_{shell}", **environment)


@pytest.mark.parametrize("line, expected", CASES)
def test_bash(line, expected):
    words = line.split(" ")
    assert set(_asked("bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)).split()) == expected


@pytest.mark.parametrize("shell", ["zsh", *slow("fish")])
@pytest.mark.parametrize("line, expected", CASES)
def test_zsh_and_fish(shell, line, expected):
    said = _asked(shell, _TYPER_COMPLETE_ARGS=line, _TYPER_COMPLETE_FISH_ACTION="get-args")
    assert all(word in said for word in expected) and "Usage" not in said


@pytest.mark.slow
def test_the_script_for_bash_works_in_bash():
    script = _run(
        sys.executable, "-m", "maescan", "--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1"
    )
    asks = 'COMP_WORDS=(maescan sc); COMP_CWORD=1; _maescan_completion maescan; echo "${COMPREPLY[@]}"'
    assert _run("bash", "--norc", "-c", f"{script}\n{asks}").split() == ["score"]
