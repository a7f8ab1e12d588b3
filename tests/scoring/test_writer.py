from __future__ import annotations

import shutil
import threading
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from helpers.dicom_results import write_oriented
from helpers.inputs import given
from helpers.scoring_stub import BUNDLE, Engine, files_of, rows, write_scan
from maescan.errors import ConfigError, DataError
from maescan.options import ReadOptions
from maescan.results import maps
from maescan.scoring import pipeline, writer
from maescan.scoring.job import Job
from maescan.scoring.ledger import rows_of
from maescan.scoring.names import Pseudonyms
from maescan.scoring.options import ScoreOptions
from maescan.scoring.pipeline import score_folder
from maescan.scoring.summary import write_results

MAPS = ScoreOptions(maps=True, pictures=0)


def test_a_file_of_the_user_in_the_place_of_a_map_fails_that_scan_alone(tmp_path):
    for index in range(2):
        write_scan(tmp_path / "in" / f"scan{index}.nii.gz", index)
    out = tmp_path / "out"
    score_folder([tmp_path / "in" / "scan0.nii.gz"], BUNDLE, Engine(), out, MAPS)
    mine = out / "maps" / "scan1.nii.gz_anomaly.nii.gz"
    mine.write_text("mine")
    summary = score_folder([tmp_path / "in"], BUNDLE, Engine(), out, MAPS)
    (failure,) = summary.failures
    assert (failure["scan"], failure["stage"]) == ("scan1.nii.gz", "write") and mine.read_text() == "mine"
    assert failure["file"] == str(mine) and "was not written by maescan" in failure["reason"]
    mine.unlink()
    assert len(score_folder([tmp_path / "in"], BUNDLE, Engine(), out, MAPS).scored) == 2


@pytest.mark.parametrize("zipped", [False, True])
def test_under_pseudonyms_what_lies_beside_a_scan_is_not_named_and_what_it_lacks_is_told(tmp_path, zipped):
    folder = tmp_path / "in" / "incomplete" / "2 slices"
    files = write_oriented(folder, shape=(8, 36, 40))
    bad = given(folder / "Mark Young 482135 1970-01-02.dcm")
    bad.write_bytes(files[0].read_bytes()[:300])
    given(bad)
    if zipped:
        with zipfile.ZipFile(tmp_path / "in" / "images.zip", "w", zipfile.ZIP_STORED) as archive:
            for file in (*files, bad):
                archive.write(file, f"images/{file.name}")
        shutil.rmtree(folder)
    told = []
    options = ScoreOptions(pictures=0, pseudonyms=Pseudonyms.read(tmp_path / "key"), workers=1)
    score_folder([tmp_path / "in"], BUNDLE, Engine(), tmp_path / "out", options, lambda *event: told.append(event))
    (row,) = rows(tmp_path / "out" / "scans.csv")
    assert row["state"] == "incomplete"
    assert row["warnings"] == "incomplete: 1 file beside it cannot be read: * has a damaged header"
    outputs = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    for text in (repr(told).encode(), *outputs):
        assert b"482135" not in text and b"1970-01-02" not in text and b"Young" not in text


def test_the_state_is_that_of_the_warnings_before_names_were_taken_out(tmp_path):
    folder = tmp_path / "in" / "incomplete" / "pat"
    for path in write_oriented(folder, shape=(9, 36, 40))[4:6]:
        path.unlink()
        given(path)
    options = ScoreOptions(pictures=0, workers=1, read=ReadOptions(accept=("missing-slices",)))
    found = []
    for number, names in enumerate((None, Pseudonyms.read(tmp_path / "key"))):
        out = tmp_path / f"out{number}"
        score_folder([tmp_path / "in"], BUNDLE, Engine(), out, replace(options, pseudonyms=names))
        (row,) = rows(out / "scans.csv")
        found.append((row["state"], row["warnings"].split(":")[0]))
        assert ">incomplete<" in (out / "report.html").read_text()
    assert found == [("incomplete", "incomplete")] * 2


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    write_scan(tmp_path / "in" / "scan0.nii.gz", 0)
    score_folder([tmp_path / "in"], BUNDLE, Engine(), tmp_path / "out", ScoreOptions(pictures=0))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "maps").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="leads out of the output folder"):
        score_folder([tmp_path / "in"], BUNDLE, Engine(), tmp_path / "out", MAPS)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_scores_that_are_not_finite_leave_no_map(tmp_path):
    class Nan(Engine):
        def classify(self, tokens, token_ids):
            return np.full(len(tokens), np.nan, np.float32)

    write_scan(tmp_path / "in" / "scan0.nii.gz", 0)
    summary = score_folder([tmp_path / "in"], BUNDLE, Nan(), tmp_path / "out", MAPS)
    assert summary.failures[0]["stage"] == "score" and not (tmp_path / "out" / "maps").exists()
    assert rows(tmp_path / "out" / "scans.csv") == []


def recorded_at_each_event(scans, out):
    """How many scans the ledger on the disk holds when each of them is told of."""
    known = []

    def event(name, facts):
        if name == "scored":
            labels = [row.label for row in rows_of(out)]
            assert facts["scan"] in labels and (out / "maps" / f"{facts['scan']}_anomaly.nii.gz").exists()
            known.append(len(labels))

    score_folder([scans], BUNDLE, Engine(), out, MAPS, event)
    return known


@pytest.mark.slow
def test_small_scans_are_recorded_as_one_and_told_of_afterwards(tmp_path, monkeypatch):
    for index in range(5):
        write_scan(tmp_path / "in" / f"scan{index}.nii.gz", index)
    monkeypatch.setattr(writer, "GROUP_S", 60.0)  # the end of the scans ends the wait
    assert recorded_at_each_event(tmp_path / "in", tmp_path / "one") == [5] * 5
    monkeypatch.setattr(writer, "GROUP", 2)
    assert recorded_at_each_event(tmp_path / "in", tmp_path / "two") == [2, 2, 4, 4, 5]
    monkeypatch.setattr(writer, "GROUP_PIXELS", 1)
    assert recorded_at_each_event(tmp_path / "in", tmp_path / "alone") == [1, 2, 3, 4, 5]
    files = [files_of(tmp_path / name) for name in ("one", "two", "alone")]
    assert files[0] == files[1] == files[2]


def test_a_scan_is_not_waited_for_longer_than_said(tmp_path):
    for index in range(2):
        write_scan(tmp_path / "in" / f"scan{index}.nii.gz", index)
    told = threading.Event()

    class Waiting(Engine):
        def classify(self, tokens, token_ids):
            if self.second:  # the other scan is scored once the first is told of
                assert told.wait(60)
            self.second = True
            return super().classify(tokens, token_ids)

    engine = Waiting()
    engine.second = False

    def event(name, facts):
        if name == "scored":
            told.set()

    options = ScoreOptions(pictures=0, workers=1, batch=6)
    summary = score_folder([tmp_path / "in"], BUNDLE, engine, tmp_path / "out", options, event)
    assert len(summary.scored) == 2


def test_what_the_disk_refuses_of_one_scan_costs_those_before_it_nothing(tmp_path, monkeypatch):
    for index in range(4):
        write_scan(tmp_path / "in" / f"scan{index}.nii.gz", index)
    real = maps.write_map

    def write_map(path, *arguments):
        if "scan2" in path.name:
            raise DataError("cannot write: no space", path=path)
        real(path, *arguments)

    monkeypatch.setattr(writer, "GROUP_S", 60.0)
    monkeypatch.setattr(maps, "write_map", write_map)
    with pytest.raises(DataError, match="no space"):
        score_folder([tmp_path / "in"], BUNDLE, Engine(), tmp_path / "out", MAPS)
    assert [row.label for row in rows_of(tmp_path / "out")] == [f"scan{n}.nii.gz" for n in (0, 1, 3)]


@pytest.mark.slow
def test_tables_written_meanwhile_take_no_file_of_a_scan_that_is_not_recorded_yet(tmp_path, monkeypatch):
    """As `watch` writes them, every half minute."""
    jobs, writers, write, score = list[Job](), list[threading.Thread](), maps.write_map, pipeline.score_sources

    def scored(sources, job, workers):
        jobs.append(job)
        score(sources, job, workers)
        for thread in writers:
            thread.join()

    def slow(*arguments):
        write(*arguments)
        writers.append(threading.Thread(target=write_results, args=jobs))
        writers[-1].start()
        writers[-1].join(timeout=1)

    monkeypatch.setattr(pipeline, "score_sources", scored)
    monkeypatch.setattr(maps, "write_map", slow)
    write_scan(tmp_path / "in" / "scan0.nii.gz", 0)
    score_folder([tmp_path / "in"], BUNDLE, Engine(), tmp_path / "out", ScoreOptions(maps=True))
    assert len(writers) == 1 and len(rows(tmp_path / "out" / "scans.csv")) == 1
    assert (
        len(list((tmp_path / "out" / "maps").iterdir())) == len(list((tmp_path / "out" / "pictures").iterdir())) == 1
    )
