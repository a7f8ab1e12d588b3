"""`maescan stress`: tables and a picture."""

import csv
import itertools
import json

import numpy as np
import pytest

from helpers.labelled import TINY, healthy_slices
from helpers.stubs import StubEngine
from maescan.config import preset
from maescan.evaluate.acceptance import engine_scorer, picture
from maescan.evaluate.insertions import KINDS
from maescan.evaluate.stress import Healthy, stress_slices


@pytest.mark.parametrize("name", ["luna16", "tiny-fg"])
def test_it_works_on_ct_and_with_foreground_tokens(name):
    data = healthy_slices(2, 4)
    if name == "luna16":
        data.images[:] = np.where(data.images > 0, data.images - 1, -10.0)
    made = stress_slices(Healthy(data, preset(name)), engine_scorer(StubEngine(), preset(name)))
    assert set(made.before) == {"score", "mean squared error", "mean absolute error", "SSIM"}
    assert all(np.isfinite(scores["score"]).all() for scores in made.after.values())


@pytest.mark.slow
def test_the_picture_is_the_same_bytes_twice(tmp_path):
    healthy, score = Healthy(healthy_slices(), TINY), engine_scorer(StubEngine(), TINY)
    made = stress_slices(healthy, score)
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.png", healthy, made, score)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_command_writes_tables_and_a_picture_twice_alike(exported_bundle, tmp_path):
    from typer.testing import CliRunner

    from maescan.cli import app
    from maescan.datasets.phantom import Look, write_phantom

    write_phantom(tmp_path / "scans", healthy=2, lesions=0, seed=0, look=Look(shape=(48, 48, 12)))
    (tmp_path / "scans" / "healthy").rename(tmp_path / "scans" / "=healthy")
    labels = tmp_path / "scans" / "labels.csv"
    labels.write_text(labels.read_text().replace("healthy/", "=healthy/"))
    taken = "2 scans of 2 patients (2 healthy): labels of labels.csv"
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
        done = CliRunner().invoke(app, ["stress", *map(str, arguments)])
        assert done.exit_code == 0 and taken in done.stderr.splitlines()
    files = {file.name: file.read_bytes() for file in (tmp_path / "a").iterdir() if file.is_file()}
    assert set(files) == {"stress.json", "stress.csv", "stress.md", "stress.png"}
    assert files == {file.name: file.read_bytes() for file in (tmp_path / "b").iterdir() if file.is_file()}
    assert b"\n'=healthy/" in files["stress.csv"] and b"\n=" not in files["stress.csv"]  # no cell is a formula
    found = json.loads((tmp_path / "a" / "stress.json").read_text())
    assert found["slices"] == 6 and found["patients"] == 2 and found["taken"] == taken
    assert f"Taken: {taken}." in (tmp_path / "a" / "stress.md").read_text()
    with open(tmp_path / "a" / "stress.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 6 * len(KINDS) and rows[0]["put_in"] == "brighter"
    assert float(rows[0]["size"]) > 0 and rows[-1]["size"] == ""
    for kind, (measure, of) in itertools.product(KINDS, found["measures"].items()):
        columns = [f"{measure} {when}".replace(" ", "_") for when in ("before", "after")]
        pairs = [[float(row[column]) for column in columns] for row in rows if row["put_in"] == kind]
        share = np.mean([(after > before) + 0.5 * (after == before) for before, after in pairs])
        assert share == of["kinds"][kind]["rises"]["share"]
        assert sum(after > of["threshold"] for _, after in pairs) / 6 == of["kinds"][kind]["passes"]["share"]
