"""Mutations of valid scan files, read in another process, so that a crash or a hang is an outcome and no end.

`make fuzz` or `python tests/helpers/fuzz_scans.py SECONDS [SEED]` tries them for a while and says what came of them.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from helpers.fuzz_seeds import KINDS, Files, seeds
from maescan.errors import ScanError
from maescan.scans import Scan, axial_view, find_scans, read_scan

SECONDS, START_S, MEGABYTES = 30.0, 120.0, 700


def outcome(files: Files) -> str:
    """What reading these files comes to: 'read', or the class and reason of the refusal. Anything else raises."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            Path(folder, name).write_bytes(data)
        found = "nothing found"
        for source in find_scans(folder):
            try:
                check_scan(read_scan(source))
                found = "read"
            except ScanError as error:
                assert str(error) and "\n" not in str(error)
                found = error.reason.replace(folder, "")
        return found


def check_scan(scan: Scan) -> None:
    """What every reader promises."""
    assert scan.voxels.ndim == 3 and scan.voxels.dtype.name in ("int16", "uint16", "uint8", "float32")
    assert scan.voxels.dtype.isnative and np.isfinite(scan.voxels).all()
    assert (
        np.isfinite(scan.affine).all() and np.isfinite([scan.slope, scan.intercept]).all() and min(scan.spacing) > 0
    )
    assert axial_view(scan)[0].size == scan.voxels.size


class Reader:
    """A process that reads; started again when it was killed."""

    def __init__(self) -> None:
        self.context = multiprocessing.get_context("spawn")
        self.process: Any = None

    def outcome(self, files: Files) -> str:
        """As `outcome`. Raises AssertionError for a crash, a hang, too much memory or another exception."""
        if self.process is None:
            self.pipe, end = self.context.Pipe()
            self.process = self.context.Process(target=_serve, args=(end,), daemon=True)
            self.process.start()
            assert self.pipe.poll(START_S), "the process that reads does not start"
            self.pipe.recv()
        start = time.monotonic()
        self.pipe.send(files)
        try:
            assert self.pipe.poll(SECONDS), f"hangs for over {SECONDS} s"
            answer: tuple[str, str, float] = self.pipe.recv()
            kind, text, megabytes = answer
        except (EOFError, ConnectionError, AssertionError) as error:
            self.close()
            raise AssertionError(f"crash or hang after {time.monotonic() - start:.1f} s: {error}") from None
        if megabytes > MEGABYTES:
            self.close()
        assert megabytes < MEGABYTES, f"{megabytes:.0f} MB: {text}"
        assert kind == "ok", text
        return text

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


def _serve(pipe: Connection) -> None:
    pipe.send("started")
    while True:
        files = pipe.recv()
        try:
            kind, text = "ok", outcome(files)
        except BaseException as error:
            kind, text = "error", f"{type(error).__name__}: {error}"
        peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
        pipe.send((kind, text, peak))


def fuzz(seconds: float, seed: int) -> Counter[str]:
    """Tries damaged scans of every kind in turns for `seconds`; what came of them. Raises AssertionError, with the
    seeds that bring them back, for a crash, a hang, too much memory or an error that is no ScanError."""
    valid, reader, outcomes = {kind: seeds(kind) for kind in KINDS}, Reader(), Counter[str]()
    faults: list[str] = []
    end, number = time.monotonic() + seconds, seed
    try:
        while time.monotonic() < end:
            for kind, given in valid.items():
                chance = random.Random(number)
                try:
                    text = reader.outcome(chance.choice(given).damaged(number))
                except AssertionError as error:
                    text = "refused"
                    faults.append(f"{kind}, seed {number}: {error}")
                outcomes["read" if text == "read" else "passed over" if text == "nothing found" else "refused"] += 1
                number += 1
    finally:
        reader.close()
    assert not faults, "\n".join([f"{len(faults)} of {outcomes.total()}:", *faults])
    return outcomes


if __name__ == "__main__":
    found = fuzz(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    print(f"{found.total()} damaged scans:", ", ".join(f"{count} {text}" for text, count in found.most_common()))
