"""What is compiled once is kept whole, and thrown away where it is not what was written."""

from __future__ import annotations

import os

import pytest

from maescan.engines import kept as module
from maescan.engines.kept import keep, kept
from maescan.machine import cache_folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_what_was_kept_comes_back_under_its_key_alone():
    keep("blob", "a", b"content")
    assert kept("blob", "a") == b"content" and kept("blob", "b") is None and kept("other", "a") is None


@pytest.mark.parametrize("spoil", [lambda c: c[:-1], lambda c: c[:40], lambda c: b"", lambda c: c[:-1] + b"x"])
def test_what_is_not_what_was_written_is_nothing(spoil):
    keep("blob", "a", b"content of some length")
    (file,) = (cache_folder() / "blob").iterdir()
    file.write_bytes(spoil(file.read_bytes()))
    assert kept("blob", "a") is None
    keep("blob", "a", b"anew")
    assert kept("blob", "a") == b"anew"


def test_the_oldest_go_first(monkeypatch):
    monkeypatch.setattr(module, "KEPT", 2)
    for number, key in enumerate("abc"):
        keep("blob", key, key.encode())
        for file in (cache_folder() / "blob").iterdir():
            os.utime(file, (number, number)) if file.stat().st_mtime > 10 else None
        if key == "b":
            assert kept("blob", "a") == b"a"  # used last
    assert kept("blob", "a") == b"a" and kept("blob", "b") is None and kept("blob", "c") == b"c"


def test_a_cache_that_can_only_be_read_is_read(monkeypatch):
    keep("blob", "a", b"content")
    monkeypatch.setattr("pathlib.Path.touch", lambda self: (_ for _ in ()).throw(PermissionError(13, "no")))
    assert kept("blob", "a") == b"content"


@pytest.mark.parametrize("why", ["a file in its place", "a user without a home"])
def test_a_cache_that_cannot_be_written_costs_nothing(tmp_path, monkeypatch, why):
    if why == "a file in its place":
        (tmp_path / "maescan").write_text("")
    else:
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr("pathlib.Path.home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    keep("blob", "a", b"content")
    assert kept("blob", "a") is None


def test_another_process_may_prune_faster(tmp_path, monkeypatch):
    for number in range(40):
        (tmp_path / f"{number}.blob").touch()
    found = [*tmp_path.glob("*.blob"), tmp_path / "gone.blob"]
    monkeypatch.setattr(type(tmp_path), "glob", lambda *_: iter(found))
    module.prune(tmp_path, "*.blob")
    assert sum(file.exists() for file in found) == module.KEPT
