"""Training: the recipe's parts, the run folder, and that neither a kill nor more processes change the weights."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from maescan.config import PRESETS, ModelConfig, PseudoConfig
from maescan.datasets import SliceSet
from maescan.errors import ConfigError, DataError, TrainingError
from maescan.models import Classifier, MaskedAutoencoder
from maescan.options import TrainOptions
from maescan.train import optimiser, steps, train
from maescan.train.loop import batches
from maescan.train.pairs import pair_inputs
from maescan.train.phases import MaePhase
from maescan.train.setup import split

PRESET = PRESETS["tiny"].replace(
    model=ModelConfig(16, 4, 16, 2, 2, 16, 1, 2),
    pseudo=PseudoConfig((1, 4), (3, 8)),
    mae__epochs=2,
    mae__batch_size=8,
    mae__warmup_epochs=1,
    classifier__epochs=2,
    classifier__batch_size=16,
    classifier__warmup_epochs=1,
    classifier__base_lr=0.1,
    classifier__crop_scale=0.8,
    classifier__erasing=0.25,
    classifier__fresh_negatives=False,
)


def slices(count=40, size=16):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size - 0.5
    images = [(y**2 + x**2 < rng.uniform(0.1, 0.2)) * rng.uniform(0.5, 1.5, (size, size)) for _ in range(count)]
    images = np.array(images, np.float32)
    patients = np.array([f"p{i // 8}" for i in range(count)])
    return SliceSet(images, patients, np.arange(count) % 8, np.zeros(count, np.int8), (images > 0).mean(axis=(1, 2)))


def run(out, preset=PRESET, data=None, **options):
    options = {"device": "cpu", "tensorboard": False, **options}
    return train(slices() if data is None else data, preset, out, TrainOptions(**options))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return run(tmp_path_factory.mktemp("unbroken"))


def weights(folder):
    return {name: load_file(folder / f"{name}.safetensors") for name in ("mae", "classifier")}


def differences(one, two):
    one, two = weights(one), weights(two)
    return {m: max((one[m][n] - two[m][n]).abs().max().item() for n in one[m]) for m in one}


def log(folder):
    with (folder / "log.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "samples_per_s"} for row in csv.DictReader(file)]


def test_the_run_folder(unbroken):
    report = json.loads((unbroken / "run.json").read_text())
    assert report["phase"] == "done" and report["epochs"] == {"mae": 2, "classifier": 2}
    assert report["slices"] == {"train": 32, "val": 8} and report["patients"]["val"] == ["p2"]
    assert [(row["phase"], row["epoch"], row["step"]) for row in log(unbroken)] == [
        ("mae", "0", "4"), ("mae", "1", "8"), ("classifier", "0", "4"), ("classifier", "1", "8"),
    ]  # fmt: skip
    aurocs = [float(row["val_auroc"]) for row in log(unbroken) if row["phase"] == "classifier"]
    assert report["best"] == {"epoch": aurocs.index(max(aurocs)), "val_auroc": pytest.approx(max(aurocs), abs=1e-4)}
    assert sorted(report["intensity"]) == ["contrast", "mean", "share", "std"]
    golden = load_file(unbroken / "golden.safetensors")
    assert golden["images"].shape == (4, 16, 16) and golden["slice_ids"].dtype == torch.int64
    assert json.loads((unbroken / "preset.json").read_text()) == PRESET.to_dict()
    assert not (unbroken / "pairs.npy").exists() and not list(unbroken.glob(".part-*"))


def test_the_mae_learns(tmp_path):
    preset = PRESET.replace(mae__epochs=40, measure="mse", mae__base_lr=0.1)
    folder = run(tmp_path, preset)
    losses = [float(row["loss"]) for row in log(folder)]
    assert losses[-1] < 0.4 * losses[0]
    assert not (folder / "classifier.safetensors").exists()


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import test_train
from maescan.train.loop import Trainer

def step(self, loaded, epoch, number, old=Trainer._step):
    if (self.phase.name, epoch, number) == {where!r}:
        os.kill(os.getpid(), signal.SIGKILL)
    old(self, loaded, epoch, number)

Trainer._step = step
test_train.run({out!r}, checkpoint_s=0.0)
"""


def subprocess_run(code, **environment):
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads()), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env={**os.environ, **threads, **environment}, capture_output=True, text=True)


def test_killed_twice_and_resumed_gives_the_same_weights(unbroken, tmp_path):
    for where in (("mae", 1, 2), ("classifier", 1, 1)):
        code = KILLED.format(tests=str(Path(__file__).parent), where=where, out=str(tmp_path))
        assert subprocess_run(code).returncode == -signal.SIGKILL
    assert (tmp_path / "checkpoint.pt").exists()
    run(tmp_path)
    assert differences(unbroken, tmp_path) == {"mae": 0, "classifier": 0}
    assert log(tmp_path) == log(unbroken)


def test_killed_between_weights_and_checkpoint(unbroken, tmp_path, monkeypatch):
    """A validation that was not followed by its checkpoint is repeated, not counted."""
    from maescan.train.loop import Trainer

    def dies(self, old=Trainer._save):
        if self.phase.name == "classifier":
            raise KeyboardInterrupt
        old(self)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "_save", dies)
        run(tmp_path)
    run(tmp_path)
    assert differences(unbroken, tmp_path) == {"mae": 0, "classifier": 0} and log(tmp_path) == log(unbroken)


def test_a_finished_run_is_left_alone_and_another_refused(unbroken):
    before = (unbroken / "mae.safetensors").stat().st_mtime_ns
    assert run(unbroken) == unbroken and (unbroken / "mae.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match=r"another .*seed"):
        run(unbroken, seed=1)


def test_the_seed_decides(unbroken, tmp_path):
    assert differences(unbroken, run(tmp_path, seed=1))["mae"] > 1e-3


TWO = """
import sys
sys.path.insert(0, {tests!r})
import test_train
test_train.run({out!r}, devices=2)
"""


def test_two_processes_train_as_one_that_accumulates(tmp_path):
    script = tmp_path / "two.py"
    script.write_text(TWO.format(tests=str(Path(__file__).parent), out=str(tmp_path / "two")))
    code = f"import runpy, sys; sys.argv = [{str(script)!r}]; runpy.run_path({str(script)!r}, run_name='__main__')"
    done = subprocess_run(code)
    assert done.returncode == 0, done.stderr
    one = run(tmp_path / "one", accumulate=2)
    assert json.loads((tmp_path / "two" / "run.json").read_text())["processes"] == 2
    assert max(differences(one, tmp_path / "two").values()) < 1e-6
    assert [row["step"] for row in log(one)] == [row["step"] for row in log(tmp_path / "two")]


def test_accumulation_changes_the_mae_by_rounding_only(unbroken, tmp_path):
    folder = run(tmp_path, PRESET.replace(measure="mse"), accumulate=4)
    one, two = load_file(folder / "mae.safetensors"), load_file(unbroken / "mae.safetensors")
    # By norm: gradients that are zero but for rounding (keys' biases) take whole steps of Adam.
    change = sum((one[name] - two[name]).norm() ** 2 for name in one) / sum(one[name].norm() ** 2 for name in one)
    assert change**0.5 < 5e-5


def test_the_best_epoch_is_kept(unbroken, tmp_path, monkeypatch):
    aurocs = iter([0.9, 0.1])
    monkeypatch.setattr("maescan.train.phases.auroc", lambda *_: next(aurocs))
    folder = run(tmp_path)
    assert json.loads((folder / "run.json").read_text())["best"] == {"epoch": 0, "val_auroc": 0.9}
    assert json.loads((unbroken / "run.json").read_text())["best"]["epoch"] == 1
    assert differences(unbroken, folder) == {"mae": 0, "classifier": pytest.approx(0.01, abs=0.01)}
    assert differences(unbroken, folder)["classifier"] > 0


def test_every_epoch_has_masks_of_its_own():
    phase = MaePhase(MaskedAutoencoder(PRESET.model), slices(8).images, PRESET, seed=0)
    phase.model.forward = lambda visible, ids, keep, restore: (
        kept.append(keep) or torch.zeros(8, ids.shape[1], PRESET.model.patch_pixels)
    )
    kept = []
    for epoch in (0, 0, 1):
        phase.loss(phase.model, phase.batch(np.arange(8), epoch), np.arange(8), epoch)
    assert torch.equal(kept[0], kept[1]) and not torch.equal(kept[0], kept[2])


def test_the_classifier_starts_from_the_encoder(tmp_path):
    still = PRESET.replace(classifier__base_lr=0.0, classifier__min_lr=0.0)
    trained = weights(run(tmp_path, still))
    shared = [name for name in trained["classifier"] if name in trained["mae"]]
    assert all(torch.equal(trained["mae"][name], trained["classifier"][name]) for name in shared)
    assert len(shared) == len(trained["classifier"]) - 4


def test_a_loss_that_is_not_finite_stops_with_advice(tmp_path):
    data = slices()
    data.images[20:] = np.float32(1e30)
    with pytest.raises(TrainingError, match=r"not finite in mae epoch 0 .*lower base_lr"):
        run(tmp_path, data=data)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_fresh_negatives_differ_each_epoch(tmp_path, unbroken):
    folder = run(tmp_path, PRESET.replace(classifier__fresh_negatives=True))
    assert differences(unbroken, folder)["mae"] == 0 and differences(unbroken, folder)["classifier"] > 0
    assert log(folder)[2]["loss"] == log(unbroken)[2]["loss"] and log(folder)[3]["loss"] != log(unbroken)[3]["loss"]


@pytest.mark.parametrize("kind", ["l1", "l2", "reconstruction"])
def test_pairs_are_normal_and_altered_reconstructions(kind):
    preset = PRESET.replace(input=kind)
    x, pairs = np.full((1, 16, 16), 0.5, np.float32), np.stack([np.full((1, 16, 16), v, np.float32) for v in (1, 2)])
    normal, altered = pair_inputs(preset, x[[0, 0]], pairs, np.array([0, 0]), np.array([1, 0]), seed=0, epoch=0)
    assert np.allclose(normal, {"l1": 0.5, "l2": 0.25, "reconstruction": 1}[kind])
    untouched = {"l1": 1.5, "l2": 2.25, "reconstruction": 2}[kind]
    assert 0 < np.isclose(altered, untouched).mean() < 1


def test_reconstruct_keeps_what_every_mask_shows():
    model, images = MaskedAutoencoder(PRESET.model).eval(), slices(2).images
    hidden = PRESET.replace(masks__ratio=0.5, masks__passes=1)
    made = steps.reconstruct(model, images, [0, 1], hidden, reconstruction=True)
    same = steps.patchify(torch.from_numpy(made.reconstruction == images), 4).all(dim=2)
    assert (same.sum(dim=1) >= 8).all() and not same.all()
    assert np.allclose(made.difference[:, 0], np.abs(images - made.reconstruction), atol=1e-6)


def test_a_slice_is_reconstructed_alike_in_any_batch():
    model, images = MaskedAutoencoder(PRESET.model).eval(), slices(6).images
    together = steps.reconstruct(model, images, np.arange(6), PRESET, reconstruction=True).reconstruction
    alone = steps.reconstruct(model, images[4:5], [4], PRESET, reconstruction=True).reconstruction
    assert np.allclose(together[4], alone[0], atol=1e-6)


def test_real_lesions_judge_when_validation_patients_have_them(tmp_path):
    data = slices()
    data.label[[17, 19, 4]] = 1  # of p2, who is held back, and of p0
    folder = run(tmp_path, data=data)
    assert json.loads((folder / "run.json").read_text())["slices"] == {"train": 31, "val": 8}


def test_the_sets_own_split_decides():
    data = slices()
    data = replace(data, split=np.repeat(["val", "train", "test", "train", "train"], 8))
    training, validation = split(data, PRESET, 0.2, 0)
    assert set(training.patient) == {"p1", "p3", "p4"} and set(validation.patient) == {"p0"}


def test_data_that_does_not_fit_is_refused():
    data = slices()
    with pytest.raises(DataError, match=r"\(16, 16\), preset 'tiny' wants \(64, 64\)"):
        split(data, PRESETS["tiny"], 0.2, 0)
    data.label[:] = 1
    with pytest.raises(DataError, match="no healthy slices"):
        split(data, PRESET, 0.2, 0)


@pytest.mark.parametrize("options", [{"device": "tpu"}, {"precision": "fp8"}, {"accumulate": 3}, {"compile": True}])
def test_options_that_do_not_fit_are_refused(options, tmp_path):
    with pytest.raises(ConfigError):
        run(tmp_path, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_missing_gpu_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="is not here"):
        run(tmp_path, device="cuda")


def test_batches_divide_and_small_sets_fill_one():
    assert batches(100, 32, 2) == (32, 3) and batches(10, 32, 4) == (8, 1)
    with pytest.raises(DataError, match="too few"):
        batches(3, 32, 4)


def test_no_decay_on_biases_and_norms():
    groups = optimiser.parameter_groups(MaskedAutoencoder(PRESET.model), 0.05)
    assert [(g["weight_decay"], g["lr_scale"], {p.ndim > 1 for p in g["params"]}) for g in groups] == [
        (0.05, 1.0, {True}),
        (0.0, 1.0, {False}),
    ]


def test_layer_decay_by_depth():
    model = Classifier(PRESET.model)
    scale = {
        id(p): (g["lr_scale"], g["weight_decay"])
        for g in optimiser.parameter_groups(model, 0.05, 0.5)
        for p in g["params"]
    }
    named = {name: scale[id(p)] for name, p in model.named_parameters()}
    assert len(named) == len(list(model.parameters()))
    assert named["head.weight"] == (1, 0.05) and named["fc_norm.weight"] == (1, 0)
    assert named["blocks.1.mlp.fc1.weight"] == (0.5, 0.05) and named["blocks.0.mlp.fc1.bias"] == (0.25, 0)
    assert named["patch_embed.proj.weight"] == (0.125, 0.05) and named["pos_embed"] == named["cls_token"] == (
        0.125,
        0,
    )


def test_rate_warms_up_and_falls_by_half_a_cosine():
    rates = [optimiser.rate(at, peak=2.0, low=0.5, warmup=4, epochs=12) for at in (0, 1, 4, 8, 10, 12)]
    assert rates == pytest.approx([0, 0.5, 2, 1.25, 0.5 + 0.75 * (1 + math.cos(0.75 * math.pi)), 0.5])


def test_boxes_in_tissue_need_a_value_of_air_before_anything_is_trained(tmp_path):
    preset = PRESET.replace(intensity__method="zscore", pseudo__where="tissue")
    with pytest.raises(ConfigError, match="'zscore' intensities have no fixed value of air"):
        run(tmp_path / "run", preset)
    assert not (tmp_path / "run").exists()


def test_each_network_has_its_presets_betas(tmp_path, monkeypatch):
    given = []
    adamw = optimiser.adamw
    monkeypatch.setattr(optimiser, "adamw", lambda groups, betas: given.append(betas) or adamw(groups, betas))
    run(tmp_path, PRESET.replace(classifier__betas=(0.9, 0.999), mae__epochs=1, classifier__epochs=1))
    assert given == [(0.9, 0.95), (0.9, 0.999)]
