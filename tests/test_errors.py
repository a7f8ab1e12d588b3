from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from maescan.config import PRESETS
from maescan.datasets import cache
from maescan.datasets.store import load_array
from maescan.engines.bundle import Bundle, write_manifest
from maescan.engines.signing import check_signature
from maescan.errors import CORE, EXTRAS, ConfigError, MaescanError, installing, lacking, refused, require, unwritten
from maescan.records import read, read_rows, whole_rows

Facts = dict[str, object]


def test_error_is_one_line():
    error = MaescanError("no\nscans", path="a b", remedy="look")
    assert str(error) == "a b: no scans (look)"


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_package_that_an_extra_brings_is_named_with_it(extra, monkeypatch):
    for package in EXTRAS[extra].split():
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(ConfigError) as error:
            require(package, "--this")
        how = installing(f"pip install 'maescan[{extra}]'")
        assert str(error.value) == f"--this needs {package} ({how})"


def test_what_installs_is_the_pip_of_this_python(tmp_path, monkeypatch):
    (tmp_path / "pip").write_text("")
    (tmp_path / "pip").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    wanted = "MAESCAN_CUDA=ON pip install ."
    assert installing(wanted) == wanted
    monkeypatch.setattr("sys.executable", "/another one/python")
    told = installing(wanted)
    assert told == "MAESCAN_CUDA=ON '/another one/python' -m pip install ." == installing(told)
    monkeypatch.setattr("importlib.metadata.distributions", lambda **_: ())
    told = MaescanError("lacks it", remedy="pip install 'maescan[sign]'").remedy
    assert told == "uv pip install --python '/another one/python' 'maescan[sign]'" == installing(told)
    monkeypatch.setattr("sys.prefix", str(tmp_path / "maescan"))
    (tmp_path / "maescan").mkdir()
    (tmp_path / "maescan/pipx_metadata.json").write_text("{}")
    told = installing("pip install 'maescan[sign]'")
    assert told == "pipx runpip maescan install 'maescan[sign]'" == installing(told)


def test_the_extras_are_those_of_the_package():
    told = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS) <= set(told["optional-dependencies"])
    names = {re.split(r"[^\w.-]", each)[0].partition(".")[0] for each in told["dependencies"]}
    assert {each.replace("pillow", "PIL") for each in names} == set(CORE.split())


def test_an_install_that_lost_a_package_of_the_core_is_no_fault_of_maescan():
    told = lacking(ModuleNotFoundError("No module named 'isal'", name="isal.igzip"))
    assert told.reason == "this installation of maescan lacks isal" and told.remedy.endswith("pip install maescan")


def test_a_compiled_part_that_does_not_load_is_no_fault_of_maescan():
    said = "libc.so.6: version `GLIBC_2.99' not found (required by maescan/_kernels.so)"
    told = lacking(ImportError(said, name="maescan._kernels"))
    assert said in told.reason and told.remedy.startswith("on this machine") and told.remedy.endswith("install .")
    said = "cannot import name '_kernels' from 'maescan' (maescan/__init__.py)"  # sources that are not installed
    assert said in lacking(ImportError(said, name="maescan")).reason


def test_another_import_that_fails_is_a_fault():
    with pytest.raises(ImportError, match="no_such_package"):
        require("no_such_package", "--this")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "see who may: namei -l 'a b'"),
        (errno.ENAMETOOLONG, "give a shorter name"),
        (errno.EIO, "check the path"),
        (errno.ENOSPC, "free space; then run again, or use another --out"),
    ],
)
def test_what_the_system_refuses_is_told_by_its_path(number, remedy):
    words = os.strerror(number)
    assert str(refused(OSError(number, words, "a b"))) == f"a b: cannot be used: {words} ({remedy})"


def test_a_disk_that_is_full_is_no_fault_of_maescan_where_no_file_is_named():
    """As of a write to a file that is open: it was to be reported."""
    told = refused(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert str(told) == "cannot write: No space left on device (see which disk is full: df -h, and df -i)"


@pytest.mark.parametrize(("left", "what"), [(0, "free files: it can hold no more of them"), (9, "free space")])
def test_a_disk_that_has_room_and_no_more_files_says_so(tmp_path, monkeypatch, left, what):
    """It is told as a full one, of which `df` shows nothing."""
    monkeypatch.setattr(os, "statvfs", lambda place: SimpleNamespace(f_files=9, f_favail=left))
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    told = unwritten(error, tmp_path / "new" / "out")
    assert told.startswith(what) and told.endswith("or use another --out") and (left or f" {tmp_path};" in told)


@pytest.mark.parametrize(
    "error",
    [OSError("no number"), OSError(errno.EIO, "no path"), FileNotFoundError(errno.ENOENT, "gone", "a"), EOFError()],
)
def test_other_errors_are_faults(error):
    assert refused(error) is None


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (MemoryError(), "memory"),
        (RuntimeError("Exception from core.cpp:\nstd::bad_alloc"), "memory"),
        (RuntimeError('Cannot load library "a.so": a.so: failed to map segment from shared object'), "memory"),
        (RuntimeError("can't start new thread"), "threads and processes"),
        (BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)), "threads and processes"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE), "scan.nii"), "open files"),
    ],
)
def test_what_the_system_gives_no_more_of_is_nobodys_fault_and_no_files(error, what):
    told = refused(error)
    assert told.reason == f"the system gives no more {what}" and told.path is None and "ulimit -a" in told.remedy


def test_who_may_is_a_command_that_runs(tmp_path):
    error = refused(PermissionError(errno.EACCES, "Permission denied", str(tmp_path)))
    command = str(error).partition("see who may: ")[2].removesuffix(")")
    assert (
        str(tmp_path.name) in subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout
    )


READERS = {
    "maescan.records.read_content": lambda file: read(Facts, file, remedy="remove it"),
    "maescan.records.read_text": lambda file: read_rows(Facts, file, remedy="make it anew"),
    "maescan.records.read_text of a log": lambda file: whole_rows(Facts, file),
    "maescan.engines.bundle.read_content": lambda file: Bundle.load(file.parent),
    "maescan.engines.bundle.sha256": lambda file: write_manifest(file.parent, PRESETS["tiny"], {}),
    "maescan.datasets.cache.sha256": lambda file: cache._hash_of(file),
    "numpy.load": lambda file: load_array(file.parent, "images"),
    "maescan.engines.signing.read_text": lambda file: check_signature(file.parent, b"", []),
}


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
@pytest.mark.parametrize("name", READERS)
def test_what_may_not_be_read_is_not_to_be_made_anew(tmp_path, monkeypatch, name, number):
    """A run whose run.json was another user's was to be trained from the start, a cache to be prepared anew."""

    def denied(path, *_, **__):
        raise OSError(number, os.strerror(number), str(path))

    (tmp_path / "a.json").write_text("{}")
    monkeypatch.setattr(name.split(" ")[0], denied)
    with pytest.raises(MaescanError, match=r"cannot be read: [PI]") as told:
        READERS[name](tmp_path / "a.json")
    assert (told.value.remedy == f"see who may: namei -l {told.value.path}") == (number == errno.EACCES)
