"""What TensorRT-RTX builds of a preset, by precision and card, without a GPU: seconds, sizes, working memory.

    python bench/builds.py [--preset brats] [--precision fp16 bf16 fp8 nvfp4] [--cards 8.9 12.0] [--out FILE.json]

Weights are random. Seconds are CPU time of this process, the builder's threads included; scratch is what the builder
says that a slice needs in the largest batch. Each plan is for the one card that it names.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="brats")
    parser.add_argument("--precision", nargs="+", default=["fp16", "bf16", "fp8", "nvfp4"])
    parser.add_argument("--cards", nargs="+", default=["8.9", "12.0"])
    parser.add_argument("--graphs", nargs="+", default=["scores", "mae", "classifier"])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    rows = [row for precision in given.precision for row in builds(given, precision)]
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    if given.out:
        import tensorrt_rtx

        head = {"preset": given.preset, "tensorrt_rtx": tensorrt_rtx.__version__, "cpu": platform.processor()}
        given.out.write_text(json.dumps({**head, "plans": rows}, indent=1) + "\n")


def builds(given: argparse.Namespace, precision: str) -> list[dict[str, Any]]:
    """A row a graph and card."""
    import tensorrt_rtx
    import torch

    from maescan.config import preset as named
    from maescan.engines import plans
    from maescan.engines.targets import NEEDS
    from maescan.errors import EngineError
    from maescan.export import tensorrt_rtx as exporter
    from maescan.models import Classifier, MaskedAutoencoder

    preset, rows = named(given.preset), []
    torch.manual_seed(0)
    mae, classifier = MaskedAutoencoder(preset.model).eval(), Classifier(preset.model).eval()
    with tempfile.TemporaryDirectory(prefix="maescan-builds-") as temporary:
        folder = Path(temporary)
        exporter.write(folder, (mae, classifier), preset, precision, made_up(preset))
        held = sum(file.stat().st_size for file in folder.iterdir())
        for card in given.cards:
            capability = (int(card.split(".")[0]), int(card.split(".")[1]))
            for graph in given.graphs:
                row = {"precision": precision, "card": card, "graph": graph, "folder_mb": round(held / 1e6)}
                start = time.process_time()
                try:
                    size = len(plans.build(tensorrt_rtx, folder / f"{graph}.onnx", preset, capability))
                except EngineError as error:
                    needs = capability < NEEDS.get(precision, (0, 0))
                    rows.append({**row, "refused": "the card has none" if needs else error.reason})
                    continue
                scratch = plans.logger(tensorrt_rtx)[1].scratch / plans.BATCHES[-1]
                row |= {"seconds": round(time.process_time() - start, 1), "mb": round(size / 1e6)}
                rows.append({**row, "scratch_mb_a_slice": round(scratch / 1e6, 2)})
                print(rows[-1], flush=True)
    return rows


def made_up(preset: Any) -> list[dict[str, Any]]:
    """What a classifier is given, for fp8's ranges: noise."""
    import numpy as np

    model, rng = preset.model, np.random.default_rng(0)
    grid = np.arange(model.tokens, dtype=np.int32)[None]
    return [{"patches": rng.random((1, model.tokens, model.patch_pixels), np.float32), "token_ids": grid}] * 2


if __name__ == "__main__":
    main()
