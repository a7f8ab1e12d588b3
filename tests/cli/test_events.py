"""What `score`, `watch` and `listen` say of events."""

from __future__ import annotations

import io
import json
import sys

import pytest

from maescan import progress
from maescan.cli.events import Show, counted, of_listen, of_score, of_watch
from maescan.scoring.options import AlertOptions

SCORED = {
    "scan": "a.nii",
    "score": 0.25,
    "p_value": 0.125,
    "fit": "ok",
    "alert": "yes",
    "slices": 4,
    "latency_s": 1.5,
}
FAILED = {"scan": "b.nii", "reason": "is no scan", "remedy": "look at it"}
DEVICE = {"asked": "auto", "took": "a CPU", "engine": "openvino-fp32"}
EVENTS = (("device", DEVICE), ("watching", {"inbox": "in"}), ("scored", SCORED), ("failed", FAILED),
          ("passed_over", {"scan": "c.nii", "reason": "is a label map"}), ("unusual", {"reason": "scans are unlike"}),
          ("arriving", {"scan": "d.nii"}))  # fmt: skip


def say(listener, *arguments):
    with listener(*arguments) as event:
        for name, facts in EVENTS:
            event(name, dict(facts))


@pytest.mark.parametrize(("flags", "show"), [((True, False), Show.json), ((False, True), Show.nothing),
                                             ((True, True), Show.json), ((False, False), Show.people)])  # fmt: skip
def test_flags_say_how_events_are_shown(flags, show):
    assert Show.of(*flags) is show


@pytest.mark.parametrize("listener", [of_score, of_watch])
def test_json_is_a_line_an_event_with_its_time(listener, capsys):
    say(listener, Show.json, AlertOptions())
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == [name for name, _ in EVENTS]
    assert {**lines[2], "time": "", "event": ""} == {**SCORED, "time": "", "event": ""} and lines[2]["time"]


@pytest.mark.parametrize("listener", [of_score, of_watch])
def test_nothing_is_nothing_but_alerts_are_passed_on(listener, capsys, tmp_path):
    say(listener, Show.nothing, AlertOptions(log=tmp_path / "log"))
    assert capsys.readouterr() == ("", "") and len((tmp_path / "log").read_text().splitlines()) == len(EVENTS)


@pytest.mark.parametrize("listener", [of_score, of_watch])
@pytest.mark.parametrize("show", [Show.people, Show.nothing])
def test_what_is_lost_is_said_to_those_who_want_quiet_too(listener, show, capsys):
    with listener(show, AlertOptions()) as event:
        event("replaces", {"reason": "out holds 2 scans"})
    assert capsys.readouterr() == ("", "warning: out holds 2 scans\n")


def test_watch_has_a_line_for_people_and_faults_on_stderr(capsys):
    say(of_watch, Show.people, AlertOptions())
    out, err = capsys.readouterr()
    lines = [line.partition(" ")[2] for line in out.splitlines()]
    assert lines == [
        "watching in",
        "a.nii: score 0.250000, p 0.1250 ALERT, 1.5 s after arriving",
        "c.nii: passed over, it is a label map",
    ]
    assert err.splitlines()[0] == "--device auto: openvino-fp32 on a CPU"
    assert [line.partition(" ")[2] for line in err.splitlines()[1:]] == [
        "b.nii: is no scan (look at it)",
        "scans are unlike",
    ]


def test_a_verdict_leaves_out_what_there_is_not(capsys):
    with of_watch(Show.people, AlertOptions()) as event:
        event("scored", {**SCORED, "p_value": None, "alert": "", "fit": "other"})
    assert capsys.readouterr().out.endswith("a.nii: score 0.250000, other, 1.5 s after arriving\n")


def test_scores_bar_counts_what_is_done_and_failed(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with of_score(Show.people) as event:
        event("found", {"scans": 7})
        for name in ("scored", "failed", "skipped", "passed_over", "drawn"):
            event(name, {**SCORED, **FAILED})
    assert "score 4/7 scans" in sys.stderr.getvalue() and "1 failed" in sys.stderr.getvalue()


def test_what_is_counted_is_told_to_any_update():
    told = []
    event = counted(lambda done, total, text="": told.append((done, total)))
    event("scored", SCORED)
    event("found", {"scans": 3})
    event("failed", FAILED)
    assert told == [(1, None), (1, 3), (2, 3)]


def test_listen_says_all_facts_or_none(capsys):
    for show in Show:
        of_listen(show)("scored", {"scan": "1/2", "score": 0.5, "p_value": None, "time": "now"})
    people, line = capsys.readouterr().out.splitlines()
    assert people.partition(" ")[2] == "scored scan=1/2 score=0.5"
    assert json.loads(line) == {"event": "scored", "scan": "1/2", "score": 0.5, "p_value": None, "time": "now"}


def test_a_reader_that_has_left_ends_nothing(monkeypatch):
    class Left(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    closed = []
    monkeypatch.setattr(sys, "stdout", Left())
    monkeypatch.setattr(progress, "closed", lambda: closed.append(True))
    for show in (Show.people, Show.json):
        of_listen(show)("scored", SCORED)
    assert closed == [True, True]
