"""Receiver, sender, scorer and forwarder are killed at random moments; MAESCAN_KILLS says how often (20 by hand)."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pydicom import dcmread

from helpers.dicom_node import Node, receiver, spooled, tool
from helpers.pacs import Pacs, add_results
from helpers.scoring_stub import PROCESSES, rows
from helpers.series import write_slices
from helpers.spool_stub import Scored, put, scoring
from maescan.network.spool import Spool

KILLS = int(os.environ.get("MAESCAN_KILLS", "3"))
IMAGES = 30
pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 + 60 * KILLS)]


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def sending(port, log, files):
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r}); from helpers.dicom_sender import main;"
    )
    code += f"from pathlib import Path; main({port}, Path({str(log)!r}), [Path(name) for name in sys.argv[1:]])"
    quiet = subprocess.DEVNULL
    return subprocess.Popen([sys.executable, "-c", code, *map(str, files)], stdout=quiet, stderr=quiet)


@pytest.mark.parametrize("who", ["receiver", "sender"])
def test_files_stored_are_at_least_the_images_acknowledged(out, tmp_path, who):
    moments, log, files = random.Random(who), tmp_path / "log", list[Path]()
    log.touch()
    for number in range(KILLS):
        new = write_slices(tmp_path / f"s{number}", range(IMAGES), uid=f"1.2.{number + 10}")
        files += new
        with receiver(out) as (node, port):
            sender = sending(port, log, new)
            while not (out / ".maescan" / "spool" / "part").exists() or (
                sender.poll() is None and not log_of(log, new)
            ):
                time.sleep(0.005)
            time.sleep(moments.uniform(0, 0.5))
            (node.process if who == "receiver" else sender).kill()
            sender.wait(60)
            node.kill()
        acknowledged = log.read_text().split()
        stored = [str(dcmread(path).SOPInstanceUID) for path in spooled(out)]
        assert len(stored) == len(set(stored)) and set(acknowledged) <= set(stored)
    print(f"\n{who}: {KILLS} kills, {len(acknowledged)} acknowledged, {len(stored)} stored of {len(files)}")
    with receiver(out) as (node, port):
        called = [tool("storescu"), "-R", "-aet", "SCANNER1", "-aec", "MAESCAN", "127.0.0.1", str(port)]
        subprocess.run([*called, *map(str, files)], check=True, timeout=300)
        assert node.until("association")["stored"] == len(files)
        assert not list((out / ".maescan" / "spool" / "part").iterdir())
    assert len(spooled(out)) == len(files) == KILLS * IMAGES
    assert not [path for path in spooled(out) if "conflict" in path.name]


def log_of(log, files):
    return set(log.read_text().split()) & {str(dcmread(path).SOPInstanceUID) for path in files[:1]}


def score_forever(out):
    with scoring(out, settle=0.0):
        threading.Event().wait()


def test_every_series_is_scored_once_whenever_the_scorer_is_killed(out, tmp_path):
    moments, spool = random.Random("scorer"), Spool(out)
    for number in range(KILLS):
        for part in (0, 1):
            uid = f"1.2.{number + 10}.{part + 1}"
            put(spool, write_slices(tmp_path / uid, range(3 + part), uid=uid))
        process = PROCESSES.Process(target=score_forever, args=(out,))
        process.start()
        before, deadline = len(spool.journal.ready(1e12, 0, 0)), time.monotonic() + 60
        while len(spool.journal.ready(1e12, 0, 0)) == before and time.monotonic() < deadline:
            time.sleep(0.01)  # nothing is given to be scored yet
        time.sleep(moments.uniform(0, 3))
        process.kill()
        process.join(30)
    waiting = len(spool.journal.waiting())
    with scoring(out, settle=0.0) as told:
        while spool.journal.waiting():
            time.sleep(0.05)
    assert isinstance(told, Scored)
    print(f"\nscorer: {KILLS} kills, {waiting} of {2 * KILLS} series were left for the last run")
    assert sorted(row["slices"] for row in rows(out / "scans.csv")) == sorted(["3", "4"] * KILLS)
    assert not rows(out / "failures.csv")
    spool.close()


def test_every_result_arrives_whenever_the_forwarder_is_killed(out):
    moments, uids = random.Random("forwarder"), list[str]()
    with Pacs().serving() as pacs:
        values = {"out": str(out), "options": {"forward": [str(pacs.destination)]}}
        for number in range(KILLS):
            uids += add_results(out, range(20 * number, 20 * number + 20))
            node, before = Node("maescan.network.forwarder", values), len(pacs.got)
            deadline = time.monotonic() + 60
            while len(pacs.got) == before and time.monotonic() < deadline:
                time.sleep(0.002)
            time.sleep(moments.uniform(0, 0.15))
            node.kill()
        node = Node("maescan.network.forwarder", values)
        deadline = time.monotonic() + 60
        while set(pacs.got) != set(uids) and time.monotonic() < deadline:
            time.sleep(0.05)
        node.stop()
    twice = len(pacs.got) - len(set(pacs.got))
    print(f"\nforwarder: {KILLS} kills, {len(set(pacs.got))} of {len(uids)} arrived, {twice} twice")
    assert set(pacs.got) == set(uids)
    assert twice <= KILLS  # one at most for each kill: sent, and killed before that was noted
