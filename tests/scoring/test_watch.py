from __future__ import annotations

import csv
import json
import os
import signal
import time

import numpy as np
import pytest

from helpers.inputs import given
from helpers.scoring_stub import BUNDLE, PROCESSES, Engine, write_scan
from maescan.errors import ConfigError, DataError
from maescan.scoring.arrivals import Arrivals
from maescan.scoring.options import ScoreOptions, WatchOptions
from maescan.scoring.pipeline import score_folder
from maescan.scoring.watch import stopped_by_signals, watch_folder


def serve(inbox, out, pipe, pause):
    with stopped_by_signals() as stop:

        def event(name, facts):
            pipe.send((name, facts))

        watch_folder(
            inbox,
            BUNDLE,
            Engine(pause),
            out,
            ScoreOptions(),
            event,
            timing=WatchOptions(settle_s=0.3, poll_s=0.05),
            stop=stop,
        )
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
            assert self.pipe.poll(30), f"no {names} within 30 s"
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
    return tmp_path / "inbox"


def rows(file):
    with open(file, newline="") as stream:
        return list(csv.DictReader(stream))


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


def test_a_file_that_still_grows_is_waited_for(inbox, tmp_path):
    whole = write_scan(tmp_path / "scan.nii.gz", 0).read_bytes()
    watched = Watched(inbox, tmp_path / "out")
    with open(inbox / "scan.nii.gz", "wb", buffering=0) as stream:
        for part in range(8):
            stream.write(whole[part * len(whole) // 8 : (part + 1) * len(whole) // 8])
            time.sleep(0.1)
    assert watched.until("scored", "failed").get("slices") == 6
    assert watched.end(signal.SIGINT) == 0


def test_a_scan_that_failed_half_arrived_is_scored_when_it_is_whole(inbox, tmp_path):
    whole = write_scan(tmp_path / "scan.nii.gz", 0).read_bytes()
    (inbox / "scan.nii.gz").write_bytes(whole[:900])
    watched = Watched(inbox, tmp_path / "out")
    assert "reason" in watched.until("scored", "failed")
    (inbox / "scan.nii.gz").write_bytes(whole)
    assert "score" in watched.until("scored", "failed")
    assert watched.end() == 0 and rows(tmp_path / "out" / "failures.csv") == []


def test_sigterm_finishes_the_scan_in_flight_and_a_restart_goes_on(inbox, tmp_path):
    write_scan(inbox / "scan0.nii.gz", 0, slices=12)
    watched = Watched(inbox, tmp_path / "out", pause=0.3)
    write_scan(inbox / "scan1.nii.gz", 1)
    while not any((tmp_path / "out" / ".maescan").glob("ledger.sqlite*")):
        time.sleep(0.02)
    time.sleep(1.0)
    assert watched.end() == 0
    first = {row["scan"] for row in rows(tmp_path / "out" / "scans.csv")}
    assert first
    again = Watched(inbox, tmp_path / "out")
    write_scan(inbox / "scan2.nii.gz", 2)
    seen = [again.until("scored", "skipped")["scan"] for _ in range(3)]
    assert sorted(seen) == ["scan0.nii.gz", "scan1.nii.gz", "scan2.nii.gz"] and again.end() == 0
    assert len(rows(tmp_path / "out" / "scans.csv")) == 3


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


def slices(folder, numbers):
    pydicom = pytest.importorskip("pydicom")
    folder.mkdir(exist_ok=True)
    for number in numbers:
        data = pydicom.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number + 1}"
        data.SeriesInstanceUID, data.StudyInstanceUID, data.Modality = "1.2.9", "1.2.8", "MR"
        data.Rows = data.Columns = 24
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation, data.SamplesPerPixel = 15, 0, 1
        data.PhotometricInterpretation, data.PixelSpacing = "MONOCHROME2", [10, 10]
        data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 5.0 * number]
        data.InstanceNumber, data.SliceThickness = number + 1, 5
        values = np.random.default_rng(number).integers(200, 900, (24, 24)).astype("<u2")
        data.PixelData = values.tobytes()
        data.save_as(folder / f"{number:03d}.dcm", enforce_file_format=True)


def test_a_series_is_one_scan_once_its_folder_stands_still(inbox):
    arrivals = Arrivals(inbox, settle=0.3)
    slices(inbox / "series", range(4))
    assert list(arrivals.poll()) == []
    time.sleep(0.2)
    slices(inbox / "series", range(4, 6))
    (inbox / "other.nii.gz").write_bytes(b"x")
    assert list(arrivals.poll()) == []
    time.sleep(0.2)
    assert list(arrivals.poll()) == []  # the first slices stand still, the folder does not
    time.sleep(0.2)
    assert [(source.name, len(source.files)) for source, _ in arrivals.poll()] == [
        ("other.nii.gz", 1),
        ("series/series-9764dd27", 6),
    ]
    assert list(arrivals.poll()) == []


def test_what_was_moved_here_arrived_when_it_was_seen(inbox, tmp_path):
    arrivals = Arrivals(inbox, settle=0.0)
    file = write_scan(tmp_path / "old.nii.gz", 0)
    os.utime(file, (1e9, 1e9))
    file.rename(inbox / "old.nii.gz")
    given(file)
    ((_, arrived),) = arrivals.poll()
    assert abs(time.time() - arrived) < 5


def test_inboxes_that_cannot_be(inbox, tmp_path):
    with pytest.raises(DataError, match="no folder"):
        watch_folder(tmp_path / "none", BUNDLE, Engine(), tmp_path / "out")
    with pytest.raises(ConfigError, match="inside the inbox"):
        watch_folder(inbox, BUNDLE, Engine(), inbox / "out")
