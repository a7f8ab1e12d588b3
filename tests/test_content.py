from __future__ import annotations

import hashlib
import os
import signal
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from maescan import cli, content
from maescan.cli.conventions import configured
from maescan.config import preset
from maescan.content import may_be_there, read_content, read_text, sha256
from maescan.datasets.splits import read_split_lines
from maescan.engines.bundle import Bundle
from maescan.engines.signing import check_signature, public_keys, sign
from maescan.errors import MaescanError
from maescan.evaluate.groups import read_groups
from maescan.method.candidates import read_candidates
from maescan.models.weights import read_public
from maescan.network.options import read_config
from maescan.options import CandidateTable
from maescan.scoring.alerts import AlertOptions, passed_on


def test_a_file_is_read(tmp_path):
    file = tmp_path / "file"
    file.write_bytes("\ufefföl\r\n".encode())
    assert read_content(file) == file.read_bytes()
    assert read_text(str(file)) == "öl\r\n"  # without the mark that Windows puts first
    assert sha256(file) == hashlib.sha256(file.read_bytes()).hexdigest()


@contextmanager
def within(seconds: int):
    """What waits longer ends."""

    def late(*_: object):
        pytest.fail("was waited for")  # no OSError, which readers make an error of theirs

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("read", [read_content, read_text, sha256])
def test_what_is_no_file_is_neither_waited_for_nor_read(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path(os.devnull)):
        with within(5), pytest.raises(OSError, match="is not a file"):
            read(path)
    with pytest.raises(IsADirectoryError):
        read(tmp_path)


def test_too_large_a_file_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(content, "MOST", 2**30)
    with open(tmp_path / "large", "wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(OSError, match="is larger than 1 GiB"):
        read_content(tmp_path / "large")


def log(path: Path):
    with passed_on(print, AlertOptions(log=path)):
        pass


READERS = {
    "groups.tsv": read_groups,
    "candidates.csv": read_candidates,
    "table.csv": CandidateTable.read,
    "preset.json": lambda path: preset(str(path)),
    "options.toml": lambda path: configured(path, "score", {}),
    "listen.toml": read_config,
    "train.txt": lambda path: read_split_lines(path.parent),
    "weights.pth": read_public,
    "weights.safetensors": read_public,
    "key.pub": lambda path: public_keys(str(path)),
    "keys/key.pub": lambda path: public_keys(str(path.parent)),
    "b/manifest.json": lambda path: Bundle.load(path.parent),
    "b/manifest.json.minisig": lambda path: check_signature(path.parent, b"", []),
    "b/mae.safetensors": lambda path: Bundle.load(path.parent),
    "b/engines/openvino-fp32/*/engine.json": lambda path: Bundle.load(path.parents[3]),
    "secret.key": lambda path: sign(path.parent / "b", path),
    "events.log": log,
}


@pytest.mark.parametrize("name", READERS)
def test_no_pipe_is_waited_for_whatever_it_stands_for(tmp_path, name):
    with zipfile.ZipFile(Path(cli.__file__).with_name("demo-bundle.zip")) as packed:
        packed.extractall(tmp_path / "b")
    path = next(tmp_path.glob(name), tmp_path / name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with within(20), pytest.raises(MaescanError) as raised:
        READERS[name](path)
    assert str(path.parent) in str(raised.value)


def test_what_nobody_may_look_at_may_be_there(tmp_path, monkeypatch):
    (tmp_path / "a").touch()
    (tmp_path / "nowhere").symlink_to("b")
    names = ("a", "nowhere", "b", "a/b")
    assert [may_be_there(str(tmp_path / name)) for name in names] == [True, True, False, False]

    def closed(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "lstat", closed)
    assert may_be_there(str(tmp_path / "b"))
