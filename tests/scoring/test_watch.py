from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from helpers.inputs import given
from helpers.scoring_stub import BUNDLE, PROCESSES, Engine, write_scan
from helpers.series import write_slices
from maescan.errors import ConfigError, DataError
from maescan.scans import worker
from maescan.scoring import readers
from maescan.scoring.options import ScoreOptions, WatchOptions
from maescan.scoring.pipeline import score_folder
from maescan.scoring.watch import Inbox, stopped_by_signals, watch_folder


class Hanging(readers.ScanReader):
    def read(self, source):
        time.sleep(600 if "hangs" in source.name else 0)
        return super().read(source)


def serve(inbox, out, pipe, pause):
    readers.ScanReader, worker.GRACE_S = Hanging, 1.0
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # readers' server, which may be ours too, blocks it
    with stopped_by_signals() as stop:

        def event(name, facts):
            pipe.send((name, facts))

        class Telling(Engine):
            def reconstruct(self, *arguments):
                pipe.send(("scoring", {}))
                return super().reconstruct(*arguments)

        watched = Inbox(inbox, WatchOptions(settle_s=0.3, poll_s=0.05), stop)
        watch_folder(watched, BUNDLE, Telling(pause), out, ScoreOptions(), event)
    pipe.send(("ended", {}))


class Watched:
    def __init__(self, inbox, out, pause=0.0):
        self.pipe, theirs = PROCESSES.Pipe()
        self.process = PROCESSES.Process(target=serve, args=(inbox, out, theirs, pause))
        self.process.start()
        theirs.close()
        self.until("watching")

    def until(self, *names):
        """The facts of the next event of one of these names."""
        while True:
            assert self.pipe.poll(60), f"no {names} within 60 s"
            name, facts = self.pipe.recv()
            if name in names:
                return facts

    def end(self, number=signal.SIGTERM):
        os.kill(self.process.pid, number)
        self.until("ended")
        self.process.join(10)
        self.pipe.close()
        return self.process.exitcode


@pytest.fixture
def inbox(tmp_path):
    (tmp_path / "inbox").mkdir()
    yield tmp_path / "inbox"
    for left in multiprocessing.active_children():  # of a test that failed; pytest would wait for it
        left.kill()


def rows(file):
    with open(file, newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.slow
def test_scans_are_scored_as_they_arrive_and_the_tables_are_those_of_a_folder(inbox, tmp_path):
    watched = Watched(inbox, tmp_path / "out")
    for index in range(3):
        write_scan(inbox / "sub" / f"scan{index}.nii.gz", index)
    latencies = [watched.until("scored")["latency_s"] for _ in range(3)]
    assert all(0.3 <= latency < 20 for latency in latencies)
    (inbox / "bad.nii.gz").write_bytes(b"no scan")
    assert watched.until("failed")["scan"] == "bad.nii.gz"
    assert watched.end() == 0
    score_folder([inbox], BUNDLE, Engine(), tmp_path / "folder")
    for name in ("scores.csv", "scans.csv", "failures.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "folder" / name).read_bytes()
    latency = json.loads((tmp_path / "out" / "watch.json").read_text())["latency_s"]
    assert latency["scans"] == 3 and latency["p50"] <= latency["p95"] < 20


@pytest.mark.slow
def test_a_file_that_still_grows_is_waited_for(inbox, tmp_path):
    whole = write_scan(tmp_path / "scan.nii.gz", 0).read_bytes()
    watched = Watched(inbox, tmp_path / "out")
    with open(inbox / "scan.nii.gz", "wb", buffering=0) as stream:
        for part in range(8):
            stream.write(whole[part * len(whole) // 8 : (part + 1) * len(whole) // 8])
            time.sleep(0.1)
    assert watched.until("scored", "failed").get("slices") == 6
    assert watched.end(signal.SIGINT) == 0


@pytest.mark.slow
def test_a_scan_that_failed_half_arrived_is_scored_when_it_is_whole(inbox, tmp_path):
    whole = write_scan(tmp_path / "scan.nii.gz", 0).read_bytes()
    (inbox / "scan.nii.gz").write_bytes(whole[:900])
    watched = Watched(inbox, tmp_path / "out")
    assert "reason" in watched.until("scored", "failed")
    (inbox / "scan.nii.gz").write_bytes(whole)
    assert "score" in watched.until("scored", "failed")
    assert watched.end() == 0 and rows(tmp_path / "out" / "failures.csv") == []


@pytest.mark.slow
def test_sigterm_finishes_the_scan_in_flight_and_a_restart_goes_on(inbox, tmp_path):
    write_scan(inbox / "scan0.nii.gz", 0, slices=12)
    watched = Watched(inbox, tmp_path / "out", pause=0.3)
    write_scan(inbox / "scan1.nii.gz", 1)
    watched.until("scoring")
    assert watched.end() == 0
    first = {row["scan"] for row in rows(tmp_path / "out" / "scans.csv")}
    assert first
    again = Watched(inbox, tmp_path / "out")
    write_scan(inbox / "scan2.nii.gz", 2)
    seen = [again.until("scored", "skipped")["scan"] for _ in range(3)]
    assert sorted(seen) == ["scan0.nii.gz", "scan1.nii.gz", "scan2.nii.gz"] and again.end() == 0
    assert len(rows(tmp_path / "out" / "scans.csv")) == 3


@pytest.mark.slow
def test_sigterm_does_not_wait_for_a_read_that_hangs_and_blames_nobody(inbox, tmp_path):
    watched = Watched(inbox, tmp_path / "out")
    write_scan(inbox / "good.nii.gz", 0)
    write_scan(inbox / "hangs.nii.gz", 1)
    watched.until("scored")
    time.sleep(1.0)
    assert watched.end() == 0
    assert [row["scan"] for row in rows(tmp_path / "out" / "scans.csv")] == ["good.nii.gz"]
    assert rows(tmp_path / "out" / "failures.csv") == []


@pytest.mark.slow
def test_killed_it_goes_on(inbox, tmp_path):
    watched = Watched(inbox, tmp_path / "out")
    write_scan(inbox / "scan0.nii.gz", 0)
    watched.until("scored")
    watched.process.kill()
    watched.process.join()
    watched.pipe.close()
    again = Watched(inbox, tmp_path / "out")
    assert again.until("scored", "skipped") == {"scan": "scan0.nii.gz"} and again.end() == 0
    assert len(rows(tmp_path / "out" / "scans.csv")) == 1


def event_of(watched, *names):
    """(name, facts) of the next event of one of these names."""
    while True:
        assert watched.pipe.poll(30), f"no {names} within 30 s"
        name, facts = watched.pipe.recv()
        if name in names:
            return name, facts


@pytest.mark.slow
def test_a_series_whose_first_slice_came_early_is_one_row_and_scored_again(inbox, tmp_path):
    watched = Watched(inbox, tmp_path / "out")
    write_slices(inbox, [0])
    first = watched.until("scored", "failed")
    assert (first["slices"], first["state"]) == (1, "incomplete")
    write_slices(inbox, range(1, 3))
    write_slices(inbox, range(4, 6))  # the third is lost on the way
    assert watched.until("failed")["state"] == "incomplete"
    write_slices(inbox, [3])
    last = watched.until("scored")
    assert (last["slices"], last["state"], last["scan"]) == (6, "complete", first["scan"])
    assert watched.end() == 0
    assert [(row["slices"], row["state"]) for row in rows(tmp_path / "out" / "scans.csv")] == [("6", "complete")]
    assert rows(tmp_path / "out" / "failures.csv") == []


@pytest.mark.slow
def test_half_a_series_says_so(inbox, tmp_path):
    watched = Watched(inbox, tmp_path / "out")
    write_slices(inbox, range(3, 6))
    assert watched.until("scored")["state"] == "incomplete"
    write_slices(inbox / "declared", range(3), uid="1.2.10", total=6)
    assert watched.until("scored")["state"] == "incomplete"
    assert watched.end() == 0
    told = [row["warnings"] for row in rows(tmp_path / "out" / "scans.csv")]
    assert sum("incomplete: 3 of 6 images are there" in text for text in told) == 1
    assert sum("incomplete: 3 of the images before number 6 are not there" in text for text in told) == 1


@pytest.mark.slow
def test_a_second_patient_in_a_flat_inbox_changes_nothing_of_the_first(inbox, tmp_path):
    watched = Watched(inbox, tmp_path / "out")
    seen = []
    for patient in "ABC":
        write_slices(inbox, range(4), uid=f"1.2.{ord(patient)}", patient=patient)
        told = watched.until("arriving")["scan"]
        seen.append(event_of(watched, "scored", "skipped", "failed"))
        assert told == seen[-1][1]["scan"]
    assert [name for name, _ in seen] == ["scored"] * 3
    labels = [facts["scan"] for _, facts in seen]
    assert len(set(labels)) == 3
    for file in list(inbox.iterdir()):
        if file.name.startswith("A"):
            file.unlink()
            given(file)
    write_slices(inbox, range(4), uid="1.2.99", patient="D")
    name, facts = event_of(watched, "scored", "skipped", "failed")
    assert name == "scored" and facts["scan"] not in labels
    assert watched.end() == 0
    assert [row["scan"] for row in rows(tmp_path / "out" / "scans.csv")] == sorted([*labels, facts["scan"]])


@pytest.mark.slow
def test_steady_traffic_in_a_flat_inbox_holds_nobody_back(inbox, tmp_path):
    watched = Watched(inbox, tmp_path / "out")
    write_slices(inbox, range(4), uid="1.2.1", patient="A")
    traffic = threading.Event()

    def others():
        number = 0
        while not traffic.wait(0.1):
            write_slices(inbox, [number % 200], uid=f"1.3.{number // 200}", patient=f"T{number}")
            number += 1

    thread = threading.Thread(target=others)
    thread.start()
    try:
        assert any(watched.until("scored")["slices"] == 4 for _ in range(20))  # one slice is scored sooner than four
    finally:
        traffic.set()
        thread.join()
    assert watched.end() == 0


@pytest.mark.slow
def test_events_of_many_scans_at_once_are_whole_lines_and_none_is_lost(inbox, tmp_path):
    for number in range(60):
        write_slices(inbox / f"{number:02d}", [0], uid=f"1.2.{number}")
    watched = Watched(inbox, tmp_path / "out")
    names = [event_of(watched, "scored", "failed")[1]["scan"] for _ in range(60)]
    assert len(set(names)) == 60 and watched.end() == 0


@pytest.mark.slow
def test_a_pipe_and_endless_files_hold_nobody_up_nor_the_end(inbox, tmp_path):
    os.mkfifo(inbox / "a.nii")
    os.mkfifo(inbox / "b")
    (inbox / "c.mhd").symlink_to("/dev/zero")
    watched = Watched(inbox, tmp_path / "out")
    assert {watched.until("failed")["scan"] for _ in range(2)} == {"a.nii", "c.mhd"}
    write_scan(inbox / "good.nii.gz", 0)
    assert watched.until("scored")["scan"] == "good.nii.gz"
    assert watched.end() == 0


def test_inboxes_that_cannot_be(inbox, tmp_path):
    with pytest.raises(DataError, match="no folder"):
        watch_folder(Inbox(tmp_path / "none"), BUNDLE, Engine(), tmp_path / "out")
    with pytest.raises(ConfigError, match="inside the inbox"):
        watch_folder(Inbox(inbox), BUNDLE, Engine(), inbox / "out")


@pytest.mark.slow
def test_an_inbox_that_is_away_is_told_and_so_is_its_return(inbox, tmp_path):
    watched = Watched(inbox, tmp_path / "out")
    inbox.rename(tmp_path / "moved")
    assert "is gone" in watched.until("away")["reason"]
    write_scan(tmp_path / "moved" / "scan.nii.gz", 0)
    (tmp_path / "moved").rename(inbox)
    assert watched.until("watching")["inbox"] == str(inbox)
    assert watched.until("scored")["scan"] == "scan.nii.gz"
    assert watched.end() == 0


@pytest.mark.parametrize(("before", "ends"), [("SIG_DFL", "True"), ("SIG_IGN", "False")])
def test_a_terminal_that_is_closed_ends_it_in_order_unless_nohup_says_otherwise(before, ends):
    code = (
        f"import os; from maescan.scoring.watch import *; from signal import *; signal(SIGHUP, {before})\n"
        "with stopped_by_signals() as stop: os.kill(os.getpid(), SIGHUP); print(stop.wait(0.2))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stdout.strip()) == (0, ends)
