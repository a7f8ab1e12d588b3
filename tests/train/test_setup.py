"""What a training is set up from, and what is refused."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from helpers.tiny_training import PRESET, run, slices
from maescan.cli import app
from maescan.config import PRESETS
from maescan.errors import ConfigError, DataError, TrainingError
from maescan.options import TrainOptions
from maescan.train.setup import check_started, first_process, make_fabric, split, together


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
    with pytest.raises(ConfigError, match=r"is not here \(use --device cpu\)"):
        run(tmp_path, device="cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
@pytest.mark.parametrize("command", [("train",), ("ablate", "--experiment", "beta")])
def test_a_device_is_refused_before_hours_of_reading(command, tmp_path):
    words = [*command, str(tmp_path / "none"), "--preset", "tiny", "--out", str(tmp_path / "o"), "--device"]
    for device, why in (("cuda", "is not here"), ("cuda:x", "unknown device 'cuda:x'")):
        assert why in str(CliRunner().invoke(app, [*words, device]).exception)


def test_a_batch_that_does_not_divide_is_refused_before_the_phases_that_come_first_are_trained(tmp_path):
    """That of tiny+'s MAE is 16, that of its judge 8."""
    words = ["train", str(tmp_path / "none"), "--out", str(tmp_path / "o"), "--device", "cpu", "--accumulate", "16"]
    assert "none: does not exist" in str(CliRunner().invoke(app, [*words, "--preset", "tiny"]).exception)
    why = "a batch of 8 does not divide into 16 parts (of --accumulate, --devices and --nodes"
    assert why in str(CliRunner().invoke(app, [*words, "--preset", "tiny+"]).exception)
    with pytest.raises(ConfigError, match="a batch of 12 does not divide into 8 parts"):
        run(tmp_path / "o", PRESET.replace(classifier__batch_size=12), accumulate=8)


def test_a_process_that_another_has_left_says_so_and_calls_it_no_fault_of_maescan():
    lost = RuntimeError("[pair.cc:561] Connection closed by peer [127.0.0.1]:12498.")
    with (
        pytest.raises(TrainingError, match=r"another process of this training has ended \(mend what that one says"),
        together(2),
    ):
        raise lost
    for processes, error in ((1, lost), (2, RuntimeError("shapes differ"))):
        with pytest.raises(RuntimeError) as raised, together(processes):
            raise error
        assert raised.value is error


@pytest.mark.parametrize(("rank", "said"), [(0, True), (1, False)])
def test_what_all_processes_would_say_alike_is_said_once(rank, said, monkeypatch):
    from lightning_fabric.utilities.rank_zero import rank_zero_only

    monkeypatch.setattr(rank_zero_only, "rank", rank, raising=False)
    assert first_process() is said


SLURM = {
    "SLURM_JOB_NAME": "train",
    "SLURM_JOB_ID": "1",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
}


@pytest.mark.parametrize(
    ("tasks", "asked", "why"),
    [
        ({"SLURM_NTASKS": "1"}, (2, 1), "SLURM's tasks are 1, ? a node, not 2, 2 a node"),
        ({"SLURM_NTASKS": "2"}, (2, 1), "SLURM's tasks are 2, ? a node, not 2, 2 a node"),
        ({"SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1"}, (2, 1), "--ntasks-per-node 2"),
        ({"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2"}, (2, 2), "not 4, 2 a node"),
        ({}, (1, 2), "NODE_RANK, MASTER_ADDR, MASTER_PORT not set"),
        ({"NODE_RANK": "0", "MASTER_ADDR": "a"}, (1, 2), "--nodes 2: MASTER_PORT not set"),
    ],
)
def test_fewer_processes_than_asked_for_are_refused_before_hours_of_reading(tasks, asked, why, monkeypatch, tmp_path):
    """One of SLURM's tasks trained alone, without a word, and machines waited for each other for ever."""
    for name, value in ((SLURM if "SLURM_NTASKS" in tasks else {}) | tasks).items():
        monkeypatch.setenv(name, value)
    words = (
        f"train {tmp_path}/none --preset tiny -o {tmp_path}/o --device cpu --devices {asked[0]} --nodes {asked[1]}"
    )
    error = CliRunner().invoke(app, words.split()).exception
    assert isinstance(error, ConfigError) and why in str(error)


def test_one_process_trains_in_a_job_of_several_tasks_and_as_many_as_there_are_tasks_do(monkeypatch):
    for name, value in (SLURM | {"SLURM_NTASKS": "4"}).items():
        monkeypatch.setenv(name, value)
    assert make_fabric(TrainOptions(device="cpu"), PRESET.model).world_size == 1
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "2")
    check_started(2, 2)


@pytest.mark.parametrize("devices", [1, 2])
def test_a_machine_that_has_srun_trains_without_a_hint_to_use_it(devices, monkeypatch, tmp_path):
    """Lightning gave it at each start, with the beginning of the command line; here a warning is an error."""
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    check_started(devices, 1)
    assert make_fabric(TrainOptions(device="cpu"), PRESET.model).world_size == 1


@pytest.mark.parametrize("fraction", [0.95, 1.0])
def test_a_share_that_leaves_nobody_to_train_on_is_named(fraction):
    with pytest.raises(
        DataError, match=r"all 5 patients are held back for validation \(give a smaller --val-fraction"
    ):
        split(slices(), PRESET, fraction, 0)
