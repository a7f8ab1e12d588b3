"""Other people's detectors and our bundles on the same labelled slices: AUROC, area-matched, lesions put in.

python bench/rivals.py HEALTHY TEST --preset tiny-fg --bundle BUNDLE --bundle BUNDLE --out rivals.json

The rivals learn from the scans of HEALTHY; bundles are judged as they are. `maescan ablate --experiment rivals`
splits one set by patient, and trains the preset too.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from maescan import datasets, engines
from maescan.config import preset as preset_of
from maescan.config.types import Json
from maescan.datasets.sliceset import SliceSet
from maescan.engines.bundle import Bundle
from maescan.evaluate.acceptance import stress_set
from maescan.evaluate.scored import Scored, score_set
from maescan.evaluate.summary import summarise
from maescan.train.ablations.rivals import fitted, judge_rival, size_for
from maescan.train.rivals import RIVALS, installed


def row(metrics: Json, seconds: float) -> Json:
    """What the table shows of one detector."""
    stress = metrics["stress"]["measures"]["score"]
    matched = metrics["slice"]["area_matched"]
    return {
        "auroc": metrics["slice"]["auroc"],
        "area_matched": matched["auroc"] if matched else None,
        **stress["mean"],
        "kinds": {kind: found["rises"]["share"] for kind, found in stress["kinds"].items()},
        "seconds": seconds,
    }


def judge_bundle(path: Path, test: SliceSet, stressed: int) -> Json:
    bundle = Bundle.load(path)
    running = engines.load(bundle)
    try:
        scored = score_set(test, running, bundle.preset)
        plain = Scored(scored.score, None, None, None, scored.seconds)
        metrics = summarise(test, plain, probability=False)
        return metrics | {"stress": stress_set(test, running, bundle.preset, most=stressed)}
    finally:
        running.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("healthy", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--preset", default="tiny-fg")
    parser.add_argument("--bundle", type=Path, action="append", default=[])
    parser.add_argument("--rival", action="append", choices=list(RIVALS), help="default: all that are installed")
    parser.add_argument("--steps", type=int, help="of training, instead of the size's own")
    parser.add_argument("--stressed", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    preset = preset_of(options.preset)
    test = datasets.load(options.test, preset)
    test = test.select(np.asarray(test.label) >= 0)
    rows = {str(path): row(judge_bundle(path, test, options.stressed), 0.0) for path in options.bundle}
    healthy = datasets.load(options.healthy, preset).healthy()
    for name in options.rival or installed():
        begun = time.perf_counter()
        size = size_for(preset, options.seed, "cpu")
        size = replace(size, steps=options.steps or size.steps)
        known = fitted(name, healthy, size)
        seconds = time.perf_counter() - begun
        rows[name] = row(judge_rival(known, test, preset, options.stressed), seconds)
        print(name, json.dumps(rows[name]), file=sys.stderr, flush=True)
        options.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
