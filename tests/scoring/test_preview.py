"""`maescan inspect --bundle` says what `score` then does."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import nibabel
import numpy as np
import pytest

from helpers.scan_files import write_nifti
from helpers.scoring_stub import rows, write_scan
from maescan.cli.demo import unpack
from maescan.datasets.phantom import write_phantom
from maescan.engines.bundle import Bundle
from maescan.options import ReadOptions
from maescan.scoring.preview import judge_of


def maescan(*arguments):
    command = [sys.executable, "-m", "maescan", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A bundle, and a folder of a phantom, a scan unlike it, a label map and what is no scan."""
    folder = tmp_path_factory.mktemp("preview")
    write_phantom(folder / "scans" / "phantom", healthy=1, lesions=0, seed=5)
    phantom = nibabel.load(folder / "scans" / "phantom" / "healthy" / "brain_0000.nii.gz")
    wider = nibabel.Nifti1Image(np.asarray(phantom.dataobj)[..., 1:], phantom.affine @ np.diag([1.15, 1.15, 1.15, 1]))
    nibabel.save(wider, folder / "scans" / "wider.nii.gz")
    write_scan(folder / "scans" / "odd.nii.gz", 0)
    write_nifti(folder / "scans" / "labels.nii.gz", (np.indices((9, 8, 7)).sum(0) > 12).astype(np.uint8))
    (folder / "scans" / "broken.nii").write_text("text")
    return unpack(folder / "bundle"), folder / "scans", folder


@pytest.mark.slow
def test_what_it_foresees_comes_true(tree):
    bundle, scans, folder = tree
    told = maescan("inspect", scans, "--bundle", bundle, "--json")
    assert told.returncode == 3, told.stderr
    seen = {row["name"]: row["verdict"] for row in map(json.loads, told.stdout.splitlines())}
    done = maescan("score", scans, "--bundle", bundle, "-o", folder / "out", "-q")
    assert done.returncode == 3, done.stderr
    scored = {row["scan"]: row for row in rows(folder / "out" / "scans.csv")}
    failed = {row["scan"] for row in rows(folder / "out" / "failures.csv")}
    assert {name for name, verdict in seen.items() if verdict.startswith("scored")} == set(scored)
    assert {name for name, verdict in seen.items() if verdict == "refused"} == failed
    assert seen["labels.nii.gz"] == "passed over" and seen["wider.nii.gz"] == "scored, see notes"
    assert seen["phantom/healthy/brain_0000.nii.gz"] == "scored"
    noted = {name for name, row in scored.items() if row["warnings"]}
    assert {name for name, verdict in seen.items() if verdict == "scored, see notes"} == noted


@pytest.mark.slow
def test_a_line_a_scan_and_one_about_the_bundle(tree):
    bundle, scans, _ = tree
    told = maescan("inspect", scans / "phantom", "--bundle", bundle)
    assert told.returncode == 0, told.stderr
    first, *_, last = told.stdout.splitlines()
    assert re.match(r"scored +healthy/brain_0000\.nii\.gz: nifti, 32 x 96 x 96 at ", first), first
    assert "preset demo, openvino-fp32; calibrated: scans get p-values" in last


@pytest.mark.slow
def test_a_refusal_has_exit_code_3_without_a_bundle_too(tree):
    _, scans, _ = tree
    assert maescan("inspect", scans).returncode == 3
    assert maescan("inspect", scans / "phantom").returncode == 0


def test_an_engine_that_score_runs_only_when_told_to_says_so(tree, monkeypatch):
    monkeypatch.setattr(Bundle, "engines", lambda bundle: {"torchscript-fp32": {}, "openvino-fp32": {}})
    _, told = judge_of(tree[0], ReadOptions())
    assert "openvino-fp32, torchscript-fp32 (any code: with --trust alone); calibrated" in told
