"""Foreground tokens against the full grid and against the public formulation: slices per second over whole scans.

    python bench/foreground.py [SCANS] [--preset brats] [--precision bf16,int8] [--rounds 3] [--out DIR]

SCANS: a data set or folder (default: a phantom made for it). ViT-Base with random weights, all in turns in one run;
only ratios within a round count. What costs the same for every slice (the full grid, the public formulation) is
timed on a few slices, foreground tokens on every STEP-th slice of every scan, blank ones too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

from maescan import datasets, engines, export
from maescan.benchmark import cost, weights
from maescan.config import Preset, preset
from maescan.datasets.phantom import Look, write_phantom
from maescan.engines.bundle import Bundle
from maescan.export.checkpoint import import_checkpoint
from maescan.method.score import score_slices
from maescan.method.tokens import TokenSets, choose_buckets, token_sets
from maescan.models import Classifier, MaskedAutoencoder

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from paper import PaperPipeline

FEW = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path, nargs="?")
    parser.add_argument("--preset", default="brats")
    parser.add_argument("--precision", default="bf16,int8")
    parser.add_argument("--modality")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--step", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", nargs="+", default=["foreground", "hull"], help="token sets that are compared")
    parser.add_argument("--fast", nargs="*", default=[], help="presets trained for speed, beside them: brats-fast")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        report = measure(arguments, Path(folder))
    print(table(report))
    if arguments.out:
        name = f"foreground-{'phantom' if arguments.scans is None else 'scans'}.json"
        (arguments.out / name).write_text(json.dumps(report, indent=2) + "\n")


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    grid, scans = preset(arguments.preset), arguments.scans
    if scans is None:
        scans = folder / "phantom"
        write_phantom(scans, healthy=2, lesions=2, seed=0, look=Look(shape=(240, 240, 60)))
    images = np.asarray(datasets.load(scans, grid, modality=arguments.modality).images, np.float32)
    sets = {method: with_buckets(grid, images, method) for method in arguments.tokens}
    images = images[:: arguments.step]
    precisions = arguments.precision.split(",")
    bundle = random_bundle(grid, folder, images, precisions)
    calls = {"public PyTorch, eager fp32": (FEW, public(grid, images[:FEW]))}
    for precision in precisions:
        engine = engines.load(bundle, precision=precision, threads=arguments.threads)
        calls[f"full grid {precision}"] = (FEW, lambda e=engine: score_slices(images[:FEW], np.arange(FEW), e, grid))
        for method, fg in sets.items():
            calls[f"{method} {precision}"] = (len(images), lambda e=engine, p=fg: by_bucket(images, e, p))
    for name in arguments.fast:
        fast = weights.with_buckets(preset(name), images)
        path = weights.random_bundle(fast, folder / name, tuple(precisions), images)
        for precision in precisions:
            engine = engines.load(Bundle.load(path), precision=precision, threads=arguments.threads)
            calls[f"{name} {precision}"] = (len(images), lambda e=engine, p=fast: by_bucket(images, e, p))
    seconds: dict[str, list[float]] = defaultdict(list)
    with torch.inference_mode():
        for turn in range(arguments.rounds + 1):
            for name, (count, call) in calls.items():
                start = time.perf_counter()
                call()
                if turn:
                    seconds[name].append((time.perf_counter() - start) / count)
    return {
        "command": " ".join(["python", *sys.argv]),
        "slices": len(images),
        "gflop_full": cost.slice_operations(grid) / 1e9,
        "sets": {name: {"buckets": s.tokens.buckets, "gflop": operations(images, s)} for name, s in sets.items()},
        "gflop_fast": {n: operations(images, weights.with_buckets(preset(n), images)) for n in arguments.fast},
        "seconds_a_slice": seconds,
    }


def sets_of(images: Any, chosen: Preset) -> TokenSets:
    """Of a preset with foreground tokens, which has them."""
    sets = token_sets(images, chosen)
    assert sets is not None
    return sets


def with_buckets(grid: Preset, images: Any, method: str) -> Preset:
    chosen = grid.replace(tokens__method=method)
    sets = sets_of(images, chosen)
    return chosen.replace(tokens__buckets=choose_buckets(sets.count, chosen))


def operations(images: Any, fg: Preset) -> float:
    """Mean GFLOP of a slice."""
    sizes = sets_of(images, fg).size
    return float(np.mean([cost.slice_operations(fg, int(size)) if size else 0 for size in sizes])) / 1e9


def by_bucket(images: Any, engine: Any, fg: Preset) -> None:
    """As the pipeline does: batches of one token count, as large as the engine asks for."""
    for _, which in sets_of(images, fg).groups():
        for part in np.split(which, range(engine.batch, len(which), engine.batch)):
            score_slices(images[part], part, engine, fg)


def public(grid: Preset, images: Any) -> Any:
    pipeline, given = PaperPipeline(grid).eval(), torch.from_numpy(images)
    return lambda: pipeline(given)


def random_bundle(grid: Preset, folder: Path, images: Any, precisions: list[str]) -> Bundle:
    torch.manual_seed(0)
    for name, model in (("mae", MaskedAutoencoder(grid.model)), ("classifier", Classifier(grid.model))):
        torch.save(model.state_dict(), folder / f"{name}.pth")
    run = import_checkpoint(folder / "mae.pth", folder / "classifier.pth", grid, folder / "run")
    full = np.ascontiguousarray(images[np.argsort([-(i > 0.04).mean() for i in images])[:8]])
    save_file({"images": full, "slice_ids": np.arange(8)}, run / "quantisation.safetensors")
    return Bundle.load(export.export(run, folder / "bundle", precision=tuple(precisions)))


def table(report: dict[str, Any]) -> str:
    """Fastest round of each, and ratios within rounds (median, least, most)."""
    seconds = {name: np.array(found) for name, found in report["seconds_a_slice"].items()}
    paper = seconds["public PyTorch, eager fp32"]
    lines = [
        f"{report['slices']} slices, {report['gflop_full']:.1f} GFLOP per slice on the full grid",
        *(f"{name}: {sets['gflop']:.1f} GFLOP, buckets {sets['buckets']}" for name, sets in report["sets"].items()),
        f"{'':<28}{'ms a slice':>11}{'x public':>20}{'x full grid':>20}",
    ]
    for name, found in seconds.items():
        full = seconds.get(f"full grid {name.split()[-1]}")
        over = [spread(paper / found), spread(full / found) if full is not None else ""]
        over[1] = over[1] if full is not found else ""
        lines.append(f"{name:<28}{1000 * found.min():>11.1f}{over[0]:>20}{over[1]:>20}")
    return "\n".join(lines)


def spread(ratios: Any) -> str:
    return f"{np.median(ratios):.2f} ({ratios.min():.2f}-{ratios.max():.2f})"


if __name__ == "__main__":
    main()
