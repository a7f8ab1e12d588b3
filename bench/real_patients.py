"""A judge of few real scans: each patient held out in turn, what its MAE and judge find there.

python bench/real_patients.py BRATS OTHERS --modality t1ce --out OUT [--init MAE] [--set judge__fine=12 --set ...]
python bench/real_patients.py BRATS OTHERS --modality t1ce --out OUT --rival "PatchCore, ImageNet features"

Of BRATS's patients, in order, one is held out, the next is for validation, the others and the healthy slices of
OTHERS are learnt from. The preset is `tiny+` with an encoder 64 and a decoder 48 wide, 25 epochs of the MAE and 20 of
the judge; --set changes it. MAEs are kept in OUT. OUT/real.json has AUROC and area-matched AUROC of every patient by
each measure and by tissue area alone, and how often lesions put into healthy slices raise a score. With --rival other
people's detectors learn from the same slices in the judge's place, and are judged alike.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from maescan import datasets, train
from maescan.config import Preset, preset
from maescan.config.types import Json
from maescan.datasets import SliceSet
from maescan.engines.eager import TorchEngine
from maescan.evaluate.acceptance import stress_set
from maescan.evaluate.ranking import auroc
from maescan.evaluate.scored import Scored, score_set
from maescan.evaluate.stress import SLICES
from maescan.evaluate.summary import summarise
from maescan.files import write_json
from maescan.options import TrainOptions
from maescan.train.ablations.rivals import fitted, size_for, stress_rival
from maescan.train.rivals import RIVALS

MEASURES = ("judge", "mse", "mae", "ssim")
SMALL = {"model__encoder_dim": 64, "model__decoder_dim": 48, "mae__epochs": 25}
SHORT = {"judge__epochs": 20, "judge__least_steps": 0}


def found(run: Path, test: SliceSet) -> Json:
    """Of the held-out patient's slices."""
    own = Preset.from_dict(json.loads((run / "preset.json").read_text())).replace(measure="judge")
    engine, values = TorchEngine(run, own), {"tissue area": _found(test, test.area.astype(np.float64))}
    for measure in MEASURES:
        values[measure] = _found(test, score_set(test, engine, own.replace(measure=measure)).score)
    stressed = stress_set(test, engine, own)
    assert stressed is not None
    return {"slices": values, "stress": stressed["measures"]}


def rivals_found(names: list[str], healthy: SliceSet, test: SliceSet, own: Preset, seed: int) -> Json:
    """Of the held-out patient's slices, by rivals."""
    rows: Json = {"slices": {}, "stress": {}}
    for name in names:
        known = fitted(name, healthy, size_for(own, seed, "cpu"))
        score = known.score(np.ascontiguousarray(test.images, np.float32))[0].astype(np.float64)
        rows["slices"][name] = _found(test, score)
        rows["stress"][name] = stress_rival(known, test, own, SLICES)["measures"]["score"]
    return rows


def _found(test: SliceSet, score: np.ndarray) -> Json:
    slices = summarise(test, Scored(score, None, None, None, 0.0), probability=False)["slice"]
    return {"auroc": auroc(test.label == 1, score), "area_matched": slices["area_matched"]["auroc"]}


def main() -> None:
    """Writes OUT/real.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("brats", type=Path)
    parser.add_argument("others", type=Path)
    parser.add_argument("--modality", default="t1ce")
    parser.add_argument("--init", type=Path, help="weights that the MAE starts from")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rival", action="append", default=[], choices=list(RIVALS))
    parser.add_argument("--set", action="append", default=[], help="name=value of the preset, JSON")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    changes = {name: json.loads(value) for name, _, value in (text.partition("=") for text in given.set)}
    own = preset("tiny+").replace(**(SMALL | SHORT | changes))
    options = TrainOptions(seed=given.seed, precision="fp32", tensorboard=False)
    data = datasets.load(given.brats, own, modality=given.modality)
    more, patients = datasets.load(given.others, own).healthy(), np.unique(data.patient).tolist()
    rows: Json = {"set": changes, "patients": {}}
    for number, name in enumerate(patients):
        second = patients[(number + 1) % len(patients)]
        rest = data.select(~np.isin(data.patient, [name, second]))
        parts = {"train": SliceSet.join([rest, more]).healthy(), "val": data.select(data.patient == second).healthy()}
        split = np.concatenate([[part] * len(slices) for part, slices in parts.items()])
        slices, test = replace(SliceSet.join(list(parts.values())), split=split), data.select(data.patient == name)
        mae = given.out / f"mae-{number}"
        if given.rival:
            row = rivals_found(given.rival, parts["train"], test, own, given.seed)
        else:
            if not (mae / "mae.safetensors").exists():
                train.train(slices, own.replace(measure="mae"), mae, replace(options, init=given.init))
            run = train.train(slices, own, given.out / f"run-{number}", options, mae=mae / "mae.safetensors")
            row = found(run, test)
        rows["patients"][name] = row
        print(name, json.dumps(row["slices"]), flush=True)
        given.out.mkdir(parents=True, exist_ok=True)
        write_json(given.out / "real.json", rows)
    every: list[Json] = list(rows["patients"].values())
    for measure in every[0]["slices"]:
        print(measure, _mean([row["slices"][measure] for row in every]))
    for measure in every[0]["stress"]:
        print(measure, _mean([row["stress"][measure]["mean"] for row in every]))


def _mean(each: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(float(np.mean([one[key] for one in each])), 3) for key in each[0]}


if __name__ == "__main__":
    main()
