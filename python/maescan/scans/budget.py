"""The time and the memory that one scan may cost, checked before anything is allocated."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from maescan.errors import ScanError
from maescan.machine import available_cores, memory
from maescan.options import ReadOptions

DEFAULT_SECONDS = 600.0
SHARE = 4
"""The default budget of memory is the machine's divided by this: two readers and the scans in the queue fit."""
COPIES = 3
"""Arrays as large as a scan's slices that scoring keeps of it at once: the slices, their maps, the volume."""

SLACK = 2**28
STACK = 2**24
"""Bytes beside a scan's: libraries' own, and those of a thread a core."""

_limit: ContextVar[int | None] = ContextVar("limit", default=None)
_listener: ContextVar[Callable[[Path], None] | None] = ContextVar("listener", default=None)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """seconds: that reading one scan, or looking into one file, may take. memory: bytes that it may take; None: a
    quarter of this machine's."""

    seconds: float = DEFAULT_SECONDS
    memory: int | None = None

    @classmethod
    def of(cls, options: ReadOptions) -> Limits:
        """Those that were asked for."""
        memory = options.limit_memory_gb
        return cls(seconds=options.limit_s, memory=None if memory is None else int(memory * 1e9))

    @property
    def bytes(self) -> int:
        """The budget of memory."""
        return self.memory or memory() // SHARE


def set_memory(limit: int) -> None:
    """The budget of this process in bytes, and a bound for what slips by the checks: allocation fails above it."""
    _limit.set(limit)
    with contextlib.suppress(ImportError, OSError, ValueError):  # no such limit here, or a lower one is set
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = _data_bytes() + limit + SLACK + STACK * available_cores()
        resource.setrlimit(resource.RLIMIT_DATA, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _data_bytes() -> int:
    """What this process counts against RLIMIT_DATA already."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) << 10
    raise OSError("no VmData")


def check_memory(need: int, what: str, path: Path) -> None:
    """Raises ScanError where `need` bytes are over the budget of this process, before anybody takes them."""
    limit = _limit.get() or Limits().bytes
    if need > limit:
        reason = f"{what} take {gigabytes(need)} of memory, more than the {gigabytes(limit)} that a scan may"
        remedy = f"if it is a scan, allow it more: --limit-memory {math.ceil(need / 1e9)}"
        raise ScanError(reason, path=path, remedy=remedy)


def check_slices(slices: int, side: int, voxels: int, path: Path) -> None:
    """Raises ScanError where `slices` of side x side pixels beside `voxels` bytes of the scan are over the budget."""
    check_memory(voxels + COPIES * slices * side * side * 4, f"{slices} slices of {side} x {side} pixels", path)


def gigabytes(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


@contextlib.contextmanager
def listening(listener: Callable[[Path], None] | None) -> Iterator[None]:
    """`listener` is told of each file that is begun to be looked into."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextlib.contextmanager
def touching(path: Path) -> Iterator[None]:
    """One file or folder that is looked into; what is touched inside (a .zip) counts as this one."""
    if listener := _listener.get():
        listener(path)
    with listening(None):
        yield
