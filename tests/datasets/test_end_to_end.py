"""Trees in the shape of the public data sets: prepare -> train -> export -> evaluate, by the command line."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from helpers.marks import slow
from helpers.trees import write_brats_tree, write_hdf5_tree, write_luna16_tree
from maescan import datasets
from maescan.cli import app
from maescan.config import GridConfig, IntensityConfig, ModelConfig, preset
from maescan.datasets.phantom import Look, write_phantom

BRAIN = preset("tiny").replace(model=ModelConfig(32, 8, 32, 1, 2, 32, 1, 2), pseudo__size=(3, 8))
LUNG = BRAIN.replace(name="lung", modality="ct", intensity=IntensityConfig("hu"), grid=GridConfig(None))


def folder_tree(out):
    write_phantom(out, healthy=4, lesions=4, seed=2, look=Look(shape=(48, 48, 12)))


TREES = {
    "folder": (BRAIN, folder_tree),
    "brats": (BRAIN, lambda out: write_brats_tree(out, patients=8)),
    "brats-hdf5": (BRAIN, lambda out: write_hdf5_tree(out, patients=8)),
    "luna16": (LUNG, lambda out: write_luna16_tree(out, patients=6, normals=12)),
}


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("kind", slow(*TREES))
def test_from_files_to_a_report(kind, tmp_path):
    chosen, write = TREES[kind]
    write(tmp_path / "tree")
    (tmp_path / "preset.json").write_text(json.dumps(chosen.to_dict()))
    named = ("--preset", tmp_path / "preset.json")
    said = run("prepare", tmp_path / "tree", "--out", tmp_path / "cache", *named, "--workers", 1, "--quiet")
    slices = datasets.load(tmp_path / "cache", chosen)
    assert said.startswith(f"{len(slices)} slices of ") and datasets.find(tmp_path / "tree")[0] == kind
    few = ("--epochs", 1, "--classifier-epochs", 1, "--batch-size", 16, "--device", "cpu", "--quiet")
    run("train", tmp_path / "cache", "--out", tmp_path / "run", *named, *few)
    trained = json.loads((tmp_path / "run" / "run.json").read_text())
    run("export", tmp_path / "run", "--out", tmp_path / "bundle")
    run("evaluate", tmp_path / "cache", "--bundle", tmp_path / "bundle", "--out", tmp_path / "found")
    with open(tmp_path / "found" / "slices.csv", newline="") as stream:
        judged = {(row["scan"], int(row["slice"])) for row in csv.DictReader(stream)}
    test = np.ones(len(slices), bool) if slices.split is None else slices.split == "test"
    assert judged == set(zip(slices.patient[test].tolist(), slices.slice[test].tolist(), strict=True))
    if kind.startswith("brats"):
        assert not set(trained["patients"]["train"]) & {patient for patient, _ in judged}
    assert json.loads((tmp_path / "bundle" / "manifest.json").read_text())["intensity"] == trained["intensity"]
