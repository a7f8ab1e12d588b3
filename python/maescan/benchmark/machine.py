"""What a figure was measured on: machine, versions, commit; power and peak memory where the system tells."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import threading
import time
from pathlib import Path

from maescan import __version__
from maescan.config.types import Json
from maescan.machine import available_cores, cpu_name, driver_name, gpu_uuid, gpus

PACKAGES = ("openvino", "onnxruntime", "torch", "timm", "tensorrt_rtx_cu13", "tensorrt", "cuda-bindings",
            "numpy", "transformers", "anomalib")  # fmt: skip
RAPL = Path("/sys/class/powercap")


def describe() -> Json:
    """Machine, versions and commit, as JSON types."""
    return {
        "machine": {
            "cpu": cpu_name(),
            "cores": available_cores(),
            "memory_gib": round(_memory() / 2**30, 1),
            "load": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
            "gpus": gpus(),
            "driver": driver_name() if gpus() else None,
            "system": platform.platform(),
        },
        "versions": {"maescan": __version__, "python": platform.python_version(), **_versions()},
        "commit": commit(),
    }


def commit() -> str | None:
    """The commit that the package runs from, "-dirty" where files differ from it; None outside a checkout."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def peak_memory() -> int | None:
    """Bytes that this process has held at most; None where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), None)


class Watts:
    """Mean power while the block runs: `.watts` of the GPU (nvidia-smi) or CPU packages (RAPL); None if untold."""

    def __init__(self, device: str) -> None:
        self.on_gpu = device.startswith("cuda")
        self.gpu = gpu_uuid(int(device.partition(":")[2] or 0)) if self.on_gpu else None
        self.watts: float | None = None
        self._samples: list[float] = []
        self._stop = threading.Event()

    def __enter__(self) -> Watts:
        self._start, self._before = time.perf_counter(), _joules()
        if self.gpu is not None and shutil.which("nvidia-smi"):
            self._thread = threading.Thread(target=self._sample, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        after, seconds = _joules(), time.perf_counter() - self._start
        if self.on_gpu:
            self.watts = sum(self._samples) / len(self._samples) if self._samples else None
        elif self._before is not None and after is not None and after > self._before:
            self.watts = (after - self._before) / seconds

    def _sample(self) -> None:
        query = ["nvidia-smi", "-i", str(self.gpu), "--query-gpu=power.draw", "--format=csv,noheader,nounits"]
        while not self._stop.wait(0.1):
            told = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
            if told.replace(".", "", 1).isdigit():
                self._samples.append(float(told))


def _joules() -> float | None:
    """Energy counters of all CPU packages together; None where they cannot be read."""
    try:
        found = [int(file.read_text()) for file in RAPL.glob("intel-rapl:[0-9]/energy_uj")]
    except OSError:
        return None
    return sum(found) / 1e6 if found else None


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
