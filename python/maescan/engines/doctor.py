"""`maescan doctor`: what this machine is, what it can run, and the command to get what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import platform
from collections.abc import Iterator, Mapping
from functools import cache

from maescan import __version__
from maescan.engines.targets import TARGETS
from maescan.errors import EXTRAS, installing
from maescan.machine import Gpu, available_cores, cpu_features, cpu_name, driver_version, found_gpus, why_no_more

Row = tuple[str, str, str]
"""What it is about, what was found, what to do (empty: nothing)."""


def show(*, as_json: bool = False) -> None:
    """Prints one line a finding, and under it the command to get what is missing; or all of it as JSON."""
    told = [(name, found, installing(remedy)) for name, found, remedy in rows()]
    if as_json:
        print(
            json.dumps([{"name": name, "found": found, "remedy": remedy} for name, found, remedy in told], indent=1)
        )
        return
    for name, found, remedy in told:
        print(f"{name:<18} {found}" + (f"\n{'':<18}   -> {remedy}" if remedy else ""))


def rows() -> Iterator[Row]:
    """The findings: software, CPU, GPU, then every target and every extra."""
    yield "maescan", f"{__version__}, Python {platform.python_version()}, {platform.platform()}", ""
    yield _extension()
    yield "cpu", f"{cpu_name()}; {available_cores()} cores for this process", ""
    yield "fastest precision", _precision(), ""
    yield from _gpu()
    yield from (_target(name) for name in TARGETS)
    for name, packages in EXTRAS.items():
        if name in TARGETS or name == "tensorrt":  # told above, with what it runs on
            continue
        lacks = [package for package in packages.split() if not _version(package)]
        yield (
            name,
            f"lacks {', '.join(lacks)}" if lacks else "ready",
            f"pip install 'maescan[{name}]'" if lacks else "",
        )


def _extension() -> Row:
    try:
        from maescan import kernels
    except ImportError as error:
        return "kernels", f"not built: {error}", "pip install --editable . (needs a C++ compiler)"
    if kernels.has_cuda():
        return "kernels", "CPU and CUDA", ""
    needed = f"to score on a GPU, in maescan's sources, beside CUDA's nvcc: {kernels.WITH_CUDA}"
    return "kernels", "CPU only", needed if found_gpus() else ""


def _precision() -> str:
    features = cpu_features()
    if {"avx512_bf16", "amx_bf16"} & set(features):
        return "int8 or bf16 in hardware" if {"avx512_vnni", "amx_int8"} & set(features) else "bf16 in hardware"
    return "int8 in hardware; bf16 runs as fp32" if "vnni" in " ".join(features) else "fp32; bf16 runs as fp32"


def _gpu() -> Iterator[Row]:
    version = driver_version()
    if version is None:
        yield "gpu", "no NVIDIA driver", "install NVIDIA's driver 580 or newer to score on a GPU"
        return
    yield (
        "driver",
        f"CUDA {version // 1000}.{version % 1000 // 10}",
        "update to 580 or newer" if version < 13000 else "",
    )
    found = found_gpus()
    if not found:
        yield "gpu", f"none found{why_no_more()}", "see what nvidia-smi says"
    for gpu in found:
        yield f"cuda:{gpu.number}", f"{gpu}, {gpu.memory / 2**30:.0f} GiB: {_takes(gpu)}", ""


def _takes(gpu: Gpu) -> str:
    """The targets that run on a GPU, each with its precisions, best first."""
    known = {
        target.name: [name for name in target.precisions if not target.lacks(gpu, name)]
        for target in TARGETS.values()
        if not target.lacks(gpu)
    }
    return "; ".join(f"{name} in {', '.join(precisions)}" for name, precisions in known.items()) or "too old"


def _target(name: str) -> Row:
    target, found = TARGETS[name], found_gpus()
    version, fitting = _version(target.package), [gpu for gpu in found if not target.lacks(gpu)]
    if target.kinds == ("cuda",) and found and not fitting:
        return name, f"does not run on {', '.join(map(str, found))}", ""
    if not version:
        return name, "not installed", target.install
    if target.kinds == ("cuda",):
        if not _version("cuda.bindings"):
            return name, f"{version}; lacks cuda-bindings", "pip install cuda-bindings"
        if not found:
            return name, f"{version}; runs nothing here: no GPU", ""
    where = [*(["cpu"] if "cpu" in target.kinds else []), *(f"cuda:{gpu.number}" for gpu in fitting)]
    return name, f"{version}; runs on {' and '.join(where)}", ""


def _version(module: str) -> str | None:
    """The version of a package that can be imported, without importing it."""
    try:
        if importlib.util.find_spec(module) is None:
            return None
    except ImportError:
        return None
    top = module.partition(".")[0]
    for distribution in _distributions().get(top, [top]):
        return importlib.metadata.version(distribution)
    return "found"


@cache
def _distributions() -> Mapping[str, list[str]]:
    """What brings a package: reading it takes as long as all else here."""
    return importlib.metadata.packages_distributions()
