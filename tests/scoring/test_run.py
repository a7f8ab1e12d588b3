"""`score_paths` and `watch_inbox`: a bundle's engine is opened, told of, and closed whatever happens."""

from __future__ import annotations

import signal

import pytest

from helpers.scoring_stub import write_scan
from helpers.stubs import StubEngine, stub_bundle
from maescan import engines, kernels
from maescan.errors import ConfigError, ScanError
from maescan.options import EngineOptions, LungTiles, ReadOptions
from maescan.scoring.options import ScoreOptions, WatchOptions
from maescan.scoring.run import opened, score_paths, watch_inbox
from maescan.scoring.watch import Inbox


@pytest.fixture
def opened_engines(monkeypatch):
    """Stubs that were loaded, and what they were asked for."""
    loaded = []

    class Stub(StubEngine):
        device_name, closed = "a CPU", 0

        def close(self):
            self.closed += 1

    def load(bundle, **asked):
        loaded.append((Stub(), asked))
        return loaded[-1][0]

    monkeypatch.setattr(engines, "load", load)
    monkeypatch.setattr("maescan.engines.bundle.Bundle.load", lambda path: stub_bundle(path.name))
    monkeypatch.setattr(kernels, "set_threads", lambda threads: loaded.append(threads))
    return loaded


@pytest.mark.parametrize(("device", "told"), [("cpu", 0), ("auto", 1), ("gpu", 1)])
def test_a_device_that_was_our_choice_is_told(opened_engines, tmp_path, device, told):
    write_scan(tmp_path / "in" / "a.nii.gz", 0)
    events = []
    summary = score_paths(
        [tmp_path / "in"], tmp_path / "tiny", tmp_path / "out", EngineOptions(device=device), ScoreOptions(workers=1),
        lambda name, facts: events.append((name, facts)),
    )  # fmt: skip
    devices = [facts for name, facts in events if name == "device"]
    assert devices == [{"asked": device, "took": "a CPU", "engine": "fake-fp32"}] * told
    assert [name for name, _ in events if name == "scored"] == ["scored"] and len(summary.scored) == 1
    assert opened_engines[1][0].closed == 1


def test_an_engine_is_asked_for_as_the_options_say_and_closed_after_a_failure(opened_engines, tmp_path):
    options = EngineOptions(device="cuda:1", target="onnx", precision="fp16", threads=3, trust=True)
    with pytest.raises(ScanError, match="does not exist"):
        score_paths([tmp_path / "none"], tmp_path / "tiny", tmp_path / "out", options)
    threads, (engine, asked) = opened_engines
    assert threads == 3 and engine.closed == 1
    assert asked == {"device": "cuda:1", "target": "onnx", "precision": "fp16", "threads": 3, "trust": True}


def test_what_cannot_be_scored_so_is_refused_before_an_engine_is_loaded(opened_engines, tmp_path):
    tiles = ScoreOptions(read=ReadOptions(regions=LungTiles()))
    with pytest.raises(ConfigError, match="scores whole slices"), opened(tmp_path / "tiny", EngineOptions(), tiles):
        pass
    assert opened_engines == [None]


def test_a_watch_ends_with_a_signal_and_leaves_signals_as_they_were(opened_engines, tmp_path):
    (tmp_path / "in").mkdir()
    before, heard = signal.getsignal(signal.SIGTERM), []

    def listen(name, facts):
        heard.append(name)
        if name == "watching":
            signal.getsignal(signal.SIGTERM)(signal.SIGTERM, None)  # a real one might end all tests

    inbox = Inbox(tmp_path / "in", WatchOptions(settle_s=0.0, poll_s=0.01))
    summary = watch_inbox(inbox, tmp_path / "tiny", tmp_path / "out", listen=listen)
    assert heard == ["watching"] and summary.scored == [] and opened_engines[1][0].closed == 1
    assert signal.getsignal(signal.SIGTERM) is before and not inbox.stop.is_set()
