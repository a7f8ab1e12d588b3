from __future__ import annotations

import hashlib
import json

import pytest

from helpers.pacs import add_results
from maescan.errors import DataError
from maescan.network.queue import FIRST_S, JITTER, LONGEST_S, Queue, Result, Results
from maescan.scoring.ledger import Ledger


@pytest.fixture
def queue(tmp_path):
    (tmp_path / ".maescan").mkdir()
    found = Queue(tmp_path)
    yield found
    found.close()


def result(number, sha="a"):
    return Result(f"dicom/{number}.dcm", f"2.25.{number}", "1.2", "1.2.840.10008.1.2.1", sha)


def test_a_result_is_queued_once_for_each_destination(queue):
    for _ in range(2):
        queue.add("A", [result(1), result(2)])
        queue.add("B", [result(1)])
    queue.sent("A", result(1))
    queue.add("A", [result(1), result(2)])
    assert queue.waiting("A") == [result(2)] and queue.waiting("B") == [result(1)]


def test_what_was_scored_anew_replaces_what_still_waits(queue):
    queue.add("A", [result(1), result(2)])
    queue.sent("A", result(2))
    queue.add("A", [result(1, "b"), result(2, "b")])
    assert queue.waiting("A") == [result(1, "b"), result(2, "b")]


def test_the_pause_doubles_from_5_seconds_to_15_minutes_with_jitter(queue):
    pauses = [queue.failed("A", 1000.0) for _ in range(12)]
    for number, pause in enumerate(pauses):
        middle = min(FIRST_S * 2**number, LONGEST_S)
        assert (1 - JITTER) * middle <= pause <= (1 + JITTER) * middle
    assert (FIRST_S, LONGEST_S) == (5, 900) and len(set(pauses)) == 12
    assert queue.due("A") == 1000.0 + pauses[-1] and queue.due("B") == 0
    queue.worked("A")
    assert queue.due("A") == 0 and queue.failed("A", 0.0) <= 6


def test_parked_results_wait_until_they_are_asked_for(queue, tmp_path):
    queue.add("A", [result(1)])
    queue.park("A", result(1), "A900: it refuses it")
    queue.failed("A", 1e12)
    queue.close()
    again = Queue(tmp_path)
    again.add("A", [result(1)])
    assert not again.waiting("A") and again.parked("A") == [("dicom/1.dcm", "A900: it refuses it")]
    again.again("A")
    assert again.waiting("A") and not again.parked("A") and again.due("A") == 0
    again.close()


def test_only_what_the_ledger_lists_is_a_result(tmp_path):
    uids = add_results(tmp_path, [1, 2])
    (tmp_path / "dicom" / "mine.dcm").write_bytes((tmp_path / "dicom" / "scan1_sr.dcm").read_bytes())
    results = Results(tmp_path)
    assert [found.uid for found in results.listed()] == uids
    (tmp_path / "dicom" / "scan2_sr.dcm").unlink()
    assert [found.uid for found in results.listed()] == uids[:1]
    add_results(tmp_path, [1], first=5)
    assert [found.uid for found in results.listed()] == ["2.25.501"]
    with pytest.raises(DataError, match="holds no results"):
        Results(tmp_path / "none").listed()


def test_a_result_that_is_not_as_it_was_written_is_not_sent(tmp_path):
    """A copy that was cut off is DICOM to its readers all the same."""
    uids = add_results(tmp_path, [1, 2, 3])
    files = [tmp_path / "dicom" / f"scan{number}_sr.dcm" for number in (1, 2, 3)]
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    ledger = Ledger(tmp_path, "job")
    for number, digest in ((1, digests[0]), (2, digests[1])):  # the third is of a maescan that kept none
        result = json.dumps({"dicom": {"written": {"sr": digest}}})
        ledger.db.do(
            "INSERT INTO scans (id, label, folded, identity, place, result) VALUES (?, ?, '', '', x'', ?)",
            *(number, str(number), result),
        )
        ledger.db.do("UPDATE outputs SET scan = ? WHERE path = ?", number, f"dicom/scan{number}_sr.dcm")
    ledger.db.do("UPDATE outputs SET scan = 3 WHERE path = 'dicom/scan3_sr.dcm'")
    ledger.close()
    results = Results(tmp_path)
    assert [result.uid for result in results.listed()] == uids and not results.damaged
    files[0].write_bytes(files[0].read_bytes()[:-2])
    assert [result.uid for result in results.listed()] == uids[1:]
    assert results.damaged == ["dicom/scan1_sr.dcm"]


def test_a_look_at_results_leaves_the_ledger_to_the_run_that_writes_it(tmp_path):
    """Where a backup of names (cp -al) is made meanwhile: what the run wrote later went into the backup alone."""
    uids = add_results(tmp_path / "out", [1])
    ledger = Ledger(tmp_path / "out", "job")
    (tmp_path / "backup").mkdir()
    for file in (tmp_path / "out" / ".maescan").glob("ledger.sqlite*"):
        (tmp_path / "backup" / file.name).hardlink_to(file)
    assert [found.uid for found in Results(tmp_path / "out").listed()] == uids
    ledger.db.do("DELETE FROM outputs")
    assert not Results(tmp_path / "out").listed()
    ledger.close()
    assert not Results(tmp_path / "out").listed()
