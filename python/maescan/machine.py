"""What this machine is, found without torch: the cores that this process may use, its CPU, its GPUs."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import platform
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from maescan.decimals import counted
from maescan.errors import EngineError

INDUCTOR = "TORCHINDUCTOR_CACHE_DIR"
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")

_SAFE = threading.RLock()


@contextlib.contextmanager
def safe_path() -> Iterator[None]:
    """Python processes that are started meanwhile take no module from the folder that the command was typed in: it
    holds scans, or a bundle from somewhere."""
    with _SAFE:
        before = os.environ.get("PYTHONSAFEPATH")
        os.environ["PYTHONSAFEPATH"] = "1"
        try:
            yield
        finally:
            if before is None:
                del os.environ["PYTHONSAFEPATH"]
            else:
                os.environ["PYTHONSAFEPATH"] = before


def users_environment() -> dict[str, str]:
    """The environment as the user gave it, whatever `safe_path` does just now: for commands of theirs."""
    with _SAFE:
        return dict(os.environ)


@cache
def available_cores(root: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> int:
    """Cores of the affinity mask, no more than the CPU quota of any enclosing control group; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *_quotas(root, groups)]))


def _quotas(root: Path, groups: Path) -> list[int]:
    return [math.ceil(quota) for quota in map(_quota, _groups(root, groups, "cpu")) if quota]


def _groups(root: Path, groups: Path, controller: str) -> set[Path]:
    """The folders of the control groups that hold this process, of both versions, for one controller."""
    try:
        lines = [line.split(":", 2) for line in groups.read_text().splitlines()]
    except OSError:
        return set()
    found: set[Path] = set()
    for _, controllers, path in (line for line in lines if len(line) == 3):
        if controllers and controller not in controllers.split(","):
            continue
        base = root / controllers if controllers else root
        here = base / path.lstrip("/")
        found |= {folder for folder in {base, here, *here.parents} if folder.is_relative_to(base)}
    return found


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


@cache
def memory(root: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> int:
    """Bytes of memory that this process may use: the machine's, no more than any enclosing control group's limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = (_memory_limit(folder) for folder in _groups(root, groups, "memory"))
    return min([total, *(limit for limit in limits if limit)])


def _memory_limit(folder: Path) -> int | None:
    for name in ("memory.max", "memory.limit_in_bytes"):
        try:
            return int((folder / name).read_text())
        except (OSError, ValueError):  # not there, or "max"
            continue
    return None


@cache
def _cpuinfo() -> dict[str, str]:
    try:
        text = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def cpu_name() -> str:
    """Model and the instruction sets that decide an engine's arithmetic: two machines of one name compute alike."""
    known = _cpuinfo()
    return " ".join([known.get("model name") or platform.processor() or platform.machine(), *cpu_features()])


def cpu_features() -> tuple[str, ...]:
    """Those of FEATURES that this CPU has."""
    flags = set(_cpuinfo().get("flags", "").split())
    return tuple(name for name in FEATURES if name in flags)


def driver_version() -> int | None:
    """The CUDA version that the NVIDIA driver supports, as 1000 * major + 10 * minor; None without a driver."""
    found, version = _driver(), ctypes.c_int()
    return version.value if found and found.cuDriverGetVersion(ctypes.byref(version)) == 0 else None


def driver_name(file: Path = Path("/sys/module/nvidia/version")) -> str:
    """The driver's release; where the system does not tell, the CUDA version that it supports."""
    with contextlib.suppress(OSError):
        return f"driver {file.read_text().strip()}"
    version = driver_version() or 0
    return f"a driver of CUDA {version // 1000}.{version % 1000 // 10}"


def gpu_uuid(number: int) -> str | None:
    """A GPU by the name that nvidia-smi takes, which counts in another order, those too that CUDA_VISIBLE_DEVICES
    hides. None where the driver does not tell."""
    driver, device, raw = _driver(), ctypes.c_int(), (ctypes.c_ubyte * 16)()
    if not driver or driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), number):
        return None
    return None if driver.cuDeviceGetUuid_v2(raw, device) else f"GPU-{uuid.UUID(bytes=bytes(raw))}"


@dataclass(frozen=True)
class Gpu:
    """capability: the compute capability, (8, 9) for an Ada card; memory in bytes."""

    number: int
    name: str
    capability: tuple[int, int]
    memory: int

    def __str__(self) -> str:
        return f"{self.name} (compute capability {self.capability[0]}.{self.capability[1]})"


def found_gpus() -> list[Gpu]:
    """The GPUs that the driver offers; empty without driver or GPU."""
    driver, count = _driver(), ctypes.c_int()
    if not driver or driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return []
    return [_gpu(driver, number) for number in range(count.value)]


def _gpu(driver: ctypes.CDLL, number: int) -> Gpu:
    device, name, memory = ctypes.c_int(), ctypes.create_string_buffer(256), ctypes.c_size_t()
    driver.cuDeviceGet(ctypes.byref(device), number)
    driver.cuDeviceGetName(name, 256, device)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    major, minor = (_attribute(driver, device, attribute) for attribute in (75, 76))
    return Gpu(number, name.value.decode(errors="replace"), (major, minor), memory.value)


def _attribute(driver: ctypes.CDLL, device: ctypes.c_int, attribute: int) -> int:
    value = ctypes.c_int()
    driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
    return value.value


def gpus() -> list[str]:
    """Names of the GPUs that the driver offers; empty without driver or GPU."""
    return [gpu.name for gpu in found_gpus()]


def require_gpu(device: str) -> Gpu:
    """The GPU that `device` (cuda or cuda:N) names. Raises EngineError: no driver, no GPU, or not N."""
    if driver_version() is None:
        raise EngineError(
            f"--device {device}: no NVIDIA driver is installed", remedy="install it, or use --device cpu"
        )
    found, number = found_gpus(), int(device.partition(":")[2] or 0)
    if not found:
        reason = f"--device {device}: the driver finds no GPU{why_no_more()}"
        raise EngineError(reason, remedy="run nvidia-smi, or use --device cpu")
    if number >= len(found):
        count = counted(len(found), "GPU")
        raise EngineError(f"--device {device}: this machine has {count}{why_no_more()}", remedy="use cuda:0")
    return found[number]


def why_no_more() -> str:
    """What the driver says where it does not start, and the variable that hides GPUs from it, not from nvidia-smi."""
    driver, word = _driver(), ctypes.c_char_p()
    code = driver.cuInit(0) if driver else 0
    if driver and code:
        driver.cuGetErrorName(code, ctypes.byref(word))
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    said = [f": {(word.value or str(code).encode()).decode()}"] if code else []
    return "".join([*said, *([f", with CUDA_VISIBLE_DEVICES={hidden!r}"] if hidden is not None else [])])


@cache
def _driver() -> ctypes.CDLL | None:
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def cache_folder() -> Path:
    """The user's cache: XDG_CACHE_HOME/maescan, or ~/.cache/maescan. Of a user without a home, as in a container,
    a place where nothing can be written and nothing is found."""
    with contextlib.suppress(RuntimeError):  # Path.home()'s
        given = Path(os.environ.get("XDG_CACHE_HOME", ""))
        folder = given if given.is_absolute() else Path.home() / ".cache"
        if folder.is_absolute():
            return folder / "maescan"
    return Path(os.devnull) / "maescan"


def torch_settings() -> dict[str, str]:
    """For the environment, before torch is loaded: its compiler makes a folder in the temporary one as soon as it is
    imported, which stays. It goes into the user's cache, where there is one to write into."""
    folder = cache_folder() / "torch"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        return {} if INDUCTOR in os.environ else {INDUCTOR: str(folder)}
    return {}
