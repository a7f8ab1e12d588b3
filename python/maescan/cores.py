"""How many CPU cores this process may use: affinity and control-group limits, not what the machine has."""

from __future__ import annotations

import functools
import math
import os
from pathlib import Path


@functools.cache
def usable(root: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> int:
    """Cores of the affinity mask, no more than the CPU quota of any enclosing control group; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *_quotas(root, groups)]))


def _quotas(root: Path, groups: Path) -> list[int]:
    try:
        lines = [line.split(":", 2) for line in groups.read_text().splitlines()]
    except OSError:
        return []
    found = []
    for _, controllers, path in (line for line in lines if len(line) == 3):
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / controllers if controllers else root
        here = base / path.lstrip("/")
        found += [_quota(folder) for folder in {base, here, *here.parents} if folder.is_relative_to(base)]
    return [math.ceil(quota) for quota in found if quota]


def _quota(folder: Path) -> float | None:
    """Cores that a group may use: version 2's cpu.max, or version 1's quota and period. None: no limit."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{part}_us").read_text() for part in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):
        return None
