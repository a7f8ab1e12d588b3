"""Makes the bundle that `maescan demo` scores with: python bench/demo_bundle.py [--judge | --again].

Trains a small model on a phantom, rounds its weights to what float16 holds (they stay fp32, and pack to half),
exports, calibrates on healthy phantoms of another seed, and packs it into the package. Takes minutes.

--judge: trains the judge alone, behind the packed MAE.
--again: exports the packed weights anew without training them, after a change of masks, of bundles' format, of what
is measured of training's scans or of what an engine is proved with. Takes a minute.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from maescan import datasets, export
from maescan.cli.demo import SHIPPED, unpack
from maescan.config import Preset, preset
from maescan.datasets.phantom import write_phantom
from maescan.engines.manifest import Card
from maescan.files import write_json
from maescan.method.intensity import training_ranges
from maescan.options import TrainOptions
from maescan.scoring.calibrate import calibrate
from maescan.train.setup import split

HEALTHY, REFERENCE, SEED = 96, 40, 7_000_000
CARD = Card(
    training_data=f"{HEALTHY} healthy phantom brains that `maescan phantom` makes",
    licence="Apache-2.0",
    intended_use="to try maescan; of real scans its scores say nothing",
)
WEIGHTS = ("mae.safetensors", "judge.safetensors")


def small() -> Preset:
    """tiny+ with an MAE two thirds as wide; of twice the scans its judge has fewer epochs, not fewer steps."""
    width = {"model__encoder_dim": 64, "model__decoder_dim": 48, "model__decoder_heads": 4}
    return preset("tiny+").replace(name="demo", judge__epochs=24, **width)


def trained(work: Path, mae: Path | None = None) -> Path:
    """A run folder. mae: weights to take as they are."""
    from maescan import train
    from maescan.cli.progress import training_bar

    slices = training_slices(work)
    run = train.train(slices, small(), work / "run", TrainOptions(seed=SEED), mae=mae, progress=training_bar())
    for name in WEIGHTS:
        weights = load_file(run / name)
        save_file({key: value.astype(np.float16).astype(np.float32) for key, value in weights.items()}, run / name)
    values = json.loads((run / "run.json").read_text())
    values["made_by"] = {"command": " ".join(["python bench/demo_bundle.py", *sys.argv[1:]]), "commit": _commit()}
    write_json(run / "run.json", values)
    return run


def training_slices(work: Path) -> datasets.SliceSet:
    """What the model learns from."""
    write_phantom(work / "healthy", healthy=HEALTHY, lesions=0, seed=SEED)
    return datasets.load(work / "healthy", small())


def packed_before(work: Path) -> Path:
    """The run folder that the packed bundle came from."""
    bundle, run = unpack(work / "before"), work / "run"
    run.mkdir()
    manifest = json.loads((bundle / "manifest.json").read_text())
    write_json(run / "preset.json", manifest["preset"])
    report = manifest["provenance"]
    slices = training_slices(work)
    seen = split(slices, small(), TrainOptions().val_fraction, SEED)[0]
    report["intensity"] = training_ranges(slices.images, slices.patient, seen.patient)
    report["patients"] = {name: list(map(str, range(count))) for name, count in report["patients"].items()}
    write_json(run / "run.json", report)
    for name in WEIGHTS:
        shutil.copyfile(bundle / name, run / name)
    golden = load_file(bundle / "golden" / "golden.safetensors")
    save_file({name: golden[name] for name in ("images", "slice_ids")}, run / "golden.safetensors")
    return run


def main() -> None:
    """Writes the archive in the package."""
    if unknown := set(sys.argv[1:]) - {"--judge", "--again"}:
        raise SystemExit(f"{__doc__}\nno option: {' '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if "--again" in sys.argv:
            run = packed_before(work)
        else:
            run = trained(work, unpack(work / "before") / "mae.safetensors" if "--judge" in sys.argv else None)
        (run / "quantisation.safetensors").unlink(missing_ok=True)
        bundle = export.export(run, work / "bundle", to=("openvino",), precision=("fp32",), card=CARD)
        write_phantom(work / "reference", healthy=REFERENCE, lesions=0, seed=SEED + 1)
        calibrate(bundle, [work / "reference" / "healthy"])
        shutil.make_archive(str(SHIPPED.with_suffix("")), SHIPPED.suffix[1:], bundle)
    print(f"{SHIPPED}: {SHIPPED.stat().st_size} bytes")


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
