"""--pseudonyms from outside: a tree whose names are all one marker, and nothing of it in anything that comes out."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from helpers.inputs import given
from helpers.marked import MARK, WORDS, leaks, write_marked
from helpers.scoring_stub import rows, write_scan
from maescan.cli.demo import unpack

pytestmark = pytest.mark.timeout(900)


def maescan(*arguments, **options):
    command = [sys.executable, "-m", "maescan", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The tree in `in`, the demo's bundle, and what `score` wrote of the tree: `out`, and all that it told."""
    base = tmp_path_factory.mktemp("pseudonyms")
    write_marked(base / "in")
    told = ["--log", base / "log", "--on-alert", f"cat >> {base / 'alerts'}", "--alert-rate", "1"]
    done = score(base, "out", "--json", "--maps", "--exclude", f"{MARK}-left*", *told, temporary=base / "temporary")
    (base / "stdout").write_text(done.stdout)
    (base / "stderr").write_text(done.stderr)
    return base


def score(base, out, *more, temporary=None):
    given = [base / "in", "--bundle", unpack(base / "bundle"), "-o", base / out, "--pseudonyms", base / "key"]
    if temporary:
        temporary.mkdir(exist_ok=True)
    where = {**os.environ, **({"TMPDIR": str(temporary)} if temporary else {})}
    return maescan("score", *given, *more, env=where)


def test_no_byte_of_what_comes_out_names_a_scan(place):
    told = [place / name for name in ("out", "stdout", "stderr", "log", "alerts", "temporary")]
    events = [json.loads(line)["event"] for line in (place / "stdout").read_text().splitlines()]
    assert not leaks(*told)
    assert {"found", "scored", "failed", "passed_over", "changed"} <= set(events)
    assert (place / "alerts").read_text() and (place / "log").read_text()


def test_every_reason_is_told_though(place):
    failed = {row["reason"] for row in rows(place / "out" / "failures.csv")}
    passed = {row["why"] for row in rows(place / "out" / "passed_over.csv")}
    assert {"lacks 2 of 7 slices", "is not a NIfTI file", "is a link to nowhere", "has no Rows"} <= failed
    assert len(failed) >= 10
    assert passed >= {"hidden", "unread", "link", "other", "excluded", "labels"}


def test_a_second_run_knows_the_scans_and_one_that_was_moved(place, tmp_path):
    shutil.copytree(place / "bundle", tmp_path / "bundle")
    for number in range(2):
        write_scan(tmp_path / "in" / MARK / f"{MARK}-{number}.nii", number)
    score(tmp_path, "out", "-q")
    first = rows(tmp_path / "out" / "scans.csv")
    (tmp_path / "in" / MARK / f"{MARK}-0.nii").rename(given(tmp_path / "in" / f"{MARK}-moved.nii"))
    given(tmp_path / "in" / MARK / f"{MARK}-0.nii")
    (tmp_path / "in" / MARK / f"{MARK}-1.nii").unlink()
    given(tmp_path / "in" / MARK / f"{MARK}-1.nii")
    done = score(tmp_path, "out")
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (run["scans"]["scored"], run["scans"]["already_done"], len(run["archive"]["gone"])) == (1, 1, 1)
    assert rows(tmp_path / "out" / "scans.csv") == first
    assert not leaks(tmp_path / "out") and not leaked(done)


def test_shards_call_scans_alike_and_are_merged(place):
    shards = [place / "shard1", place / "shard2"]
    for number, shard in enumerate(shards, 1):
        score(place, shard.name, "--shard", f"{number}/2", "--exclude", f"{MARK}-left*", "-q")
    done = maescan("merge", *shards, "--bundle", place / "bundle", "-o", place / "merged")
    assert done.returncode in (3, 5), done.stderr
    for table in ("scans.csv", "failures.csv", "passed_over.csv"):
        assert sorted(read(place / "merged" / table)) == sorted(read(place / "out" / table)), table
    assert not leaks(*shards, place / "merged") and not leaked(done)


def read(path):
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


def leaked(done):
    return [word for word in WORDS if word in (done.stdout + done.stderr).lower()]


def test_what_ends_a_run_names_no_scan_either(place):
    bundle = ["--bundle", place / "bundle", "--pseudonyms", place / "key", "-v"]
    for path in (place / "in" / "SMITH", place / "in" / MARK / f"{MARK}.txt", place / "in" / MARK / f".{MARK}"):
        done = maescan("score", path, *bundle, "-o", place / "none")
        assert done.returncode in (2, 3) and done.stderr and not leaked(done)
    done = maescan("watch", place / "in" / "SMITH", *bundle, "-o", place / "none")
    assert done.returncode == 2 and "is no folder" in done.stderr and not leaked(done)
    calibrating = ["--pseudonyms", place / "key", "--out", place / "healthy", "-v"]
    done = maescan("calibrate", place / "bundle", place / "in", *calibrating)
    assert done.returncode == 2 and "cannot be scored" in done.stderr and not leaked(done)
    assert not leaks(place / "none", place / "healthy")


def test_watch_names_none(place, tmp_path):
    inbox, out = tmp_path / "SMITH", tmp_path / "out"
    inbox.mkdir()
    command = ["watch", inbox, "--bundle", place / "bundle", "-o", out, "--pseudonyms", place / "key"]
    more = ["--settle", "0.2", "--poll", "0.05", "--log", tmp_path / "log"]
    with (tmp_path / "said").open("w") as said:
        arguments = [sys.executable, "-m", "maescan", *map(str, [*command, *more])]
        running = subprocess.Popen(arguments, stdout=said, stderr=said)
    log = tmp_path / "log"
    wait_for(lambda: log.exists() and "watching" in log.read_text())
    for end in (".nii.gz", "-bad.nii"):
        shutil.copy(place / "in" / MARK / f"{MARK}{end}", inbox)
    wait_for(lambda: {"scored", "failed"} <= {json.loads(line)["event"] for line in log.read_text().splitlines()})
    running.send_signal(signal.SIGTERM)
    assert running.wait(120) in (0, 5)
    assert not leaks(out, tmp_path / "said", log)
    assert len(rows(out / "scans.csv")) == len(rows(out / "failures.csv")) == 1


def wait_for(what):
    for _ in range(2400):
        if what():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come")


def test_whose_a_pseudonym_is_says_who_has_the_key(place):
    labels = [row["scan"] for row in rows(place / "out" / "scans.csv")]
    done = maescan("pseudonym", place / "key", place / "in", "--out", place / "out", "--label", labels[0])
    pseudonym, label, path = done.stdout.rstrip("\n").split("\t")
    assert (done.returncode, pseudonym) == (0, labels[0])
    assert MARK in label and path.startswith(str(place / "in")) and done.stderr == ""
    unknown = maescan("pseudonym", place / "key", place / "in", "--label", "p0")
    assert unknown.returncode == 3 and unknown.stderr.startswith("warning: told by the names that scans have now")
    assert unknown.stderr.endswith("\np0: none of these scans, by this key and the names they have now\n")
    assert {
        line.split("\t")[0] for line in maescan("pseudonym", place / "key", place / "in").stdout.splitlines()
    } >= {*labels}


def test_names_and_pseudonyms_do_not_mix(place):
    plain = maescan("score", place / "in", "--bundle", place / "bundle", "-o", place / "out")
    other = maescan(
        *("score", place / "in", "--bundle", place / "bundle", "-o", place / "out"),
        *("--pseudonyms", place / "another-key"),
    )
    for done in (plain, other):
        assert done.returncode == 2
        assert "holds scores under pseudonyms of the key" in done.stderr
    assert not leaks(place / "out")
    page = maescan("view", place / "out", rows(place / "out" / "scans.csv")[0]["scan"])
    assert page.returncode == 2 and "under pseudonyms" in page.stderr
