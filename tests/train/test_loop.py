"""The loop: kills, processes and accumulation change no weight; a loss that is not finite stops it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import maescan
from helpers.tiny_training import PRESET, differences, log, run, signalled, slices, subprocess_run
from maescan.errors import ConfigError, DataError, TrainingError
from maescan.models import MaskedAutoencoder
from maescan.train.loop import batches
from maescan.train.phases import MaePhase
from maescan.train.setup import build


@pytest.mark.slow
def test_the_mae_learns(tmp_path):
    preset = PRESET.replace(mae__epochs=40, measure="mse", mae__base_lr=0.1)
    folder = run(tmp_path, preset)
    losses = [float(row["loss"]) for row in log(folder)]
    assert losses[-1] < 0.4 * losses[0]
    assert not (folder / "classifier.safetensors").exists()


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_scheduler_and_a_closed_terminal_leave_the_step_they_come_in(unbroken, tmp_path, number):
    assert signalled(tmp_path, number, ("mae", 1, 1), seconds=1e9) == -number
    at = torch.load(tmp_path / "checkpoint.pt", weights_only=False)["at"]
    assert (at["phase"], at["epoch"], at["step"]) == ("mae", 1, 2)
    run(tmp_path)
    assert differences(unbroken, tmp_path) == {"mae": 0, "classifier": 0} and log(tmp_path) == log(unbroken)


TWO = """
import sys
sys.path.insert(0, {tests!r})
from helpers import tiny_training
tiny_training.run({out!r}, devices=2)
"""


@pytest.mark.slow
def test_two_processes_train_as_one_that_accumulates(tmp_path):
    script = tmp_path / "two.py"
    script.write_text(TWO.format(tests=str(Path(__file__).parents[1]), out=str(tmp_path / "two")))
    code = f"import runpy, sys; sys.argv = [{str(script)!r}]; runpy.run_path({str(script)!r}, run_name='__main__')"
    done = subprocess_run(code)
    assert done.returncode == 0, done.stderr
    one = run(tmp_path / "one", accumulate=2)
    assert json.loads((tmp_path / "two" / "run.json").read_text())["processes"] == 2
    assert max(differences(one, tmp_path / "two").values()) < 1e-6
    assert [row["step"] for row in log(one)] == [row["step"] for row in log(tmp_path / "two")]


@pytest.mark.slow
def test_accumulation_changes_the_mae_by_rounding_only(unbroken, tmp_path):
    folder = run(tmp_path, PRESET.replace(measure="mse"), accumulate=4)
    one, two = load_file(folder / "mae.safetensors"), load_file(unbroken / "mae.safetensors")
    # By norm: gradients that are zero but for rounding (keys' biases) take whole steps of Adam.
    change = sum((one[name] - two[name]).norm() ** 2 for name in one) / sum(one[name].norm() ** 2 for name in one)
    assert change**0.5 < 5e-5


@pytest.mark.slow
def test_the_best_epoch_is_kept(unbroken, tmp_path, monkeypatch):
    aurocs = iter([0.9, 0.1])
    monkeypatch.setattr("maescan.train.phases.auroc", lambda *_: next(aurocs))
    folder = run(tmp_path)
    assert json.loads((folder / "run.json").read_text())["best"] == {"epoch": 0, "val_auroc": 0.9}
    assert json.loads((unbroken / "run.json").read_text())["best"]["epoch"] == 1
    assert differences(unbroken, folder) == {"mae": 0, "classifier": pytest.approx(0.01, abs=0.01)}
    assert differences(unbroken, folder)["classifier"] > 0


def test_a_loss_that_is_not_finite_stops_with_advice(tmp_path):
    data = slices()
    data.images[20:] = np.float32(1e30)
    with pytest.raises(TrainingError, match=r"not finite in mae epoch 0 .*lower base_lr"):
        run(tmp_path, data=data)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_batches_divide_and_small_sets_fill_one():
    assert batches(100, 32, 2) == (32, 3) and batches(10, 32, 4) == (8, 1)
    with pytest.raises(ConfigError, match=r"does not divide into 5 parts \(of --accumulate, --devices and --nodes"):
        batches(100, 32, 5)
    with pytest.raises(DataError, match="too few"):
        batches(3, 32, 4)


@pytest.fixture
def on_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_on_as_many_threads_is_the_same_run(tmp_path, on_threads, threads):
    on_threads(threads)
    one, two = (run(tmp_path / name) for name in "ab")
    assert max(differences(one, two).values()) == 0
    assert json.loads((two / "run.json").read_text())["threads"] == [threads]


def test_a_gradient_on_other_threads_differs_by_rounding_only(on_threads):
    """Of one step; what training makes of it stands in docs/reproduce.md."""
    images = slices().images

    def gradient(threads: int) -> torch.Tensor:
        on_threads(threads)
        phase = MaePhase(build(MaskedAutoencoder, 0, PRESET.model), images, PRESET, 0)
        ids = np.arange(len(images))
        phase.loss(phase.model, phase.batch(ids, 0), ids, 0).backward()
        return torch.cat([part.grad.flatten() for part in phase.model.parameters() if part.grad is not None])

    one, two = gradient(1), gradient(2)
    assert (one - two).norm() < 1e-6 * one.norm()


def test_a_run_that_goes_on_with_other_threads_says_so(tmp_path, on_threads, capsys, monkeypatch):
    def dies(*_):
        raise KeyboardInterrupt

    preset = PRESET.replace(measure="mse")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("maescan.train.run.choose_measure", dies)
        on_threads(2)
        run(tmp_path, preset)
    assert "threads" not in capsys.readouterr().err
    on_threads(1)
    run(tmp_path, preset)
    assert "trained on 2, then 1 threads, which leads to other weights" in capsys.readouterr().err
    assert json.loads((tmp_path / "run.json").read_text())["threads"] == [2, 1]


def test_a_run_that_goes_on_with_other_processes_or_another_version_says_so(tmp_path, capsys, monkeypatch):
    def dies(*_):
        raise KeyboardInterrupt

    preset = PRESET.replace(measure="mse")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("maescan.train.run.choose_measure", dies)
        patch.setattr("maescan.__version__", "0.0.9")
        run(tmp_path, preset)
    began = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(began | {"processes": 2}))
    run(tmp_path, preset)
    assert f"processes (2 -> 1), versions.maescan (0.0.9 -> {maescan.__version__})" in capsys.readouterr().err
    ended = json.loads((tmp_path / "run.json").read_text())
    assert ended["processes"] == 1 and ended["versions"]["maescan"] == maescan.__version__
    assert ended["earlier"] == [{"processes": 2, "versions": began["versions"]}]
