"""Checkpoints: a run that was killed goes on to the same weights; a damaged one is refused in one line."""

from __future__ import annotations

import copy
import errno
import os
import signal
import sys

import pytest
import torch
from torch import nn

from helpers.mutations import mutations
from helpers.tiny_training import differences, log, run, signalled
from maescan.config import preset
from maescan.errors import ConfigError, DataError, MaescanError
from maescan.files import write_json
from maescan.train.state import Log, Position, check_asked, kept_precision, load_checkpoint, restore, save_checkpoint

KEY = {"preset": {"name": "tiny"}, "seed": 0, "data": ["a", "b"]}


@pytest.fixture
def checkpoint(tmp_path):
    file = tmp_path / "checkpoint.pt"
    save_checkpoint(file, KEY, Position("mae", 2, 3), model=nn.Linear(3, 2))
    return file


def test_a_checkpoint_comes_back(checkpoint):
    state = load_checkpoint(checkpoint, KEY)
    assert state["at"] == Position("mae", 2, 3)
    restore(state, "model", nn.Linear(3, 2), checkpoint.parent)
    with pytest.raises(ConfigError, match=r"another seed \(0 -> 1\) \(use another --out, or add --no-resume"):
        load_checkpoint(checkpoint, {**KEY, "seed": 1})


def test_every_field_that_differs_is_named_with_both_values(checkpoint):
    other = {"preset": {"name": "tiny", "mae": {"epochs": 9}}, "seed": 0, "data": ["a", "c"], "init": "1f"}
    with pytest.raises(ConfigError) as told:
        load_checkpoint(checkpoint, other)
    shown = "--val-fraction, a cache or its folder), --init, preset.mae.epochs (1600 -> 9)"
    assert f"another set of slices (scans, labels, split, {shown}" in str(told.value)
    save_checkpoint(checkpoint, other, Position("mae"))
    with pytest.raises(ConfigError, match=r"another preset\.mae\.epochs \(9 -> 3\) \("):
        load_checkpoint(checkpoint, {**other, "preset": {"name": "tiny", "mae": {"epochs": 3}}})


@pytest.mark.parametrize("asked", [0.0, 0.5])
def test_a_field_that_came_later_is_another_run_only_where_it_is_not_its_default(tmp_path, asked):
    before = preset("tiny+").to_dict()
    del before["judge"]["artefacts"]
    save_checkpoint(tmp_path / "checkpoint.pt", {"preset": before}, Position("mae", 2, 3), model=nn.Linear(3, 2))
    write_json(tmp_path / "preset.json", before)
    write_json(tmp_path / "run.json", {})
    now = preset("tiny+").replace(judge__artefacts=asked)
    for check in (
        lambda: load_checkpoint(tmp_path / "checkpoint.pt", {"preset": now.to_dict()}),
        lambda: check_asked(tmp_path, now, 0),
    ):
        if asked:
            with pytest.raises(ConfigError, match=r"another preset\.judge\.artefacts \(0\.0 -> 0\.5\) \("):
                check()
        else:
            check()


def test_a_run_keeps_its_precision(tmp_path):
    assert kept_precision(tmp_path, "auto") == "auto"
    save_checkpoint(tmp_path / "checkpoint.pt", KEY, Position("mae"))
    for said in ({}, {"precision": None}):  # of before
        write_json(tmp_path / "run.json", said)
        assert [kept_precision(tmp_path, asked) for asked in ("auto", "bf16")] == ["auto", "bf16"]
    write_json(tmp_path / "run.json", {"precision": "fp32"})
    assert [kept_precision(tmp_path, asked) for asked in ("auto", "fp32")] == ["fp32", "fp32"]
    with pytest.raises(ConfigError, match=r"another precision \(fp32 -> bf16\) \(leave --precision out, use another"):
        kept_precision(tmp_path, "bf16")


def test_every_byte_changed_is_an_error_in_one_line_or_a_checkpoint(checkpoint):
    """torch checks its zip's sums, not that what is in it is a checkpoint."""
    whole, wrong = checkpoint.read_bytes(), []
    for at in range(0, len(whole), 17):
        for value in (0xFF, whole[at] ^ 1):
            checkpoint.write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
            try:
                state = load_checkpoint(checkpoint, KEY)
                restore(state, "model", nn.Linear(3, 2), checkpoint.parent)
            except MaescanError as error:
                wrong += [(at, str(error))] if "\n" in str(error) or "weights_only=False" in str(error) else []
            except Exception as error:
                wrong.append((at, repr(error)))
    assert not wrong, wrong[:3]


def test_every_field_changed_is_an_error_in_one_line_or_a_checkpoint(checkpoint):
    whole, wrong = torch.load(checkpoint, weights_only=True), []
    fields = {name: whole[name] for name in ("key", "at")}
    for what, values in list(mutations(fields))[::2]:
        torch.save({**copy.deepcopy(values), "model": whole["model"]}, checkpoint)
        try:
            load_checkpoint(checkpoint, KEY)
        except MaescanError as error:
            wrong += [(what, str(error))] if "\n" in str(error) else []
        except Exception as error:
            wrong.append((what, repr(error)))
    assert not wrong, wrong[:3]


@pytest.mark.parametrize("state", [{}, {"model": 3}, {"model": {"weight": torch.zeros(9)}}, {"model": {"weight": 1}}])
def test_a_state_that_is_not_the_networks_is_one_line(tmp_path, state):
    with pytest.raises(DataError, match=r"checkpoint\.pt: its model is not that of this run"):
        restore(state, "model", nn.Linear(3, 2), tmp_path)


@pytest.mark.slow
def test_killed_twice_and_resumed_gives_the_same_weights(unbroken, tmp_path):
    for where in (("mae", 1, 2), ("classifier", 1, 1)):
        assert signalled(tmp_path, signal.SIGKILL, where, seconds=0.0) == -signal.SIGKILL
    assert (tmp_path / "checkpoint.pt").exists()
    run(tmp_path)
    assert differences(unbroken, tmp_path) == {"mae": 0, "classifier": 0}
    assert log(tmp_path) == log(unbroken)


def test_tensorboard_shows_what_log_csv_has(tmp_path, monkeypatch):
    """After a kill too, behind the checkpoint of which rows had been written; a run that is done writes nothing, and
    one that goes on without TensorBoard takes nothing."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    def shown():
        events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
        events.Reload()
        return {tag: [(e.step, round(e.value, 4)) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}

    killed = Log(tmp_path)
    killed.resume(Position("mae"), 10)
    for step in (10, 20, 30):
        killed.row(Position("mae", step // 10 - 1), step, 1 / step, 0.1)
    resumed = Log(tmp_path)
    resumed.resume(Position("mae", 2), 10)
    resumed.row(Position("mae", 2), 30, 1 / 30, 0.1)
    resumed.resume(Position("judge"), 5)
    resumed.row(Position("judge"), 5, 0.5, 0.1, 0.75)
    assert shown()["mae/loss"] == [(10, 0.1), (20, 0.05), (30, 0.0333)]
    assert shown()["judge/val_auroc"] == [(5, 0.75)] and "mae/val_auroc" not in shown()
    before = list((tmp_path / "tensorboard").iterdir())
    Log(tmp_path)
    assert list((tmp_path / "tensorboard").iterdir()) == before
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.record_writer", None)
    Log(tmp_path).resume(Position("judge", 1), 5)
    assert list((tmp_path / "tensorboard").iterdir()) == before


@pytest.mark.parametrize("name", ["log.csv", "events.out.tfevents."])
def test_a_disk_that_is_full_when_a_row_is_logged_is_one_line(tmp_path, monkeypatch, name, capfd):
    """TensorBoard's own writer ended its thread with a traceback; of log.csv it was a fault of maescan."""
    pytest.importorskip("tensorboard")
    log = Log(tmp_path)
    log.resume(Position("mae"), 10)
    (full,) = tmp_path.rglob(f"{name}*")
    full.unlink()
    full.symlink_to("/dev/full")
    with pytest.raises(DataError, match=rf"{name}.*cannot write: {os.strerror(errno.ENOSPC)}"):
        log.row(Position("mae"), 10, 0.1, 0.1)
    assert capfd.readouterr().err == ""
