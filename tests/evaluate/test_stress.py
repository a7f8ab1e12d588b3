"""Paired insertion: what rises, what passes, and how sure that is."""

import csv
import json

import numpy as np
import pytest

from helpers.stubs import StubEngine
from maescan.config import preset
from maescan.datasets import SliceSet
from maescan.errors import DataError
from maescan.evaluate.acceptance import engine_scorer, picture, stress_set
from maescan.evaluate.insertions import KINDS, LESIONS
from maescan.evaluate.markdown import stress_text
from maescan.evaluate.stress import Healthy, stress_slices, summarise
from maescan.options import EvaluateOptions

TINY = preset("tiny").replace(masks__passes=1)


def slices(patients=4, each=6):
    rng = np.random.default_rng(0)
    n = patients * each
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    images = np.where(x**2 + y**2 < 0.6, rng.uniform(0.5, 1.5, (n, 64, 64)), 0).astype(np.float32)
    patient = np.repeat([f"p{i}" for i in range(patients)], each)
    area = (images > 0).mean(axis=(1, 2)).astype(np.float32)
    return SliceSet(images, patient, np.arange(n) % each, np.zeros(n, np.int8), area)


def brightness(images, numbers):
    return {"score": images.mean(axis=(1, 2))}, images


def test_a_score_that_is_brightness_rises_for_bright_lesions_and_falls_for_dark_ones():
    found = summarise(stress_slices(Healthy(slices(), TINY), brightness))
    rows = found["measures"]["score"]["kinds"]
    assert set(rows) == set(KINDS)
    assert rows["brighter"]["rises"]["share"] == 1 and rows["darker"]["rises"]["share"] == 0
    assert rows["darker"]["rises"]["interval"] == [0.0, 0.0]
    assert {"darker", "missing tissue"} <= set(found["not_better_than_a_coin"])
    assert "brighter" not in found["not_better_than_a_coin"]
    assert found["found"]["brighter"] > 0.8 > 0.2 > found["found"]["missing tissue"]


def test_a_constant_score_is_a_coin_and_passes_nothing():
    made = stress_slices(Healthy(slices(), TINY), lambda images, _: ({"score": np.ones(len(images))}, None))
    found = summarise(made)
    for row in found["measures"]["score"]["kinds"].values():
        assert row["rises"]["share"] == 0.5 and row["passes"]["share"] == 0
    assert found["not_better_than_a_coin"] == list(LESIONS)
    assert found["found"]["flat"] is None


def test_the_threshold_is_passed_by_at_most_a_twentieth_of_healthy_slices():
    def noise(images, numbers):
        return {"score": (images * 1e4 % 1).mean(axis=(1, 2))}, None

    found = summarise(stress_slices(Healthy(slices(8, 10), TINY), noise, kinds=("flat",)))
    assert found["measures"]["score"]["healthy_passes"] <= 0.05


def test_batches_and_a_subset_change_no_draw():
    data = slices()
    every, fewer = Healthy(data, TINY), Healthy(data, TINY, most=7)
    assert len(fewer) == 7 and len(set(fewer.patient)) == 4
    one, other = (stress_slices(every, brightness, batch=batch) for batch in (3, 32))
    for kind in KINDS:
        assert np.array_equal(one.after[kind]["score"], other.after[kind]["score"])
    place = int(np.flatnonzero(every.which == fewer.which[3])[0])
    assert np.array_equal(every.insertion("flat", place).image, fewer.insertion("flat", 3).image)


def test_only_slices_known_to_be_healthy_with_room_for_a_lesion_are_taken():
    data = slices()
    data.label[:] = 1
    data.label[5], data.label[6] = 0, -1
    assert list(Healthy(data, TINY).which) == [5]
    data.area[5] = 0.01
    with pytest.raises(DataError, match="known to be healthy"):
        Healthy(data, TINY)
    assert stress_set(data, StubEngine(), TINY) is None


def test_foreign_tissue_comes_from_another_patient():
    data = slices(2, 3)
    data.images[3:] = np.where(data.images[3:] > 0, 2.0, 0)
    one = Healthy(data, TINY).insertion("foreign tissue", 0)
    assert (one.image[one.mask] == data.images[:3].max()).mean() > 0.5


def test_one_patient_has_no_interval():
    found = summarise(stress_slices(Healthy(slices(1), TINY), brightness, kinds=("flat",)))
    assert found["measures"]["score"]["kinds"]["flat"]["rises"]["interval"] is None
    assert "| flat |" in stress_text(found)


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(DataError, match="score is NaN or infinite for 24 slices"):
        stress_slices(Healthy(slices(), TINY), lambda images, _: ({"score": np.full(len(images), np.nan)}, None))


@pytest.mark.parametrize("name", ["luna16", "tiny-fg"])
def test_it_works_on_ct_and_with_foreground_tokens(name):
    data = slices(2, 4)
    if name == "luna16":
        data.images[:] = np.where(data.images > 0, data.images - 1, -10.0)
    made = stress_slices(Healthy(data, preset(name)), engine_scorer(StubEngine(), preset(name)))
    assert set(made.before) == {"score", "mean squared error", "mean absolute error", "SSIM"}
    assert all(np.isfinite(scores["score"]).all() for scores in made.after.values())


def test_the_picture_is_the_same_bytes_twice(tmp_path):
    healthy, score = Healthy(slices(), TINY), engine_scorer(StubEngine(), TINY)
    made = stress_slices(healthy, score)
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.png", healthy, made, score)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_command_writes_tables_and_a_picture_twice_alike(exported_bundle, tmp_path):
    from typer.testing import CliRunner

    from maescan.cli import app
    from maescan.datasets.phantom import write_phantom

    write_phantom(tmp_path / "scans", healthy=2, lesions=0, seed=0, shape=(48, 48, 12))
    for name in ("a", "b"):
        arguments = [
            str(tmp_path / "scans"),
            "--bundle",
            str(exported_bundle),
            "--out",
            str(tmp_path / name),
            "--slices",
            "6",
        ]
        assert CliRunner().invoke(app, ["stress", *map(str, arguments)]).exit_code == 0
    files = {file.name: file.read_bytes() for file in (tmp_path / "a").iterdir() if file.is_file()}
    assert set(files) == {"stress.json", "stress.csv", "stress.md", "stress.png"}
    assert files == {file.name: file.read_bytes() for file in (tmp_path / "b").iterdir() if file.is_file()}
    found = json.loads((tmp_path / "a" / "stress.json").read_text())
    assert found["slices"] == 6 and found["patients"] == 2
    with open(tmp_path / "a" / "stress.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 6 * len(KINDS) and rows[0]["put_in"] == "brighter"
    assert float(rows[0]["size"]) > 0 and rows[-1]["size"] == ""


def test_an_evaluation_says_how_its_model_stands_the_test(tmp_path):
    from maescan.evaluate.run import evaluate_slices

    data = slices()
    data.label[::3] = 1
    found = evaluate_slices(
        data, StubEngine(), TINY, tmp_path, {}, EvaluateOptions(resamples=10, draw=False, stressed=8)
    )
    assert found["stress"]["slices"] == 8
    assert "## Lesions put into healthy slices" in (tmp_path / "report.md").read_text()
