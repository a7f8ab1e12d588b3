"""phantom, prepare and inspect, as one types them."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from helpers.scan_files import write_nifti, write_series
from maescan import datasets
from maescan.cli import app
from maescan.datasets.phantom import Look
from maescan.errors import ConfigError


def typed(*words):
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture
def made(monkeypatch):
    """What `write_phantom` was asked for."""
    asked = []
    monkeypatch.setattr("maescan.datasets.phantom.write_phantom", lambda out, **named: asked.append((out, named)))
    return asked


def test_a_phantom_is_asked_for_as_it_is_typed(made, tmp_path):
    done = typed(
        "phantom", tmp_path, "--healthy", 3, "--lesions", 0, "--seed", 7, "--kind", "lung", "--mhd", "--quiet"
    )
    out, named = made[0]
    del named["progress"]
    assert out == tmp_path and named == {"healthy": 3, "lesions": 0, "seed": 7, "look": Look(kind="lung", mhd=True)}
    assert done.stdout == f"3 healthy scans and 0 with lesions are in {tmp_path}\n"


@pytest.mark.parametrize("words", [("--healthy", -1), ("--kind", "liver")])
def test_what_no_phantom_is(made, tmp_path, words):
    assert typed("phantom", tmp_path, *words).exit_code == 2 and made == []


@pytest.mark.parametrize(("failed", "code"), [(0, 0), (2, 3)])
def test_prepare_tells_what_it_did_and_what_it_left_out(monkeypatch, tmp_path, failed, code):
    asked = {}

    def prepare(data, preset, out, **named):
        asked.update(named, preset=preset.name)
        named["listen"]("two patients share a name")
        return {"slices": 60, "scans": 6, "kept": 4, "failed": failed}

    monkeypatch.setattr("maescan.datasets.prepare", prepare)
    done = typed("prepare", "in", "--out", tmp_path, "--preset", "tiny", "--workers", 3, "--modality", "t1",
                 "--limit-seconds", 5, "--seed", 9)  # fmt: skip
    assert done.exit_code == code and asked["preset"] == "tiny" and asked["readers"].count == 3
    assert asked["of"] == datasets.Selection(modality="t1", seed=9) and asked["readers"].limits.seconds == 5
    said = f"60 slices of 6 scans (4 of them before) are in {tmp_path}\ntwo patients share a name\n"
    assert done.stdout == said
    assert done.stderr == (
        f"2 scans cannot be used and are left out: {tmp_path / 'failures.csv'}\n" if failed else ""
    )


@pytest.mark.slow
def test_inspect_says_by_its_exit_code_whether_all_would_be_read(tmp_path):
    write_nifti(tmp_path / "a.nii.gz")
    done = typed("inspect", tmp_path, "--quiet")
    assert done.exit_code == 0 and "a.nii.gz" in done.stdout
    write_series(tmp_path / "c", depths=(0, 1, 2, 4, 5, 6))
    done = typed("inspect", tmp_path, "--json", "--quiet")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 3 and {row["verdict"] for row in rows} == {"read", "refused"}
    assert typed("inspect", tmp_path, "--accept", "missing-slices", "--quiet").exit_code == 0


def test_inspect_refuses_what_nobody_accepts(tmp_path):
    with pytest.raises(ConfigError, match="cannot accept 'anything'"):
        typed("inspect", tmp_path, "--accept", "anything")
