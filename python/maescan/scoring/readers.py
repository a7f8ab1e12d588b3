"""Reading and preprocessing in processes of their own: a crash in a native library costs one scan, not the run."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import multiprocessing
import signal
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from maescan.config import Preset
from maescan.errors import ConfigError, MaescanError, ScanError
from maescan.options import ReadOptions


def content_hash(files: list[Path]) -> str:
    """SHA-256 over the bytes of a scan's files, in the order given. Raises ScanError for one that cannot be read."""
    digest = hashlib.sha256()
    for file in files:
        try:
            with open(file, "rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise ScanError(f"cannot be read: {error.strerror}", path=file, remedy="check its permissions") from error
    return digest.hexdigest()


def read_and_prepare(
    source: Any, preset: Preset, options: ReadOptions, expected: Mapping[str, Any] | None = None
) -> tuple[Any, np.ndarray, dict[str, Any]]:
    """Reads one scan: (prepared without images, images [S, H, W] float32, {affine, format, warnings, seconds})."""
    from maescan.method.preprocess import prepare
    from maescan.scans import read_scan

    start = time.perf_counter()
    scan = read_scan(source, volume=options.volume, accept=options.accept)
    middle = time.perf_counter()
    prepared: Any
    if options.regions:
        from maescan.method.regions import cut

        prepared = cut(scan, source, preset, options.regions)
    else:
        prepared = prepare(scan, preset, expected=expected)
    end = time.perf_counter()
    facts = {
        "affine": scan.affine,
        "warnings": list(dict.fromkeys([*scan.warnings, *prepared.warnings])),
        "seconds": {"read": middle - start, "preprocess": end - middle},
    }
    images = np.ascontiguousarray(prepared.images, dtype=np.float32)
    return dataclasses.replace(prepared, images=images[:0]), images, facts


def _serve(
    connection: Connection, preset: Preset, options: ReadOptions, expected: Mapping[str, Any] | None = None
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides; it closes the pipe
    with contextlib.suppress(BrokenPipeError):  # the parent is gone: the next line ends this
        connection.send(STARTED)
    while True:
        try:
            source = connection.recv()
        except EOFError:
            return
        try:
            prepared, images, facts = read_and_prepare(source, preset, options, expected)
        except MaescanError as error:
            connection.send(error)
        except MemoryError:
            connection.send(
                ScanError("does not fit in memory", path=source.path, remedy="score it on a larger machine")
            )
        except Exception as error:
            reason = f"reading failed: {type(error).__name__}: {error}"
            connection.send(ScanError(reason, path=source.path, remedy="check the file with `maescan inspect`"))
        else:
            connection.send((prepared, images.shape, facts))
            connection.send_bytes(images.data.cast("B") if images.size else b"")


TOLD_TO_STOP = (-signal.SIGTERM, 255)
"""Exit codes of a worker that was told to stop along with its parent, who may have scans to finish: SIGTERM to it,
or to the process that forks workers. Not the scan's fault."""


STARTED = "started"


class Reader:
    """One worker process, restarted when it dies. `read` returns what `read_and_prepare` does, or raises.

    expected: a bundle's "intensity", training's range of what a scan's values look like."""

    def __init__(
        self,
        preset: Preset,
        options: ReadOptions,
        expected: Mapping[str, Any] | None = None,
    ):
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(
            ["maescan.scoring.readers", "maescan.method.preprocess", "maescan.scans", "nibabel"]
        )
        self._arguments = (preset, options, expected)
        self._limit_s = options.limit_s
        self._start()

    def _start(self) -> None:
        self._pipe, child = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(child, *self._arguments), daemon=True)
        self._process.start()
        child.close()
        self._started = False

    def read(self, source: Any, again: bool = True) -> tuple[Any, np.ndarray, dict[str, Any]]:
        """Raises ScanError: the reader's own, or that its process crashed or took longer than its limit."""
        try:
            self._greet()
            self._pipe.send(source)
            if not self._pipe.poll(self._limit_s):
                self._restart()
                raise ScanError(
                    f"reading took over {self._limit_s:.0f} s", path=source.path, remedy="check the file or the disk"
                )
            answer = self._pipe.recv()
            if isinstance(answer, MaescanError):
                raise answer
            prepared, shape, facts = answer
            images = np.empty(shape, dtype=np.float32)
            if images.size:
                self._pipe.recv_bytes_into(images.data.cast("B"))
            else:
                self._pipe.recv_bytes()
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            code = self._restart()
            if again and code in TOLD_TO_STOP:
                return self.read(source, again=False)
            raise ScanError(
                f"the reader crashed (exit {code})",
                path=source.path,
                remedy="the file is likely damaged; export it anew",
            ) from error
        return prepared, images, facts

    def _greet(self) -> None:
        """Raises ConfigError for a worker that ended before it could read anything, which is no scan's fault."""
        try:
            self._started = self._started or self._pipe.recv() == STARTED
        except (EOFError, ConnectionResetError) as error:
            self._process.join()
            if self._process.exitcode in TOLD_TO_STOP:
                raise
            raise ConfigError(
                f"a reader process ended as it started (exit {self._process.exitcode})",
                remedy='a script that scores does so under `if __name__ == "__main__":`',
            ) from error

    def _restart(self) -> int | None:
        self._process.kill() if self._process.is_alive() and self._process.exitcode is None else None
        self._process.join()
        code = self._process.exitcode
        self._pipe.close()
        self._start()
        return code

    def close(self) -> None:
        self._pipe.close()
        self._process.join(timeout=2)
        if self._process.exitcode is None:
            self._process.kill()
