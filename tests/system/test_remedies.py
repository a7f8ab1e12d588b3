"""Every remedy is one: what messages tell people to type parses against the real command line, and what can be run
here is run."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from helpers.scan_files import write_series
from helpers.scoring_stub import write_scan
from maescan.cli import app
from maescan.cli.demo import unpack

ROOT = Path(__file__).resolve().parents[2]
FILES = [*(ROOT / "python" / "maescan").rglob("*.py"), *(ROOT / "export").glob("*.py")]
ROOTS = typer.main.get_command(app)
FLAGS = {
    name: {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    for name, command in ROOTS.commands.items()
}
EVERY = set().union(*FLAGS.values())
OTHERS = {"--editable", "--head", "--ntasks-per-node", "--python"}
"""Flags of pip, ray and srun."""


def said() -> Iterator[tuple[str, str]]:
    """Where, and each text of the package that is no docstring, with X for what is filled in."""
    for file in FILES:
        tree, place = ast.parse(file.read_text()), file.relative_to(ROOT)
        inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                yield (
                    f"{place}:{node.lineno}",
                    "".join(str(p.value) if isinstance(p, ast.Constant) else "X" for p in node.values),
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner | docs:
                yield f"{place}:{node.lineno}", node.value


@pytest.fixture(scope="module")
def texts() -> list[tuple[str, str]]:
    return sorted(set(said()))


def test_commands_in_backticks_and_whole_commands_exist_with_their_flags(texts):
    found = 0
    for where, text in texts:
        typed = re.findall(r"`maescan ([^`]+)`", text)
        typed += [text.removeprefix("maescan ")] if re.match(r"maescan [a-z-]+ [X-]", text) else []
        for command in typed:
            name, *words = shlex.split(command)
            assert name in FLAGS, f"{where}: there is no maescan {name}"
            flags = [word for word in words if word.startswith("-")]
            assert set(flags) <= FLAGS[name], f"{where}: maescan {name} has no {set(flags) - FLAGS[name]}"
            found += 1
    assert found > 20


def test_paths_in_commands_are_quoted():
    """What is filled in after a command's name and is a path goes through `typed`."""
    found, paths = 0, re.compile(r"(?<!-)\b(bundle|file|folder|out|path|run|where)\b")
    command = re.compile(rf"\b(?:maescan (?:{'|'.join(FLAGS)})|chmod) ")
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            said = ""
            for part in node.values if isinstance(node, ast.JoinedStr) else ():
                if isinstance(part, ast.Constant):
                    said += str(part.value)
                elif command.search(said):
                    what = ast.unparse(part.value)
                    assert what.startswith("typed(") or not paths.search(what), f"{file}:{node.lineno}: {what}"
                    found += what.startswith("typed(")
    assert found > 6


def test_every_flag_that_a_message_names_exists(texts):
    found = 0
    for where, text in texts:
        if " " not in text or text.startswith("--"):
            continue
        for flag in re.findall(r"(?<![\w`-])--[a-z][a-z0-9-]*", text):
            assert flag in EVERY | OTHERS, f"{where}: no command has {flag}: {text}"
            found += 1
    assert found > 20


def test_every_install_brings_what_it_says(texts):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = (ROOT / "constraints.txt").read_text().lower()
    found = 0
    for where, text in texts:
        for package in re.findall(r"pip install (?!--)'?([\w.\[\]-]+)", text):
            name, _, extra = package.rstrip("]").partition("[")
            assert name in ("maescan", ".") or f"\n{name.lower()}==" in known, f"{where}: {text}"
            assert extra in ("", "X") or extra in project["optional-dependencies"], f"{where}: {text}"
            found += 1
    assert found > 5


def test_extras_that_are_filled_in_exist():
    from maescan.errors import EXTRAS

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS) <= set(project["optional-dependencies"])


def maescan(*arguments):
    return subprocess.run([sys.executable, "-m", "maescan", *map(str, arguments)], capture_output=True, text=True)


def remedy(done) -> list[str]:
    """The words of the command in the brackets of an error."""
    line = done.stderr.strip().splitlines()[-1]
    return shlex.split(re.search(r"\(maescan ([^()]+)\)", line)[1])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return unpack(tmp_path_factory.mktemp("remedies") / "a bundle's")


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    write_scan(folder / "scan.nii.gz", 0)
    return folder


@pytest.mark.parametrize("asked", [("--target", "onnx"), ("--target", "onnx", "--precision", "fp16")])
def test_the_export_that_score_asks_for_can_be_run(bundle, scans, tmp_path, asked):
    refused = maescan("score", scans, "--bundle", bundle, "-o", tmp_path / "out", *asked)
    assert refused.returncode == 2, refused.stderr
    command = remedy(refused)
    assert command[0] == "export"
    done = maescan(*command)
    assert done.returncode == 0, done.stderr
    target, precision = command[command.index("--to") + 1], command[command.index("--precision") + 1]
    options = ("--target", target, "--precision", precision)
    scored = maescan("score", scans, "--bundle", bundle, "-o", tmp_path / "out", *options)
    assert scored.returncode == 0, scored.stderr


def test_what_score_says_to_ask_for_is_there(bundle, scans, tmp_path):
    asked = ("score", scans, "--bundle", bundle, "-o", tmp_path / "out")
    refused = maescan(*asked, "--target", "tensorrt")
    assert refused.returncode == 2 and "(leave out --target, or ask for what runs here: " in refused.stderr
    named = refused.stderr.strip().rsplit(": ", 1)[1].rstrip(")").split(" or ")[0].split()
    assert maescan(*asked).returncode == maescan(*asked, *named).returncode == 0


def test_what_inspect_says_to_accept_is_accepted(tmp_path):
    write_series(tmp_path / "series", depths=(0, 1, 2, 4, 5, 6))
    refused = maescan("inspect", tmp_path / "series")
    words = re.search(r"or (--accept \S+?)\)?$", refused.stdout.strip())[1].split()
    assert refused.returncode == 3 and maescan("inspect", tmp_path / "series", *words).returncode == 0


def test_calibrate_as_score_asks_for_it(bundle, scans, tmp_path):
    from maescan.engines.bundle import update

    update(bundle, calibration=None)
    done = maescan("score", scans, "--bundle", bundle, "-o", tmp_path / "out")
    name, where, healthy = shlex.split(re.search(r"`maescan ([^`]+)`", done.stdout)[1])
    assert (name, where, healthy) == ("calibrate", str(bundle), "HEALTHY_SCANS")
    assert maescan(name, where, scans).returncode == 0


def test_a_package_that_is_missing_is_named_with_its_extra(bundle, scans, tmp_path):
    for package, command in (("matplotlib", ("evaluate", scans, "--bundle", bundle, "--out", tmp_path / "e")),):
        arguments = [str(word) for word in command]
        code = f"import sys; sys.modules[{package!r}] = None; sys.argv[1:] = {arguments}"
        done = subprocess.run(
            [sys.executable, "-c", f"{code}\nfrom maescan.cli import main\nmain()"], capture_output=True, text=True
        )
        assert done.returncode == 2 and "pip install 'maescan[evaluate]'" in done.stderr, done.stderr
