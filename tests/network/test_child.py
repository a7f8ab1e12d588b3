from __future__ import annotations

import threading

import pytest

from maescan.errors import ConfigError
from maescan.network import child as module
from maescan.network.child import Child

PROGRAM = """
import json, sys
values = json.loads(sys.stdin.readline())
print(json.dumps({"event": values["first"], "reason": "no port", "remedy": "use another"}), flush=True)
sys.exit(2) if values["first"] == "fault" else values["dies"] or sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(module, "FIRST_S", 0.05)
    events, news = [], threading.Condition()

    def tell(name, facts):
        with news:
            events.append((name, facts))
            news.notify_all()

    def made(first, dies=False):
        return Child("program", {"first": first, "dies": dies}, "up", tell)

    made.events, made.news = events, news
    return made


def test_it_is_started_anew_when_it_dies_and_ends_when_told(start):
    child = start("up")
    child.wait_ready()
    child._process.kill()
    with start.news:
        assert start.news.wait_for(lambda: [name for name, _ in start.events] == ["up", "restarted", "up"], 30)
    assert start.events[1][1]["exit"] == -9
    child.close()
    assert child._process.returncode == 0 and start.events[-1][0] == "up"


def test_its_fault_is_told_at_once(start):
    with pytest.raises(ConfigError, match=r"no port") as error:
        start("fault").wait_ready()
    assert str(error.value) == "no port (use another)"
    assert [name for name, _ in start.events] == ["fault"]


def test_one_that_dies_as_soon_as_it_works_is_started_less_and_less_often(start):
    """What ended it is there still: a disk that is full, a file that it cannot read."""

    def pauses():
        return [facts["after_s"] for name, facts in start.events if name == "restarted"]

    child = start("up", dies=True)
    with start.news:
        assert start.news.wait_for(lambda: len(pauses()) == 3, 30)
    child.close()
    assert pauses()[:3] == [0.1, 0.2, 0.4]
