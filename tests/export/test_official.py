"""The authors' checkpoints, imported, score what their own pipeline would: networks, inputs and score."""

from __future__ import annotations

import argparse
import csv
import json

import h5py
import nibabel
import numpy as np
import pytest
import torch
from skimage.transform import resize
from typer.testing import CliRunner

from helpers.official import OfficialClassifier, OfficialMae
from helpers.trees import write_candidates_tree
from maescan import datasets
from maescan.cli import app
from maescan.config import PRESETS, ModelConfig
from maescan.method.masks import make_masks
from maescan.method.patches import place_keys
from maescan.method.preprocess import prepare
from maescan.models import Classifier
from maescan.scans import Scan
from maescan.train.optimiser import adamw, parameter_groups, set_rate
from maescan.train.steps import full_grid, patchify

pytestmark = pytest.mark.slow

SIZE, PATCH = 224, 16
SMALL = PRESETS["brats-official"].replace(model=ModelConfig(SIZE, PATCH, 48, 3, 4, 32, 2, 2))
LEVELS, ILL = 6, 4


@pytest.fixture(scope="module")
def volume():
    """A head [X, Y, Z] as BraTS2020's NIfTI release stores one: to the left, the back and the top; air is 0."""
    rng = np.random.default_rng(3)
    x, y, z = np.mgrid[:240, :240, :LEVELS].astype(float)
    inside = ((x - 110) / 70) ** 2 + ((y - 130) / 90) ** 2 + ((z - 3) / 4) ** 2 < 1
    voxels = np.where(inside, 400 + 150 * np.sin(x / 9) * np.cos(y / 13) + rng.normal(0, 30, x.shape), 0)
    voxels[120:140, 90:100, ILL] *= 1.6
    return voxels.astype(np.int16)


@pytest.fixture(scope="module")
def trees(volume, tmp_path_factory):
    """(NIfTI tree, HDF5 tree) of the same patient."""
    root = tmp_path_factory.mktemp("official")
    name, affine = "BraTS20_Training_001", np.diag([-1.0, -1.0, 1.0, 1.0])
    lesion = np.zeros(volume.shape, np.uint8)
    lesion[120:140, 90:100, ILL] = 4
    (root / "nifti" / name).mkdir(parents=True)
    for suffix, voxels in (("t1", volume), ("seg", lesion)):
        nibabel.save(nibabel.Nifti1Image(voxels, affine), root / "nifti" / name / f"{name}_{suffix}.nii.gz")
    (root / "hdf5").mkdir()
    values = standardised(volume)
    for level in range(LEVELS):
        with h5py.File(root / "hdf5" / f"volume_1_slice_{level}.h5", "w") as stream:
            stream["image"] = np.repeat(values[:, :, level, None], 4, axis=2)
            stream["mask"] = np.repeat(lesion[:, :, level, None] // 4, 3, axis=2)
    return root / "nifti", root / "hdf5"


def standardised(volume):
    values = volume.astype(np.float64)
    return (values - values.mean()) / values.std()


def official_inputs(volume):
    """[Z, 224, 224]: arrays [X, Y] of the standardised volume, resampled by cubic splines."""
    values = standardised(volume).astype(np.float32)
    return np.stack([resize(values[:, :, level], (SIZE, SIZE), order=3) for level in range(volume.shape[2])])


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(5)
    mae, classifier = OfficialMae(SIZE, PATCH, 48, 3, 4, (32, 2, 2)), OfficialClassifier(SIZE, PATCH, 48, 3, 4)
    torch.nn.init.normal_(classifier.head.weight, std=0.3)
    return mae.eval(), classifier.eval()


@torch.no_grad()
def official_scores(networks, images, preset=SMALL, keys=None):
    """softmax(classifier(|x - mean of R reconstructions|))[0], with our masks, by these keys, in place of unseeded
    ones."""
    mae, classifier = networks
    keep, _ = make_masks(preset.masks, np.arange(len(images)) if keys is None else keys, preset.model.tokens)
    passes = preset.masks.passes
    x = torch.from_numpy(images.astype(np.float32))[:, None]
    made = mae(x.repeat_interleave(passes, dim=0), torch.from_numpy(keep.astype(np.int64)))
    difference = (x[:, 0] - made.reshape(len(images), passes, *images.shape[1:]).mean(dim=1)).abs()
    return classifier(difference[:, None]).softmax(dim=1)[:, 0].numpy()


def save_as_the_authors_do(networks, folder, preset=SMALL):
    for name, network in zip(("mae", "classifier"), networks, strict=True):
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
        options = argparse.Namespace(model="vit_base_patch16", lr=1e-3, distributed=False, output_dir="out")
        state = {"model": network.state_dict(), "optimizer": optimiser.state_dict(), "epoch": 99, "args": options}
        torch.save({**state, "scaler": {"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 7}},
                   folder / f"{name}.pth")  # fmt: skip
    (folder / "preset.json").write_text(json.dumps(preset.to_dict()))


def imported(networks, data, folder, preset=SMALL):
    save_as_the_authors_do(networks, folder, preset)
    command = ["import-checkpoint", "--mae", folder / "mae.pth", "--classifier", folder / "classifier.pth",
               "--preset", folder / "preset.json", "--data", data, "--out", folder / "bundle"]  # fmt: skip
    return run(command, folder / "bundle")


def run(command, out):
    result = CliRunner().invoke(app, [str(word) for word in command])
    assert result.exit_code == 0, result.output
    return out


def scores_of(table):
    with open(table, newline="") as stream:
        return np.array([float(row["score"]) for row in csv.DictReader(stream)])


@pytest.fixture(scope="module")
def bundle(networks, trees, tmp_path_factory):
    return imported(networks, trees[0], tmp_path_factory.mktemp("imported"))


def test_inputs_are_theirs_from_nifti_and_from_hdf5(trees, volume):
    wanted = official_inputs(volume)
    for tree in trees:
        found = datasets.load(tree, PRESETS["brats-official"]).images
        assert np.abs(found - wanted).max() < 1e-3, tree.name
    other = datasets.load(trees[0], PRESETS["brats-official"].replace(grid__orientation="radiological")).images
    assert np.allclose(other.transpose(0, 2, 1), wanted, atol=1e-3)


def test_a_part_of_an_edition_that_is_standardised_stays_as_it_is(trees, volume, tmp_path):
    for level in (2, 3):
        (tmp_path / f"volume_1_slice_{level}.h5").write_bytes((trees[1] / f"volume_1_slice_{level}.h5").read_bytes())
    found = datasets.load(tmp_path, PRESETS["brats-official"]).images
    assert np.abs(found - official_inputs(volume)[2:4]).max() < 1e-3


def test_masks_lie_where_the_slices_show_the_lesion(trees):
    for orientation in ("array", "radiological"):
        slices = datasets.load(trees[0], SMALL.replace(grid__orientation=orientation))
        across = np.argwhere(slices.mask[ILL]).mean(axis=0) / SIZE
        wanted = [130 / 240, 95 / 240] if orientation == "array" else [95 / 240, 130 / 240]
        assert across == pytest.approx(wanted, abs=0.01) and slices.label.tolist() == [0, 0, 0, 0, 1, 0]


def test_scores_are_theirs(bundle, networks, trees, volume, tmp_path):
    wanted = official_scores(networks, official_inputs(volume))
    assert np.ptp(wanted) > 0.02  # a constant would agree with anything
    scan = trees[0] / "BraTS20_Training_001" / "BraTS20_Training_001_t1.nii.gz"
    out = run(["score", scan, "--bundle", bundle, "--out", tmp_path / "out", "--maps"], tmp_path / "out")
    assert np.abs(scores_of(out / "scores.csv") - wanted).max() < 1e-4
    heat = nibabel.load(next((out / "maps").rglob("*.nii.gz"))).get_fdata()
    assert heat.shape == volume.shape


def test_scores_are_theirs_from_hdf5_too(bundle, networks, trees, volume, tmp_path):
    options = ["--no-pictures", "--resamples", "0", "--stressed", "0"]
    command = ["evaluate", trees[1], "--bundle", bundle, "--out", tmp_path / "report", *options]
    found = scores_of(run(command, tmp_path / "report") / "slices.csv")
    assert np.abs(found - official_scores(networks, official_inputs(volume))).max() < 1e-4


CT = PRESETS["luna16-official"].replace(model=ModelConfig(64, PATCH, 48, 3, 4, 32, 2, 2))
PLACES = ((40, 36, 1), (60, 50, 2), (33, 50, 4), (55, 34, 3))
"""Of candidates, voxels; in millimetres to the left, back and top they are the same."""


def test_scores_of_ct_patches_are_theirs(tmp_path):
    torch.manual_seed(6)
    mae, classifier = OfficialMae(64, PATCH, 48, 3, 4, (32, 2, 2)), OfficialClassifier(64, PATCH, 48, 3, 4)
    torch.nn.init.normal_(classifier.head.weight, std=0.3)
    networks = mae.eval(), classifier.eval()
    x, y, z = np.mgrid[:100, :90, :6]
    noise = np.random.default_rng(4).normal(0, 40, x.shape)
    air = np.where(x < 30, -1000, -3024)  # and beside the field of view
    voxels = np.where((x - 50) ** 2 + (y - 45) ** 2 < 900, 40 * z - 700 * (x % 7 < 3), air) + noise.astype(int)
    root = write_candidates_tree(
        tmp_path, voxels.astype(np.int16), np.diag([-1.0, -1.0, 1.0, 1.0]), [(*place, 0) for place in PLACES]
    )
    bundle = imported(networks, root, tmp_path, CT)
    command = ["score", root / "subset3" / "1.2.3.mhd", "--candidates", root / "candidates.csv", "--bundle", bundle]
    found = scores_of(run([*command, "--out", tmp_path / "out"], tmp_path / "out") / "scores.csv")
    array = voxels.transpose(2, 1, 0)  # [Z, Y, X], as SimpleITK reads a .mhd
    patches = np.stack([array[k, j - 32 : j + 32, i - 32 : i + 32] / 100 for i, j, k in PLACES])
    keys = place_keys(np.array(PLACES) * [-1.0, -1.0, 1.0])
    wanted = official_scores(networks, patches, CT, keys)
    assert np.ptp(wanted) > 0.02
    assert np.abs(found - wanted).max() < 1e-4


def their_groups(network, base=1e-3, decay=0.05, layer_decay=0.75):
    """A group a parameter: its rate falls with the distance to the head; biases, norms and positions do not decay."""
    depth = len(network.blocks)
    for name, parameter in network.named_parameters():
        below = {"cls_token": 0, "pos_embed": 0, "patch_embed": 0}.get(name.split(".")[0], depth + 1)
        layer = int(name.split(".")[1]) + 1 if name.startswith("blocks.") else below
        plain = parameter.ndim == 1 or name in ("cls_token", "pos_embed")
        rate = base * layer_decay ** (depth + 1 - layer)
        yield {"params": [parameter], "lr": rate, "weight_decay": 0.0 if plain else decay}


def test_twenty_steps_of_the_classifier_are_theirs(networks):
    theirs, ours, preset = OfficialClassifier(SIZE, PATCH, 48, 3, 4), Classifier(SMALL.model), SMALL.classifier
    for network in (theirs, ours):
        network.load_state_dict(networks[1].state_dict())
        network.double()  # of gradients that are but rounding (keys' biases) Adam makes whole steps
    their_adamw = torch.optim.AdamW(list(their_groups(theirs)))  # betas as torch has them
    our_adamw = adamw(parameter_groups(ours, preset.weight_decay, preset.layer_decay), preset.betas)
    set_rate(our_adamw, preset.base_lr)
    draw = torch.Generator().manual_seed(0)
    for _ in range(20):
        images, labels = torch.rand(4, 1, SIZE, SIZE, generator=draw).double(), torch.randint(2, (4,), generator=draw)
        logits = theirs(images), ours(patchify(images[:, 0], PATCH), full_grid(4, SMALL.model.tokens))
        for made, optimiser in zip(logits, (their_adamw, our_adamw), strict=True):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(made, labels, label_smoothing=0.1).backward()
            optimiser.step()
    wanted = theirs.state_dict()
    assert max(float((value - wanted[name]).abs().max()) for name, value in ours.state_dict().items()) < 3e-5
    moved = networks[1].state_dict()
    assert max(float((value - moved[name]).abs().max()) for name, value in wanted.items()) > 1e-3


def test_an_imported_bundle_knows_other_intensities(bundle, volume):
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert (
        manifest["preset"]["grid"]["orientation"] == "array"
        and manifest["preset"]["intensity"]["method"] == "standard"
    )
    scan = Scan(volume, 1.0, 0.0, np.diag([-1.0, -1.0, 1.0, 1.0]), "a", bundle, "nifti")
    assert not prepare(scan, SMALL, expected=manifest["intensity"]).warnings
    assert prepare(scan, PRESETS["brats"], expected=manifest["intensity"]).warnings


def test_luna16s_inputs_are_unclipped_hundredths():
    raw = np.full((64, 64, 3), -3024, np.int16)
    raw[20:50, 20:50] = 40
    preset = PRESETS["luna16-official"]
    scan = Scan(raw, 1.0, 0.0, np.diag([-1.0, -1.0, 1.0, 1.0]), "a", None, "mhd")
    assert np.allclose(prepare(scan, preset).images.transpose(2, 1, 0), raw / 100, atol=1e-5)
    assert prepare(scan, PRESETS["luna16"]).images.min() == np.float32(-10.24)
