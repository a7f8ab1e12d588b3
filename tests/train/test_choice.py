"""Which measure a training ends with, and what it says of it."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.training import SMALL, slices
from maescan import engines
from maescan.engines.bundle import Bundle
from maescan.export import export
from maescan.method.score import score_slices
from maescan.options import TrainOptions
from maescan.train import choice, train


@pytest.fixture
def stressed(monkeypatch):
    """Makes the stress test find what it is told: measure -> share of rising scores."""

    def tell(**shares):
        names = {"mse": "mean squared error", "mae": "mean absolute error", "ssim": "SSIM"}
        rows = {
            names.get(name, "score"): {
                "mean": {"rises": share, "passes": 0.1},
                "kinds": {},
                "not_better_than_a_coin": ["flat"] if share < 0.6 else [],
            }
            for name, share in shares.items()
        }
        monkeypatch.setattr(choice, "stress_set", lambda *a, **k: {"measures": rows})

    return tell


def trained(out, preset=SMALL, data=None, **options):
    quick = preset.replace(
        mae__epochs=1, mae__warmup_epochs=0, judge__folds=0, judge__epochs=1, judge__warmup_epochs=0
    )
    data = slices() if data is None else data
    train(data, quick, out, TrainOptions(device="cpu", val_fraction=0.4, tensorboard=False, **options))
    report = json.loads((out / "run.json").read_text())
    return report, json.loads((out / "preset.json").read_text())["measure"]


@pytest.mark.slow
def test_a_plus_takes_the_best_measure_and_says_so(tmp_path, stressed, capsys):
    stressed(score=0.5, mse=0.55, mae=0.9, ssim=0.3)
    report, measure = trained(tmp_path / "run")
    assert measure == report["measure"] == "mae"
    line = next(line for line in report["warnings"] if "scores with mae, not with judge" in line)
    assert line in capsys.readouterr().err
    bundle = export(tmp_path / "run", tmp_path / "bundle")
    assert not (bundle / "judge.safetensors").exists()
    data, made = slices(), Bundle.load(bundle)
    running = engines.load(made)
    scored = score_slices(data.images, data.keys, running, made.preset, maps=True)
    running.close()
    errors = np.abs(data.images - scored.reconstruction.reshape(data.images.shape)).mean(axis=(1, 2))
    np.testing.assert_allclose(scored.score, errors, rtol=1e-5)


@pytest.mark.slow
def test_the_judge_stays_where_it_is_best_and_its_coins_are_named(tmp_path, stressed, capsys):
    stressed(score=0.58, mse=0.55, mae=0.5, ssim=0.3)
    report, measure = trained(tmp_path)
    assert measure == "judge" and report["warnings"][-1] == "no better than a coin on lesions of these kinds: flat"
    assert "kinds: flat" in capsys.readouterr().err


@pytest.mark.slow
def test_others_keep_theirs_and_are_told_by_how_much_it_loses(tmp_path, stressed):
    stressed(score=0.5, mse=0.55, mae=0.9, ssim=0.3)
    preset = SMALL.replace(name="small", measure="classifier", classifier__epochs=1, classifier__warmup_epochs=0)
    report, measure = trained(tmp_path, preset)
    assert measure == "classifier"
    assert any(
        "mae would be better than classifier" in line and "1.00 against 0.60" in line for line in report["warnings"]
    )


@pytest.mark.slow
def test_a_loss_near_chance_is_named(tmp_path):
    preset = SMALL.replace(
        name="small",
        measure="classifier",
        classifier__epochs=1,
        classifier__warmup_epochs=0,
        classifier__base_lr=1e-7,
    )
    report, _ = trained(tmp_path, preset)
    assert any("classifier's loss stayed near chance: 0.69" in line for line in report["warnings"])


@pytest.mark.slow
def test_labelled_validation_slices_are_ranked_beside_the_baselines(tmp_path):
    data = slices()
    label = data.label.copy()
    label[::3] = 1
    report, _ = trained(tmp_path, data=dataclasses.replace(data, label=label))
    assert report["validation"]["auroc"].keys() == {"judge", "mse", "mae", "ssim"}
    assert "tissue area" in report["validation"]["baselines"]
    assert report["validation"]["area_matched"] is None or report["validation"]["area_matched"].keys() == {
        "judge",
        "mse",
        "mae",
        "ssim",
    }


@pytest.mark.slow
def test_a_measure_that_is_better_by_nothing_that_is_shown_is_not_named(tmp_path, stressed):
    stressed(score=0.5, mse=0.4, mae=0.5001, ssim=0.3)
    preset = SMALL.replace(name="small", measure="classifier", classifier__epochs=1, classifier__warmup_epochs=0)
    report, _ = trained(tmp_path, preset)
    assert not any("would be better" in line for line in report["warnings"])


def test_a_measure_that_is_taken_is_told_with_as_many_decimals_as_tell_it_apart(tmp_path, stressed):
    stressed(score=0.744, mse=0.4, mae=0.7441, ssim=0.3)
    report, measure = trained(tmp_path)
    line = next(line for line in report["warnings"] if "scores with mae, not with judge" in line)
    assert measure == "mae" and "0.8441 against 0.8440" in line


@pytest.mark.parametrize("name", ["brats-mine", "luna16-mine", "tiny-fast", "brats"])
def test_a_preset_that_names_its_body_part_or_is_of_maescan_is_not_warned_of(name):
    assert choice.any_organ(SMALL.replace(name=name)) == []


def test_a_preset_of_any_body_part_is_told(tmp_path):
    """`method.gate` knows the organ by the preset's name alone: a knee among heads would get a p-value."""
    assert "preset 'mine' does not say its body part" in choice.any_organ(SMALL.replace(name="mine"))[0]
    one = slices()
    report, _ = trained(tmp_path, SMALL.replace(name="mine"), one.select(np.asarray(one.patient) == "p0"))
    assert "begins with brats (brain) or luna16 (chest)" in report["warnings"][0]


def test_without_validation_nothing_is_chosen(tmp_path):
    data = slices()
    one = data.select(np.asarray(data.patient) == "p0")
    report, measure = trained(tmp_path, data=one)
    assert measure == "judge" and report["stress"] is None and "not compared" in report["warnings"][-1]


def test_a_judge_that_learnt_little_is_named(tmp_path):
    run = SimpleNamespace(out=tmp_path)
    rows = [("mae", 0.1, ""), ("judge", 1.4, ""), ("judge", 1.3, "0.48"), ("judge", 1.2, "0.55")]
    log = tmp_path / "log.csv"

    def said():
        log.write_text("phase,loss,val_auroc\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows))
        return choice.near_chance(run, SMALL)

    assert len(said()) == 1 and "0.55 is the mean of AUROC and share that rises" in said()[0]
    rows.append(("judge", 1.1, "0.75"))
    assert said() == []
    rows[2:] = []  # nobody to validate on
    assert said() == []
