from __future__ import annotations

import errno
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from maescan.errors import ConfigError, DataError, quoted
from maescan.results.rows import Failure
from maescan.scoring.names import PLAIN, Pseudonyms, kept_in
from maescan.scoring.options import ScoreOptions
from maescan.scoring.places import around


@pytest.fixture
def names(tmp_path):
    return Pseudonyms.read(tmp_path / "key")


def test_a_key_is_made_for_its_user_alone_and_kept(tmp_path):
    first, again = Pseudonyms.read(tmp_path / "key"), Pseudonyms.read(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert first.label("a/b.nii") == again.label("a/b.nii") != Pseudonyms.read(tmp_path / "other").label("a/b.nii")
    assert first.key.decode() not in repr(first)


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [("k" * 40, 0o640, "others may read"), ("k" * 40, 0o604, "others may read"), ("k" * 31, 0o600, "too short"),
     (" \n" * 90, 0o600, "too short"), ("k" * 1025, 0o600, "no key"), ("k" * 1025, 0o644, "no key")],
)  # fmt: skip
def test_a_key_that_keeps_no_secret_is_refused(tmp_path, content, mode, reason):
    (tmp_path / "key").write_text(content)
    (tmp_path / "key").chmod(mode)
    with pytest.raises(ConfigError, match=reason):
        Pseudonyms.read(tmp_path / "key")


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "nowhere"])
def test_what_is_no_file_is_no_key(tmp_path, kind):
    """And no permissions of it are to be changed."""
    path = tmp_path / "key"
    if kind == "pipe":
        os.mkfifo(path, 0o600)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path = tmp_path if kind == "folder" else tmp_path / "none" / "key"
    with pytest.raises(ConfigError, match=r"cannot be read|no key can be made"):
        Pseudonyms.read(path)


def test_a_key_that_the_disk_does_not_take_is_not_there(tmp_path, monkeypatch):
    """Half of one would stop the same command once there is space."""

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ConfigError, match="no key can be made: No space left on device"):
            Pseudonyms.read(tmp_path / "key")
    assert not list(tmp_path.iterdir()) and Pseudonyms.read(tmp_path / "key").key


def test_places_lie_in_each_other_as_they_did_and_say_whether_they_are_there(names, tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "scan.nii").write_text("")
    folder, file, gone = (names.place(str(tmp_path / "a" / name)) for name in ("b", "scan.nii", "gone"))
    assert around(names.place(str(tmp_path / "a")), file) and not around(folder, file)
    assert "scan" not in names.place(f"{tmp_path}/a.zip\0scan.nii")
    fresh = replace(names, _places={})  # as the next run, which has only the ledger's
    assert fresh.there([folder, file, gone]) == [True, True, False]
    assert Pseudonyms("mark").there([gone]) == [True]  # nobody knows without the key

    def closed(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "lstat", closed)
    monkeypatch.setattr(os, "listdir", closed)
    assert replace(names, _places={}).there([gone]) == PLAIN.there([str(tmp_path / "gone")]) == [True]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lacks 2 of 7 slices", "lacks 2 of 7 slices"),
        ("names 'smith.raw', outside its folder", "names *, outside its folder"),
        ("cannot be read: Permission denied", "cannot be read: Permission denied"),
        ("reading failed: ValueError: Meyer VR", "reading failed: ValueError: * VR"),
        ("its slices 1.2.840.10008 and 20261126", "its slices * and *"),
        ("is no scan: the folder is", "is no *: the folder is"),
        ("calls p0123456789abcdef a copy", "calls p0123456789abcdef a copy"),
        ("incomplete: 2 of the images", "incomplete: 2 of the images"),
        ("lacks 2 of 7 slices, lacks", "lacks 2 of 7 slices, *"),
        ("is of 1970-01-02, 2/1/1970 or 2.1.1970", "is of *, * or *"),
        ("File name b'Mark 12' and header b\"O'Mark 34\" differ", "File name * and header * differ"),
        ("reading failed: no item 'Mark 12 is cut", "reading failed: no item *"),
    ],
)
def test_of_a_text_our_own_words_are_told(names, text, told):
    around = "scan/other", "incomplete/lacks"
    assert names.told(text, *around) == told
    assert PLAIN.told(text, *around) == text


@pytest.mark.parametrize(
    "name",
    [
        "Mark Young 482135 1970-01-02.dcm",
        "O'Mark 482135 'file' 7.dcm",
        "Mark \" 48 ' 21' file.dcm",
        "Mark\\' 48 \\",
        "' 4",
    ],
)
def test_a_name_in_quotes_is_hidden_whatever_is_in_it(names, name):
    text = f"incomplete: 2 files: {quoted(name)} is empty, {quoted('a' * 250 + name)} has 2 slices"
    assert names.told(text) == "incomplete: 2 files: * is empty, * has 2 slices"


def test_a_failure_names_no_file(names):
    failure = Failure("p1", "read", "is damaged: Anna", "remove Anna.nii", "/data/Anna.nii")
    assert names.failure(failure, "Anna.nii") == Failure("p1", "read", "is damaged: *", "remove *.*", "")


def test_what_ends_a_run_keeps_paths_of_its_output_alone(names, tmp_path):
    with pytest.raises(DataError) as inside, kept_in(names, [tmp_path / "out"], tmp_path / "smith"):
        raise DataError("cannot write", path=tmp_path / "out" / "scans.csv")
    with pytest.raises(DataError) as outside, kept_in(names, [tmp_path / "out"], tmp_path / "smith"):
        raise DataError("no scans found", path=tmp_path / "smith", remedy="look into smith")
    with pytest.raises(RuntimeError, match=r"^OSError: \[Errno 5\] \*$"), kept_in(names, [tmp_path / "out"]):
        raise OSError("[Errno 5] Smithy")
    assert inside.value.path == tmp_path / "out" / "scans.csv"
    assert str(outside.value) == "no scans found (look into *)" and outside.value.__suppress_context__


def test_a_key_in_the_output_folder_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    names = Pseudonyms.read(tmp_path / "out" / "key")
    with pytest.raises(ConfigError, match="inside the output folder"), kept_in(names, [tmp_path / "out"]):
        pass


def test_options_are_written_without_key_and_names(names):
    options = ScoreOptions(pseudonyms=names, include=("smith*",))
    written = options.to_json()
    assert written["pseudonyms"] == names.mark and written["include"] == []
    assert str(Path("smith")) not in repr(written) and names.key.decode() not in repr(written)
    assert ScoreOptions.from_json(written).pseudonyms == Pseudonyms(names.mark)
    assert pickle.loads(pickle.dumps(options)).pseudonyms.label("a") == names.label("a")  # as Ray's actors get it


def test_dicom_results_have_names_and_are_refused(names):
    with pytest.raises(ConfigError, match="patients' names"):
        ScoreOptions(pseudonyms=names, dicom=("sr",))


def test_no_key_is_made_in_an_output_folder(tmp_path):
    (tmp_path / "out" / ".maescan").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "out")
    for folder in ("out", "out/maps", "link"):
        with pytest.raises(ConfigError, match="inside the output folder"):
            Pseudonyms.read(tmp_path / folder / "key")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".maescan"]


def test_a_key_in_a_folder_that_is_not_there_tells_what_to_do(tmp_path):
    """Often that is OUT itself, before its first run; no folder is made for a key."""
    with pytest.raises(ConfigError, match="its folder is not there") as error:
        Pseudonyms.read(tmp_path / "out" / "key")
    assert "not below OUT" in str(error.value) and not list(tmp_path.iterdir())
