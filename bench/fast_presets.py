"""What faster presets cost in AUROC: operations per slice by formula against what is found, over seeds.

python bench/fast_presets.py HEALTHY TEST --seeds 0 1 2 --out fast

Each row is `tiny+` with another encoder, decoder, judge or number of passes. Rows that share an MAE train it once;
runs are kept in OUT, so a second call goes on where the first was stopped. Ten minutes an MAE, and as long a judge.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
import torch

from maescan import datasets, train
from maescan.benchmark import cost
from maescan.config import Preset, preset
from maescan.config.types import Json
from maescan.datasets import SliceSet
from maescan.engines.eager import TorchEngine
from maescan.evaluate.acceptance import stress_set
from maescan.evaluate.scored import Scored, score_set
from maescan.evaluate.summary import summarise
from maescan.files import write_json
from maescan.options import TrainOptions

TOKENS = 50  # of the phantom's slices with tissue, in the mean
ROWS = {  # encoder's width, decoder's width and depth, passes, judge's width, depth and channels at full resolution
    "tiny+": (96, 64, 2, 4, (64, 1, 12)),
    "tiny-fast: encoder 64, decoder 48 x 1, judge 40 x 1": (64, 48, 1, 4, (40, 1, 0)),
    "judge 64 x 2, half the side": (96, 64, 2, 4, (64, 2, 0)),
    "encoder 64, decoder 48 x 2": (64, 48, 2, 4, (64, 2, 0)),
    "decoder 48 x 1": (96, 48, 1, 4, (64, 2, 0)),
    "two passes": (96, 64, 2, 2, (64, 2, 0)),
    "decoder 48 x 1, two passes, judge 40 x 1": (96, 48, 1, 2, (40, 1, 0)),
    "decoder 48 x 1, one pass, judge 64 x 1": (96, 48, 1, 1, (64, 1, 0)),
}


def row_preset(encoder: int, dim: int, depth: int, passes: int, judge: tuple[int, int, int]) -> Preset:
    """`tiny+` of other sizes; masks are complementary where passes and ratio allow."""
    width, blocks, fine = judge
    return preset("tiny+").replace(
        model__encoder_dim=encoder,
        model__decoder_dim=dim,
        model__decoder_depth=depth,
        masks__passes=passes,
        masks__strategy="complementary" if passes == 4 else "random",
        judge__dim=width,
        judge__depth=blocks,
        judge__fine=fine,
    )


def found(name: str, seed: int, healthy: SliceSet, test: SliceSet, out: Path) -> Json:
    """What one row finds with one seed."""
    own = row_preset(*ROWS[name])
    options = TrainOptions(seed=seed, precision="fp32", tensorboard=False)
    alone = own.replace(measure="mae", masks=preset("tiny+").masks, judge=preset("tiny+").judge)
    folder = out / f"mae-{own.model.encoder_dim}-{own.model.decoder_dim}x{own.model.decoder_depth}-{seed}"
    mae = folder / "mae.safetensors"
    if not mae.exists():
        train.train(healthy, alone, folder, options)
    run = train.train(healthy, own, out / f"{_file(name)}-{seed}", options, mae=mae)
    used = Preset.from_dict(json.loads((run / "preset.json").read_text()))
    engine = TorchEngine(run, used)
    scored = score_set(test, engine, used)
    plain = Scored(scored.score, None, None, None, scored.seconds)
    slices = summarise(test, plain, probability=False)["slice"]
    stressed = stress_set(test, engine, used, most=224)
    assert stressed is not None
    keep: Json = {"auroc": slices["auroc"], "area_matched": slices["area_matched"]["auroc"]}
    keep["within"] = slices["within_patients"]["auroc"]
    keep |= stressed["measures"]["score"]["mean"]
    return keep


def main() -> None:
    """Writes OUT/fast.json, a row at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("healthy", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--row", action="append", choices=list(ROWS), help="default: all")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    healthy, test = (datasets.load(path, preset("tiny+")) for path in (options.healthy, options.test))
    test = test.select(np.asarray(test.label) >= 0)
    for name in options.row or list(ROWS):
        seeds = [found(name, seed, healthy, test, options.out) for seed in options.seeds]
        means = {key: round(float(np.mean([one[key] for one in seeds])), 4) for key in seeds[0]}
        spread = {key: round(float(np.std([one[key] for one in seeds], ddof=len(seeds) > 1)), 4) for key in seeds[0]}
        operations = cost.slice_operations(row_preset(*ROWS[name]), TOKENS)
        row = {
            "row": name,
            "megaflop": round(operations / 1e6, 1),
            "mean": means,
            "deviation": spread,
            "seeds": seeds,
        }
        print(json.dumps(row), flush=True)
        write_json(options.out / f"{_file(name)}.json", row)


def _file(name: str) -> str:
    return re.sub("[^a-z0-9+]+", "-", name)


if __name__ == "__main__":
    main()
