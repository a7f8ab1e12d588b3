"""verify, sign, pull, doctor, bench and version: what they hand on, what they print, how they end."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from maescan import __version__
from maescan.benchmark import run
from maescan.cli import app


def typed(*words, **more):
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False, **more)


@pytest.fixture
def asked(monkeypatch):
    """Takes a function's place, and keeps what it is asked for."""

    def take(name, answer=None):
        calls = []
        monkeypatch.setattr(name, lambda *given, **named: calls.append((given, named)) or answer)
        return calls

    return take


@pytest.mark.parametrize(("sound", "code"), [(True, 0), (False, 2)])
def test_verify_ends_as_the_bundle_is(asked, sound, code):
    calls = asked("maescan.engines.verify.show", sound)
    done = typed(
        "verify", "b", "--device", "cpu", "--trust", "--key", "k", "--limit-seconds", 5, "--limit-memory", 0.5
    )
    assert done.exit_code == code
    ((bundle,), named) = calls[0]
    limits = named.pop("limits")
    assert bundle == Path("b") and (limits.seconds, limits.memory) == (5, 500_000_000)
    assert named == {"device": "cpu", "trust": True, "key": "k", "as_json": False}


def test_verify_without_a_limit_of_memory_has_the_machines(asked):
    calls = asked("maescan.engines.verify.show", True)
    typed("verify", "b")
    assert calls[0][1]["limits"].memory is None


@pytest.mark.parametrize(
    ("environment", "needed", "typing", "password"),
    [
        ({"MAESCAN_KEY_PASSWORD": "secret"}, True, "", "secret"),
        ({}, True, "typed\n", "typed"),
        ({}, False, "", None),
        ({}, True, "", None),  # nobody to ask: signing says what to do
    ],
)
def test_a_keys_password_is_taken_asked_for_or_not_needed(asked, environment, needed, typing, password):
    asked("maescan.engines.bundle.Bundle.load")
    asked("maescan.engines.signing.needs_password", needed)
    calls = asked("maescan.engines.signing.sign", "b/manifest.json.minisig")
    done = typed("sign", "b", "--key", "k", input=typing, env={"MAESCAN_KEY_PASSWORD": None, **environment})
    assert calls == [((Path("b"), Path("k"), password), {})]
    assert done.stdout.endswith("signed: b/manifest.json.minisig\n") and "typed" not in done.output


def test_what_is_signed_is_checked_after_the_password_is_typed(monkeypatch):
    """Else another bundle could take its place meanwhile."""
    done = []
    monkeypatch.setattr("maescan.engines.signing.needs_password", lambda key: True)
    monkeypatch.setattr("typer.prompt", lambda *given, **named: done.append("typed") or "word")
    monkeypatch.setattr("maescan.engines.bundle.Bundle.load", lambda path, signed: done.append("checked"))
    monkeypatch.setattr("maescan.engines.signing.sign", lambda *given: done.append("signed"))
    typed("sign", "b", "--key", "k", env={"MAESCAN_KEY_PASSWORD": None})
    assert done == ["typed", "checked", "signed"]


@pytest.mark.parametrize("hash_", [None, "0" * 64])
def test_pull_says_the_hash_that_was_not_given(asked, hash_):
    calls = asked("maescan.network.pull.pull", (Path("o"), "f" * 64))
    done = typed(
        "pull", "https://example.org/b.zip", "--out", "o", "--quiet", *(("--sha256", hash_) if hash_ else ())
    )
    assert calls[0][0] == ("https://example.org/b.zip", Path("o"), hash_)
    assert ("--sha256 " + "f" * 64 in done.stdout) is (hash_ is None) and done.stdout.startswith("bundle: o\n")


def test_bench_measures_what_is_asked_for_and_shows_it(asked, monkeypatch):
    values = SimpleNamespace()
    calls, shown = asked("maescan.benchmark.run.bench", values), asked("maescan.benchmark.report.show")
    done = typed("bench", "--bundle", "b", "--threads", 2, "--quick", "--out", "o")
    assert calls[0][0] == (Path("o"), run.Subject(bundle=Path("b"), threads=2, quick=True))
    assert shown == [((values,), {})] and done.stdout == "report: o/bench.md\n"


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_doctor_and_version(asked, words):
    calls = asked("maescan.engines.doctor.show")
    typed("doctor", *words)
    assert calls == [((), {"as_json": bool(words)})]
    assert json.loads(typed("version").stdout) == {"maescan": __version__}
