"""What is said while scoring goes on: a bar, lines for people, lines of JSON. Scoring itself reports events alone."""

from __future__ import annotations

import contextlib
import enum
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from maescan import progress
from maescan.decimals import decimal, short
from maescan.scoring.options import AlertOptions

if TYPE_CHECKING:
    from maescan.scoring.job import Event, Facts


class Show(enum.Enum):
    """How events are shown."""

    people = enum.auto()
    json = enum.auto()
    nothing = enum.auto()

    @classmethod
    def of(cls, json_events: bool, quiet: bool) -> Show:
        """By --json and --quiet."""
        return cls.json if json_events else cls.nothing if quiet else cls.people


@contextlib.contextmanager
def of_score(show: Show, alerts: AlertOptions = AlertOptions()) -> Iterator[Event]:
    """What `score` is listened to with: a bar for people; alerts passed on."""
    from maescan.scoring.alerts import passed_on

    with contextlib.ExitStack() as stack:
        if show is Show.people:
            event = counted(stack.enter_context(progress.shown("score", unit="scans")), tell_device=True)
        else:
            event = json_line if show is Show.json else _unheard
        yield stack.enter_context(passed_on(event, alerts))


@contextlib.contextmanager
def of_watch(show: Show, alerts: AlertOptions) -> Iterator[Event]:
    """What `watch` is listened to with: a line for each event; alerts passed on."""
    from maescan.scoring.alerts import passed_on

    with passed_on({Show.people: _line, Show.json: json_line}.get(show, _unheard), alerts) as event:
        yield event


def of_listen(show: Show) -> Callable[[str, dict[str, object]], None]:
    """What `listen` is listened to with: a line for each event, with all its facts."""
    return {Show.people: _facts, Show.json: json_line}.get(show, _unheard)


def counted(update: progress.Update, tell_device: bool = False) -> Event:
    """Events that move a bar."""
    done, slices, failed, total, start = 0, 0, 0, None, time.monotonic()

    def event(name: str, facts: Facts) -> None:
        nonlocal done, slices, failed, total
        if name in ("device", "replaces") and tell_device:
            _line(name, facts)
        if name == "found":
            total = int(facts["scans"])
        elif name in ("scored", "failed", "skipped", "passed_over"):
            done, slices, failed = done + 1, slices + int(facts.get("slices", 0)), failed + (name == "failed")
        else:
            return
        update(done, total, f"{slices / (time.monotonic() - start + 1e-9):.0f} slices/s, {failed} failed")

    return event


def _unheard(name: str, facts: Facts) -> None:
    """Of all events those that tell of a loss, or that it waits for somebody."""
    if name in ("replaces", "full"):
        _line(name, facts)


def json_line(name: str, facts: Mapping[str, object]) -> None:
    """An event as a line, in one write."""
    progress.say(json.dumps({"event": name, **facts}, sort_keys=True))


def _line(name: str, facts: Facts) -> None:
    """An event for people."""
    if name == "device":
        print(f"--device {facts['asked']}: {facts['engine']} on {facts['took']}", file=sys.stderr, flush=True)
    if name == "replaces":
        print(f"warning: {facts['reason']}", file=sys.stderr, flush=True)
    if name == "watching":
        progress.say(f"{facts['time']} watching {facts['inbox']}")
    if name == "away":
        print(f"{facts['time']} {facts['inbox']}: {facts['reason']} ({facts['remedy']})", file=sys.stderr, flush=True)
    if name == "full":
        print(f"{facts['time']} {facts['reason']} ({facts['remedy']})", file=sys.stderr, flush=True)
    if name == "scored":
        arrived = f"{facts['latency_s']:.1f} s after arriving"
        progress.say(f"{facts['time']} {facts['scan']}: {_verdict(facts)}, {arrived}")
    if name == "failed":
        print(f"{facts['time']} {facts['scan']}: {facts['reason']} ({facts['remedy']})", file=sys.stderr, flush=True)
    if name == "passed_over":
        progress.say(f"{facts['time']} {facts['scan']}: passed over, it {facts['reason']}")
    if name in ("changed", "unusual"):
        print(f"{facts['time']} {facts['reason']}", file=sys.stderr, flush=True)


def _verdict(facts: dict[str, object]) -> str:
    parts = [f"score {decimal(cast(float, facts['score']))}"]
    if facts["p_value"] is not None:
        parts.append(f"p {short(cast(float, facts['p_value']))}")
    if facts["fit"] != "ok":
        parts.append(str(facts["fit"]))
    return ", ".join(parts) + (" ALERT" if facts["alert"] == "yes" else "")


def _facts(name: str, facts: Mapping[str, object]) -> None:
    words = " ".join(f"{key}={value}" for key, value in facts.items() if value is not None and key != "time")
    progress.say(f"{datetime.now(UTC).isoformat(timespec='seconds')} {name} {words}".rstrip())
