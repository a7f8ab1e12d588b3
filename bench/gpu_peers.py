"""The two networks of a preset on a GPU in the ways that torch has, and their matrix products alone.

    python bench/gpu_peers.py [--device cuda] [--preset brats] [--precision fp16] [--slices 32 64 128]

Ways: `eager`, the modules as an export to TorchScript has them; `torchscript`, traced and frozen; `cudnn`, eager with
cuDNN's attention; `compiled`, torch.compile.
`products`: the linear maps alone on arrays of their shapes, what no way can be faster than. Each is captured in one
CUDA graph and replayed; weights are random, all tokens are of the grid. Prints a line of JSON per number of slices.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from maescan.config import preset
from maescan.export.mixed import DTYPES, Activated, halved
from maescan.export.networks import networks
from maescan.models import Classifier, MaskedAutoencoder

Step = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--preset", default="brats")
    parser.add_argument("--precision", default="fp16", choices=["fp32", *DTYPES])
    parser.add_argument("--slices", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--ways", nargs="*", default=list(WAYS))
    given = parser.parse_args()
    for slices in given.slices:
        pairs = made(given, slices)
        maps, operations = products(pairs)
        row: dict[str, Any] = {
            "slices": slices,
            "gflop": operations / 1e9 / slices,
            "products": measured(given, maps),
        }
        for way in given.ways:
            try:
                row[way] = measured(given, WAYS[way](pairs))
            except Exception as error:  # whatever it is, the other ways are measured
                row[way] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        said = {"step": "peers", "preset": given.preset, "precision": given.precision, "ms": row}
        print(json.dumps(said), flush=True)


def made(given: argparse.Namespace, slices: int) -> list[tuple[nn.Module, tuple[Tensor, ...]]]:
    """(network, its inputs) of the MAE and the classifier, as an export to TorchScript has them."""
    chosen, found = preset(given.preset), []
    torch.manual_seed(0)
    dtype = DTYPES.get(given.precision, torch.float32)
    pair = MaskedAutoencoder(chosen.model).eval(), Classifier(chosen.model).eval()
    for name, module, example in networks(*pair, chosen, hidden=True):
        rows = slices * (chosen.masks.passes if name == "mae" else 1)
        network = halved(module, given.precision, narrow=True).to(given.device)
        inputs = (value[:1].expand(rows, *value.shape[1:]).contiguous() for value in example.values())
        found.append((network, tuple(v.to(given.device, dtype if v.is_floating_point() else None) for v in inputs)))
    return found


def products(pairs: list[tuple[nn.Module, tuple[Tensor, ...]]]) -> tuple[Step, float]:
    """All linear maps on arrays of the shapes that they are given, and their operations."""
    calls: list[tuple[Any, Tensor]] = []
    for module, inputs in pairs:
        hooks = [each.register_forward_hook(lambda made, given, _: calls.append((made, given[0].clone())))
                 for each in module.modules() if isinstance(each, nn.Linear | Activated)]  # fmt: skip
        module(*inputs)
        for hook in hooks:
            hook.remove()
    operations = sum(2.0 * x.numel() * len(linear.weight) for linear, x in calls)
    return lambda: [linear(x) for linear, x in calls], operations


def measured(given: argparse.Namespace, step: Step) -> float:
    """Milliseconds, the median of replays."""
    if given.device == "cpu":
        step()
        start = time.perf_counter()
        step()
        return 1e3 * (time.perf_counter() - start)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    side.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        step()
    times: list[float] = []
    ends = time.perf_counter() + given.seconds
    while time.perf_counter() < ends or len(times) < 3:
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        graph.replay()
        last.record()
        last.synchronize()
        times.append(first.elapsed_time(last))
    return statistics.median(times)


def eager(pairs: list[tuple[nn.Module, tuple[Tensor, ...]]]) -> Step:
    return lambda: [module(*inputs) for module, inputs in pairs]


def torchscript(pairs: list[tuple[nn.Module, tuple[Tensor, ...]]]) -> Step:
    return eager([(torch.jit.freeze(torch.jit.trace(module, inputs)), inputs) for module, inputs in pairs])


def compiled(pairs: list[tuple[nn.Module, tuple[Tensor, ...]]]) -> Step:
    return eager([(torch.compile(module, dynamic=False), inputs) for module, inputs in pairs])  # type: ignore[misc]


def cudnn(pairs: list[tuple[nn.Module, tuple[Tensor, ...]]]) -> Step:
    def step() -> None:
        with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
            eager(pairs)()

    return step


WAYS: dict[str, Callable[[list[tuple[nn.Module, tuple[Tensor, ...]]]], Step]] = {
    way.__name__: way for way in (eager, torchscript, cudnn, compiled)
}

if __name__ == "__main__":
    with torch.inference_mode(), contextlib.suppress(KeyboardInterrupt):
        main()
