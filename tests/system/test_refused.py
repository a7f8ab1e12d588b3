"""A command that is refused leaves no folder behind, nor one above it, that was not there before."""

from __future__ import annotations

import errno
import os
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from helpers.marks import slow
from maescan.cli import app
from maescan.cli.demo import unpack
from maescan.datasets.phantom import Look, write_phantom
from maescan.errors import DataError, MaescanError
from maescan.files import check_claim

REFUSED = (
    "bench --out OUT --bundle none",
    "calibrate none healthy --out OUT",
    "evaluate empty --bundle bundle --out OUT",
    "listen --bundle none --out OUT",
    "prepare empty --preset tiny --out OUT",
    "pull https://127.0.0.1:9/b.zip --out OUT",
    "score healthy --bundle none --out OUT",
    "stress healthy --bundle bundle --device cuda:99 --out OUT",
    "view empty scan --out OUT",
    "watch none --bundle bundle --out OUT",
)
SLOW = (
    "bench --out OUT --bundle bundle --device cuda:99",
    "bench --out OUT --preset none --random-weights",
    "calibrate bundle empty --out OUT",
    "score empty --bundle bundle --out OUT",
    "score healthy --exclude * --bundle bundle --out OUT",
)
LEARNING = (
    "ablate empty --experiment beta --preset tiny --out OUT",
    "ablate healthy --experiment beta --preset tiny --out OUT",
    "export none --out OUT",
    "import-checkpoint --mae none.pth --out OUT",
    "train empty --preset tiny --out OUT",
    "train healthy --preset tiny --modality t1 --out OUT",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("refused")
    write_phantom(made, healthy=2, lesions=0, seed=1, look=Look(shape=(48, 40, 8)))
    (made / "empty").mkdir()
    unpack(made / "bundle")
    return made


def leaves(folder, command, monkeypatch):
    monkeypatch.chdir(folder)
    before = set(folder.rglob("*"))
    done = CliRunner().invoke(app, [word.replace("OUT", "new/out") for word in shlex.split(command)])
    assert isinstance(done.exception, MaescanError), done.output
    return set(folder.rglob("*")) - before


@pytest.mark.parametrize("command", [*REFUSED, *slow(*SLOW)])
def test_what_is_refused_leaves_nothing(folder, monkeypatch, command):
    assert leaves(folder, command, monkeypatch) == set()


@pytest.mark.parametrize("command", [*slow(*LEARNING)])
def test_what_cannot_be_learned_leaves_nothing(folder, monkeypatch, command):
    pytest.importorskip("torch")
    assert leaves(folder, command, monkeypatch) == set()


def test_a_place_that_may_not_be_written_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda place, _: Path(place) != tmp_path)
    for out in (tmp_path, tmp_path / "new", tmp_path / "deep" / "new"):
        with pytest.raises(DataError, match="cannot write: Permission denied"):
            check_claim(out, "scores")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["calibrate bundle healthy --out OUT", "card bundle --licence MIT"])
def test_a_bundle_that_may_only_be_read_is_said_before_anything_is_scored(folder, monkeypatch, command):
    """And that another --out would help is not: it is the bundle that is changed."""
    before = {file: file.read_bytes() for file in (folder / "bundle").rglob("*") if file.is_file()}

    def refused(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr("os.access", lambda _, mode: mode != os.W_OK)
        patch.setattr("os.statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
        patch.setattr("tempfile.mkstemp", refused)
        patch.chdir(folder)
        done = CliRunner().invoke(app, shlex.split(command.replace("OUT", "new/out")))
    said = str(done.exception)
    assert "cannot write: Read-only file system" in said and "bundle" in said and "--out" not in said
    assert not (folder / "new").exists() and all(file.read_bytes() == data for file, data in before.items())


def test_a_file_system_that_may_only_be_read_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda _, mode: mode != os.W_OK)
    monkeypatch.setattr("os.statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    with pytest.raises(DataError, match="cannot write: Read-only file system"):
        check_claim(tmp_path / "new", "scores")
