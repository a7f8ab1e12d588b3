"""Commands whose standard streams are closed, or that have none: a service's, a windowed Python's, `2>&-`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.scan_files import write_nifti
from maescan.datasets.phantom import Look, write_phantom

CLOSED = ("2>&-", ">&-", ">&- 2>&-", "<&- >&- 2>&-")
NONE = "import sys, maescan.cli as c; sys.stdout = sys.stderr = sys.stdin = None; sys.argv[1:] = {}; c.main()"


@pytest.fixture(params=[*CLOSED, "none"])
def run(request, tmp_path):
    """Runs `maescan`; the exit code."""

    def of(*arguments):
        typed = list(map(str, arguments))
        if request.param == "none":
            return subprocess.run([sys.executable, "-c", NONE.format(typed)], cwd=tmp_path, timeout=120).returncode
        command = ["sh", "-c", f'"$@" {request.param}', "sh", sys.executable, "-m", "maescan", *typed]
        return subprocess.run(command, cwd=tmp_path, timeout=120).returncode

    return of


def test_help_is_no_fault(run):
    assert [run("--help"), run("score", "--help"), run("version")] == [0, 0, 0]


def test_a_wrong_word_is_still_wrong_input(run):
    assert [run("score", "none", "--bundle", "none", "--out", "out"), run("scor")] == [2, 2]


def test_workers_read_as_ever(run, tmp_path):
    write_nifti(tmp_path / "scan.nii.gz")
    assert run("inspect", "scan.nii.gz", "--picture", "montage.png") == 0
    assert (tmp_path / "montage.png").read_bytes().startswith(b"\x89PNG")


def test_a_bundle_is_calibrated_and_scores(run, tmp_path, exported_bundle):
    write_phantom(tmp_path / "scans", healthy=3, lesions=0, seed=0, look=Look(shape=(48, 48, 12)))
    shutil.copytree(exported_bundle, tmp_path / "bundle")
    assert run("calibrate", "bundle", "scans") == 0
    assert run("score", "scans", "--bundle", "bundle", "--out", "out") == 0
    assert len((tmp_path / "out" / "scans.csv").read_text().splitlines()) == 4


@pytest.fixture(params=["full", "unread"])
def nobody(request):
    """A stream where nothing can be written: on a full disk, or that nobody reads any more."""
    read, stream = os.pipe()
    os.close(read)
    if request.param == "full":
        os.close(stream)
        stream = os.open("/dev/full", os.O_WRONLY)
    yield stream
    os.close(stream)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without /dev/full")
@pytest.mark.parametrize("typed", ["score none --bundle none --out out", "score --alert-rate two", "scor"])
def test_wrong_input_that_cannot_be_told_is_still_wrong_input(nobody, typed, tmp_path):
    command = [sys.executable, "-m", "maescan", *typed.split()]
    assert subprocess.run(command, cwd=tmp_path, stderr=nobody, timeout=120).returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without /dev/full")
def test_a_scan_that_failed_and_cannot_be_told_still_ends_with_3(nobody, tmp_path, exported_bundle):
    write_phantom(tmp_path / "scans", healthy=1, lesions=0, seed=0, look=Look(shape=(48, 48, 12)))
    (tmp_path / "scans" / "damaged.nii").write_bytes(b"no scan")
    command = [sys.executable, "-m", "maescan", "score", "scans", "--bundle", exported_bundle, "--out", "out"]
    done = subprocess.run(command, cwd=tmp_path, stderr=nobody, stdout=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 3 and "1 scan scored, 0 reused, 1 failed" in done.stdout
