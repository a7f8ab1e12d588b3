"""What bench/gpu_check.py measures on a card, a step a command; each prints one line of JSON.

python bench/gpu_steps.py packages | build | bundle | drift | rate | ... [--device cuda] [--preset brats] ...

Needs no network; where TensorRT is missing, engines are TorchScript's. Slices are discs on air, so that nothing but
PACKAGES is needed (`folder` needs what reads scans, too). `bundle` makes engines once, for all steps behind it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gpu_engines import HostOnly, bundle_of, engines_of, random_bundle, raw_of, slices_of

ROOT = Path(__file__).resolve().parent.parent
SCAN = 155
"""Slices of a head scan."""

PACKAGES = ("numpy", "msgspec", "safetensors", "torch", "torchvision", "timm", "skimage", "onnxruntime", "pytest",
            "hypothesis", "pybind11", "scikit_build_core", "cuda.bindings.runtime")  # fmt: skip
NAMED = {"skimage": "scikit-image", "cuda.bindings.runtime": "cuda-bindings", "tensorrt_rtx": "tensorrt-rtx-cu13"}
TENSORRT = ("tensorrt_rtx", "onnx", "ml_dtypes", "nibabel", "isal")
"""What a plan needs, and what one with TensorRT needs beside it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--preset", default="brats")
    parser.add_argument("--to", nargs="+", default=["torchscript"])
    parser.add_argument("--precision", nargs="+", default=["fp16"])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--scans", type=int, default=24)
    parser.add_argument("--graphs", choices=["on", "off"], default="on")
    parser.add_argument("--kernels", choices=["EAGER", "LAZY"], default="EAGER", help="TensorRT-RTX's strategy")
    parser.add_argument("--path", choices=["whole", "steps"], default="whole", help="one graph, or a network a time")
    parser.add_argument("--architectures", default="native")
    parser.add_argument("--bundle", type=Path, help="made by the step `bundle`; without it each step makes its own")
    given = parser.parse_args()
    found = STEPS[given.step](given)
    print(json.dumps({"step": given.step, **found}))
    sys.exit(1 if found.get("missing") else 0)


def packages(given: argparse.Namespace) -> dict[str, Any]:
    """The versions of what a plan needs, and what of it is missing: the step fails then."""
    from importlib import metadata, util

    missing, versions = [], {}
    for name in PACKAGES + (TENSORRT if "tensorrt-rtx" in given.to else ()):
        try:
            found = util.find_spec(name) is not None
        except ImportError:  # what it lies in is missing itself
            found = False
        if not found:
            missing.append(name)
            continue
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(NAMED.get(name, name))
    return {"python": sys.version.split()[0], "versions": versions, "missing": missing}


def build(given: argparse.Namespace) -> dict[str, Any]:
    """The package in place, with CUDA for this card alone; nothing is fetched."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "--quiet"]
    defines = [f"-Ccmake.define.MAESCAN_CUDA_ARCHITECTURES={given.architectures}", "-Ccmake.define.MAESCAN_CUDA=ON"]
    subprocess.run([*command, *defines, "--editable", str(ROOT)], check=True)
    return {"seconds": time.perf_counter() - start, "architectures": given.architectures}


def bundle(given: argparse.Namespace) -> dict[str, Any]:
    """A bundle at --bundle with every engine asked for that can be built: one that fails stops no other."""
    from maescan.export import add_engine

    pairs = [(target, precision) for target in given.to for precision in given.precision]
    made, rows = None, []
    for target, precision in pairs:
        start = time.perf_counter()
        row: dict[str, Any] = {"target": target, "precision": precision}
        try:
            if made is None:
                made = random_bundle(given, given.bundle, (target,), (precision,))
            else:
                add_engine(made, (target,), (precision,))
        except Exception as error:
            row["refused"] = f"{type(error).__name__}: {error}"
        rows.append({**row, "seconds": time.perf_counter() - start})
    return {"engines": rows}


def drift(given: argparse.Namespace) -> dict[str, Any]:
    """Each engine's drift from the fp32 reference on the golden slices, or why it is refused."""
    _switch(given)
    return {"path": given.path, "engines": [row for row, _ in engines_of(given)]}


def rate(given: argparse.Namespace) -> dict[str, Any]:
    """Slices per second by batch, the time of a scan and of one slice, step by step or from the captured graph."""
    _switch(given)
    rows = []
    for row, opened in engines_of(given):
        rows.append({**row, **(_rates(given, *opened) if opened else {})})
        if opened:
            opened[1].close()
    return {"graphs": given.graphs, "kernels": given.kernels, "path": given.path, "engines": rows}


def shares(given: argparse.Namespace) -> dict[str, Any]:
    """Where the time of the largest batch goes: its longest kernels, each with its share, by torch's profiler."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from maescan.method.score import score_slices

    rows, cpu = [], given.device == "cpu"
    for row, opened in engines_of(given):
        if opened is None:
            rows.append(row)
            continue
        made, engine = opened
        images, ids = slices_of(made.preset, given.batches[-1]), np.arange(given.batches[-1])
        score_slices(images, ids, engine, made.preset)
        with profile(activities=[ProfilerActivity.CPU if cpu else ProfilerActivity.CUDA]) as seen:
            for _ in range(4):
                score_slices(images, ids, engine, made.preset)
            if not cpu:
                torch.cuda.synchronize()
        times = {each.key: each.self_cpu_time_total if cpu else each.self_device_time_total
                 for each in seen.key_averages()}  # fmt: skip
        whole, longest = sum(times.values()) or 1, sorted(times, key=lambda name: -times[name])[:16]
        rows.append(
            {**row, "us_a_slice": whole / 4 / len(ids), "shares": {n[:90]: times[n] / whole for n in longest}}
        )
        engine.close()
    return {"engines": rows}


def memory(given: argparse.Namespace) -> dict[str, Any]:
    """Bytes of the GPU that an engine holds with places of every size, seconds to make these, and whether they could
    be captured."""
    from maescan.method.score import score_slices

    rows = []
    for row, opened in engines_of(given):
        if opened is None:
            rows.append(row)
            continue
        made, engine = opened
        start = time.perf_counter()
        for count in given.batches:
            for maps in (False, True):
                score_slices(slices_of(made.preset, count), np.arange(count), engine, made.preset, maps=maps)
        seconds = time.perf_counter() - start
        rows.append({**row, "bytes": _used(given.device), "places_s": seconds, "captured": _captured(engine)})
        engine.close()
        rows[-1]["bytes after close"] = _used(given.device)
    return {"engines": rows}


def folder(given: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a folder of scans with the path on the device, from raw voxels and from slices, and with the
    networks alone there."""
    from maescan.benchmark.folder import write_scans
    from maescan.machine import available_cores
    from maescan.scoring import pool
    from maescan.scoring.options import ScoreOptions
    from maescan.scoring.pipeline import score_folder

    rows, options = [], ScoreOptions(workers=max(2, available_cores() - 2))
    with tempfile.TemporaryDirectory(prefix="maescan-gpu-") as temporary:
        at = Path(temporary)
        for row, opened in engines_of(given):
            if opened is None:
                rows.append(row)
                continue
            (made, engine), seconds, rates = opened, {}, {}
            scans = at / "scans"
            if not scans.exists():
                write_scans(scans, given.scans, (240, 240, 155), made.preset)
            ways = ("raw", engine), ("slices", engine), ("host", HostOnly(engine)), ("raw again", engine)
            for name, used in ways:
                pool.RAW = name != "slices"
                start = time.perf_counter()
                summary = score_folder([scans], made, used, at / name / engine.name, options)
                seconds[name] = time.perf_counter() - start
                rates[name] = summary.slices / summary.seconds
            engine.close()
            rows.append({**row, "seconds": seconds, "slices_per_second": rates})
    return {"scans": given.scans, "readers": options.workers, "engines": rows}


def restart(given: argparse.Namespace) -> dict[str, Any]:
    """Seconds to the first score of a process, the caches empty and then full."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="maescan-gpu-") as temporary:
        made = bundle_of(given, Path(temporary))
        for target in given.to:
            code = START.format(bundle=made, device=given.device, target=target, precision=given.precision[0])
            cache = {"XDG_CACHE_HOME": f"{temporary}/cache-{target}"}
            rows.append({"target": target, "seconds": [_first_score(code, cache) for _ in range(3)]})
    return {"engines": rows}


STEPS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    step.__name__: step for step in (packages, build, bundle, drift, rate, shares, memory, folder, restart)
}

START = """
import time; start = time.perf_counter()
from pathlib import Path
import numpy as np
from maescan import engines
from maescan.engines.bundle import Bundle
from maescan.method.score import score_slices
bundle = Bundle.load(Path("{bundle}"))
engine = engines.load(bundle, device="{device}", target="{target}", precision="{precision}", trust=True)
size = bundle.preset.model.image_size
score_slices(np.ones((1, size, size), np.float32), [0], engine, bundle.preset)
print(time.perf_counter() - start)
"""


def _rates(given: argparse.Namespace, made: Any, engine: Any) -> dict[str, Any]:
    from maescan.benchmark.engines import timed
    from maescan.method.score import score_slices
    from maescan.method.tokens import token_sets

    def seconds(images: Any, sets: Any) -> list[float]:
        ids = np.arange(len(images))
        return timed(lambda: score_slices(images, ids, engine, made.preset, sets=sets), given.seconds)

    def of_made(count: int) -> list[float]:
        images = slices_of(made.preset, count)
        return seconds(images, token_sets(images, made.preset))  # which readers find, not the engine's thread

    counts = (*given.batches, SCAN, 4 * SCAN)
    taken = {count: of_made(count) for count in counts}
    raw: dict[str, float] = {}
    with contextlib.suppress(ImportError):  # where nibabel is not, no scan has axes
        voxels, sets = raw_of(made.preset, given.batches[-1] if given.device == "cpu" else SCAN)
        raw["scan_raw_s"] = statistics.median(seconds(voxels, sets))
        raw["scan_made_s"] = statistics.median(seconds(voxels.extracted(), sets))
    return {
        "slices_per_second": {count: count / min(times) for count, times in taken.items()},
        "scan_s": statistics.median(taken[SCAN]),
        "slice_s": statistics.median(taken[given.batches[0]]) if given.batches[0] == 1 else None,
        **raw,
    }


def _switch(given: argparse.Namespace) -> None:
    from maescan.engines import network, place, tensorrt

    place.GRAPHS, network.SPECIALISE = given.graphs == "on", given.kernels
    tensorrt.WHOLE = given.path == "whole"


def _captured(engine: Any) -> bool | None:
    held = getattr(engine, "places", None)
    return all(made.graph is not None for made in held.values()) if held else None


def _used(device: str) -> int | None:
    import torch

    if device == "cpu":
        return None
    free, whole = torch.cuda.mem_get_info(device)
    return whole - free


def _first_score(code: str, environment: dict[str, str]) -> float:
    import os

    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    main()
