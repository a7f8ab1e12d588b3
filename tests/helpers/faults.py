"""Faults of the disk, injected at every call: see faults.c."""

from __future__ import annotations

import atexit
import errno
import functools
import json
import mmap
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
KINDS = ("open", "write", "fsync", "rename", "unlink")
ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EACCES": errno.EACCES, "kill": -1}
FIELDS = struct.Struct(f"{len(KINDS)}q4q4096s")


@functools.cache
def library() -> Path | None:
    """faults.c, compiled; None where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        return None
    folder = tempfile.mkdtemp(prefix="maescan-faults-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = Path(folder) / "faults.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, HERE / "faults.c", "-ldl"], check=True)
    return made


class Driver:
    """A process in which operations run, one after the other, with one fault each."""

    def __init__(self, folder: Path):
        state = folder / "fault-state"
        state.write_bytes(bytes(FIELDS.size))
        self._file = state.open("r+b")
        self._state = mmap.mmap(self._file.fileno(), FIELDS.size)
        path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        made = library()
        assert made is not None
        environment = {**os.environ, "LD_PRELOAD": str(made), "FAULT_STATE": str(state), "PYTHONPATH": path}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "helpers.fault_driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def run(
        self, operation: str, inputs: Path, out: Path, fault: tuple[str, int, str] | None = None
    ) -> tuple[str, str, dict[str, int]]:
        """(done, typed, untyped or killed; the error's text; how often each call was made). fault: (call, which one
        of them, error)."""
        kind, at, error = (KINDS.index(fault[0]), fault[1], ERRORS[fault[2]]) if fault else (-1, 0, 0)
        root = str(out).encode().ljust(4096, b"\0")
        self._state[:] = FIELDS.pack(*[0] * len(KINDS), kind, at, error, 0, root)
        case = {"operation": operation, "inputs": str(inputs), "out": str(out)}
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(json.dumps(case) + "\n")
        stdin.flush()
        outcome, text = json.loads(stdout.readline())
        counts = FIELDS.unpack(self._state[:])[: len(KINDS)]
        return outcome, text, dict(zip(KINDS, counts, strict=True))

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
        self._state.close()
        self._file.close()
