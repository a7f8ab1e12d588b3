from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import time

import pytest

from maescan.errors import ConfigError, DataError
from maescan.files import write_text
from maescan.scans.scratch import NEW, folder_beside, on_the_way, remove_abandoned, scratch_folder, tidy_up


def test_what_a_killed_process_unpacked_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    script = (
        "import os, signal; from maescan.scans.scratch import scratch_folder\n"
        "with scratch_folder() as folder:\n"
        "    (folder / 'scan').write_text('x')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(tmp_path)})
    assert len(list(tmp_path.iterdir())) == 1
    with scratch_folder() as mine:
        assert remove_abandoned() == 1 and mine.exists()
    assert list(tmp_path.iterdir()) == []


def test_killed_while_it_removes_its_folder_the_next_one_removes_the_rest(tmp_path):
    """The lock went first, in the order of the disk: all that was unpacked stayed for ever."""
    script = (
        "import os, signal, sys; from pathlib import Path; from maescan.scans.scratch import scratch_folder\n"
        "left = [int(sys.argv[2])]\n"
        "def killed(call):\n"
        "    def removes(*given, **named):\n"
        "        left[0] -= 1\n"
        "        os.kill(os.getpid(), signal.SIGKILL) if left[0] < 0 else None\n"
        "        return call(*given, **named)\n"
        "    return removes\n"
        "with scratch_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'scan').write_text('x')\n"
        "    os.unlink, os.rmdir = killed(os.unlink), killed(os.rmdir)\n"
    )
    kills = 0
    for done in range(5):
        ended = subprocess.run([sys.executable, "-c", script, tmp_path, str(done)])
        kills += ended.returncode != 0
        assert bool(list(tmp_path.iterdir())) == (ended.returncode != 0)
        remove_abandoned(tmp_path)
        assert list(tmp_path.iterdir()) == []
    assert kills == 4  # the scan, its folder, the lock, the whole


def test_what_a_killed_export_left_beside_goes_and_what_others_are_called_stays(tmp_path):
    script = (
        "import os, signal, sys; from pathlib import Path; from maescan.scans.scratch import folder_beside\n"
        "with folder_beside(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'bundle').mkdir()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    out, others = tmp_path / "new" / "bundle", tmp_path / "new" / ".maescan-part-mine"
    subprocess.run([sys.executable, "-c", script, str(out)])
    (left,) = out.parent.iterdir()
    assert left.name.startswith(".maescan-part-")
    others.mkdir()
    (others / "thesis.tex").write_text("dear to somebody")
    with folder_beside(out) as first, folder_beside(out) as second:  # one run at work does not disturb another
        assert first.is_dir() and second.is_dir() and not left.exists()
    assert list(out.parent.iterdir()) == [others] and (others / "thesis.tex").exists()


def test_nothing_is_left_of_a_folder_that_could_not_be_locked(tmp_path, monkeypatch):
    """As on a disk that takes no more files: each try took one more."""
    real = os.open

    def full(path, flags, *more, **named):
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OSError, match="No space"), scratch_folder(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def full(_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("write", [lambda file: write_text(file, "x"), lambda file: full(file)])
def test_a_full_disk_is_told_of_what_was_to_be_made(tmp_path, monkeypatch, write):
    """It named a file in the temporary folder, which is gone when somebody reads of it."""
    monkeypatch.setattr(os, "replace", lambda *_: full(_))
    with pytest.raises(DataError) as told, folder_beside(tmp_path / "new" / "bundle") as folder:
        write(folder / "bundle" / "weights")
    space = "No space left on device (free space; then run again, or use another --out)"
    assert str(told.value) == f"{tmp_path / 'new' / 'bundle'}: cannot write: {space}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [lambda file: write_text(file, "x"), lambda file: full(file)])
def test_a_full_temporary_folder_is_told_as_such(tmp_path, monkeypatch, write):
    """`bench` and `import-checkpoint` named a file that is gone, and another --out, which lies elsewhere."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "replace", lambda *_: full(_))
    with pytest.raises(DataError) as told, on_the_way() as folder:
        write(folder / "weights")
    remedy = "free space there, or set TMPDIR to a folder elsewhere"
    assert str(told.value) == f"{tmp_path}: no temporary file can be written: No space left on device ({remedy})"
    with pytest.raises(DataError, match="out: cannot write"), on_the_way():
        write_text(tmp_path / "out", "x")
    assert list(tmp_path.iterdir()) == []


def test_what_fails_elsewhere_is_told_of_its_own_place(tmp_path):
    with pytest.raises(DataError, match="scan: is damaged"), folder_beside(tmp_path / "bundle"):
        raise DataError("is damaged", path="scan") from OSError(errno.EIO, "input")
    with pytest.raises(DataError, match=r"gone: cannot write: No such file"), folder_beside(tmp_path / "bundle"):
        (tmp_path / "gone").read_bytes()


def test_a_folder_that_was_killed_before_it_had_its_name_goes_when_it_is_old(tmp_path):
    old, new = tmp_path / f"{NEW}a", tmp_path / f"{NEW}b"
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (time.time() - 3600,) * 2)
    remove_abandoned(tmp_path)
    assert list(tmp_path.iterdir()) == [new]


WORKER = (
    "import os, signal, sys, time; from pathlib import Path\n"
    "from maescan.scans.budget import Limits; from maescan.scans.search import Finder; "
    "from maescan.scans.worker import Worker, get_ready\n"
    "if __name__ == '__main__':\n"
    "    get_ready() if sys.argv[3] == 'early' else None\n"
    "    worker = Worker(Finder, limits=Limits())\n"
    "    worker.call('find', [Path(sys.argv[1])], {}, path=Path(sys.argv[1]))\n"
    "    os.kill(os.getpid(), signal.SIGKILL) if sys.argv[2] == 'kill' else worker.close()\n"
)


@pytest.mark.slow
def test_of_a_killed_process_with_readers_nothing_stays(tmp_path, tmp_path_factory):
    script, temporary = tmp_path / "run.py", tmp_path_factory.mktemp("t")  # a socket's path must be short
    script.write_text(WORKER)
    for end, start in (("kill", "early"), ("kill", "late"), ("close", "early")):
        command = [sys.executable, str(script), str(tmp_path / "run.py"), end, start]
        subprocess.run(command, env={**os.environ, "TMPDIR": str(temporary)}, timeout=120)
        left = [path.name for path in temporary.iterdir()]
        assert all(name.startswith("maescan-scratch-") for name in left)
        assert len(left) == (end == "kill")


def test_where_no_temporary_file_can_be_written_it_is_said(monkeypatch):
    def nowhere():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    tidy_up.cache_clear()
    with pytest.raises(ConfigError, match="TMPDIR"):
        tidy_up()
