"""What bench/gpu_check.py measures on a card, a step a command; each prints one line of JSON.

python bench/gpu_steps.py build | drift | rate | memory | folder | restart [--device cuda] [--preset brats] ...

Needs no network; where TensorRT is missing, engines are TorchScript's. Slices are discs on air, so that nothing but
the package, numpy, torch and timm is needed (`folder` needs what reads scans, too).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SCAN = 155
"""Slices of a head scan."""


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
    given = parser.parse_args()
    print(json.dumps({"step": given.step, **STEPS[given.step](given)}))


def build(given: argparse.Namespace) -> dict[str, Any]:
    """The package in place, with CUDA for this card alone; nothing is fetched."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "--quiet"]
    defines = [f"-Ccmake.define.MAESCAN_CUDA_ARCHITECTURES={given.architectures}", "-Ccmake.define.MAESCAN_CUDA=ON"]
    subprocess.run([*command, *defines, "--editable", str(ROOT)], check=True)
    return {"seconds": time.perf_counter() - start, "architectures": given.architectures}


def drift(given: argparse.Namespace) -> dict[str, Any]:
    """Each engine's drift from the fp32 reference on the golden slices, or why it is refused."""
    _switch(given)
    return {"path": given.path, "engines": [row for row, _ in _engines(given)]}


def rate(given: argparse.Namespace) -> dict[str, Any]:
    """Slices a second by batch, the time of a scan and of one slice, step by step or from the captured graph."""
    _switch(given)
    rows = []
    for row, opened in _engines(given):
        if opened is not None:
            rows.append({**row, **_rates(given, *opened)})
            opened[1].close()
    return {"graphs": given.graphs, "kernels": given.kernels, "path": given.path, "engines": rows}


def memory(given: argparse.Namespace) -> dict[str, Any]:
    """Bytes of the GPU that an engine holds with places of every size, and whether it could be captured."""
    rows = []
    for row, opened in _engines(given):
        if opened is None:
            continue
        bundle, engine = opened
        from maescan.method.score import score_slices

        for count in given.batches:
            for maps in (False, True):
                score_slices(_slices(bundle.preset, count), np.arange(count), engine, bundle.preset, maps=maps)
        rows.append({**row, "bytes": _used(given.device), "captured": _captured(engine)})
        engine.close()
        rows[-1]["bytes after close"] = _used(given.device)
    return {"engines": rows}


def folder(given: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a folder of scans with the path on the device and, the networks alone there, on the host."""
    from maescan.benchmark.folder import write_scans
    from maescan.scoring.options import ScoreOptions
    from maescan.scoring.pipeline import score_folder

    rows = []
    with tempfile.TemporaryDirectory(prefix="maescan-gpu-") as temporary:
        at = Path(temporary)
        for row, opened in _engines(given):
            if opened is None:
                continue
            (bundle, engine), seconds = opened, {}
            scans = write_scans(at / "scans", given.scans, (240, 240, 64), bundle.preset)
            for name, used in (("device", engine), ("host", HostOnly(engine)), ("device again", engine)):
                start = time.perf_counter()
                score_folder([scans], bundle, used, at / name / engine.name, ScoreOptions())
                seconds[name] = time.perf_counter() - start
            engine.close()
            rows.append({**row, **seconds})
    return {"scans": given.scans, "engines": rows}


def restart(given: argparse.Namespace) -> dict[str, Any]:
    """Seconds to the first score of a process, the caches empty and then full."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="maescan-gpu-") as temporary:
        bundle = _bundle(given, Path(temporary))
        for target in given.to:
            code = START.format(bundle=bundle, device=given.device, target=target, precision=given.precision[0])
            cache = {"XDG_CACHE_HOME": f"{temporary}/cache-{target}"}
            rows.append({"target": target, "seconds": [_first_score(code, cache) for _ in range(3)]})
    return {"engines": rows}


STEPS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    step.__name__: step for step in (build, drift, rate, memory, folder, restart)
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


class HostOnly:
    """An engine without its places: its networks run on the device, everything between on the host."""

    def __init__(self, engine: Any) -> None:
        self.name, self.batch, self.close = engine.name, engine.batch, lambda: None
        self.reconstruct, self.classify = engine.reconstruct, engine.classify


def _engines(given: argparse.Namespace) -> Iterator[tuple[dict[str, Any], tuple[Any, Any] | None]]:
    """(what is known of it, bundle and engine or None) of each target and precision that was asked for."""
    from maescan import engines
    from maescan.engines.bundle import Bundle
    from maescan.engines.golden import golden_drift
    from maescan.errors import MaescanError

    with tempfile.TemporaryDirectory(prefix="maescan-gpu-") as temporary:
        bundle = Bundle.load(_bundle(given, Path(temporary)))
        for values in bundle.engines().values():
            wanted = {"target": values["target"], "precision": values["precision"]}
            try:
                start = time.perf_counter()
                engine = engines.load(bundle, device=given.device, trust=True, **wanted)
                found = {"load_s": time.perf_counter() - start, "drift": golden_drift(bundle, engine)}
                yield {**wanted, **found, "device": engine.device_name}, (bundle, engine)
            except MaescanError as error:
                yield {**wanted, "refused": str(error)}, None


def _bundle(given: argparse.Namespace, at: Path) -> Path:
    """A bundle of random weights with the engines asked for, its slices discs on air."""
    from maescan.benchmark import weights
    from maescan.config import preset

    images = _slices(preset(given.preset), 48)
    chosen = weights.with_buckets(preset(given.preset), images)
    return weights.random_bundle(chosen, at / "random", tuple(given.precision), images, to=tuple(given.to))


def _slices(preset: Any, count: int) -> Any:
    """Discs [N, H, W] of noise on air, of the sizes that the slices of a head have."""
    size, rng = preset.model.image_size, np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size - 0.5
    radius = 0.05 + 0.3 * np.sin(np.linspace(0.1, np.pi - 0.1, count))
    inside = y**2 + x**2 < radius[:, None, None] ** 2
    air = -10.0 if preset.intensity.method == "hu" else 0.0
    return np.where(inside, rng.random((count, size, size)) + 0.5, air).astype(np.float32)


def _rates(given: argparse.Namespace, bundle: Any, engine: Any) -> dict[str, Any]:
    from maescan.benchmark.engines import timed
    from maescan.method.score import score_slices

    def seconds(count: int, least: float) -> list[float]:
        images, ids = _slices(bundle.preset, count), np.arange(count)
        return timed(lambda: score_slices(images, ids, engine, bundle.preset), least)

    taken = {count: seconds(count, given.seconds) for count in (*given.batches, SCAN, 4 * SCAN)}
    return {
        "slices_per_second": {count: count / min(times) for count, times in taken.items()},
        "scan_s": statistics.median(taken[SCAN]),
        "slice_s": statistics.median(taken[given.batches[0]]) if given.batches[0] == 1 else None,
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
