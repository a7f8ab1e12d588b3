from __future__ import annotations

import sqlite3

import pytest

from maescan.errors import DataError
from maescan.network.journal import Journal, Stored


@pytest.fixture
def journal(tmp_path):
    found = Journal(tmp_path)
    yield found
    found.close()


def stored(number, series="st/se"):
    return Stored(f"in/{series}/{number}.dcm", f"1.{number}", series, "1.2", b"x", 5)


def keys(journal, now, settle=10.0, wait=900.0):
    return [series.key for series in journal.ready(now, settle, wait)]


def test_a_series_is_ready_when_its_last_association_was_released_and_it_was_quiet(journal):
    for association in ("a", "b"):
        journal.add(stored(association), 100.0)
        journal.sends(association, "st/se", 100.0)
    journal.ended("a", 101.0, aborted=False)
    assert not keys(journal, 10_000.0)
    journal.ended("b", 105.0, aborted=False)
    assert not keys(journal, 114.0) and keys(journal, 115.0) == ["st/se"]


def test_after_an_abort_it_waits_longer_and_a_release_mends_that(journal):
    journal.add(stored(1), 100.0)
    journal.sends("a", "st/se", 100.0)
    journal.ended("a", 100.0, aborted=True)
    assert not keys(journal, 999.0)
    assert [series.aborted for series in journal.ready(1000.0, 10, 900)] == [True]
    journal.sends("b", "st/se", 200.0)
    journal.ended("b", 200.0, aborted=False)
    assert [series.aborted for series in journal.ready(210.0, 10, 900)] == [False]


def test_an_association_that_was_open_when_another_broke_off_does_not_mend_that(journal):
    """Of two that send halves of a series, the one that is released says nothing of the other's half."""
    for association in ("a", "b"):
        journal.add(stored(association), 100.0)
        journal.sends(association, "st/se", 100.0)
    journal.ended("a", 101.0, aborted=True)
    journal.sends("b", "st/se", 102.0)
    journal.ended("b", 110.0, aborted=False)
    assert [series.aborted for series in journal.ready(2000.0, 10, 900)] == [True]
    for association, mended in (("d", True), ("e", False), ("f", True)):
        journal.sends(association, "st/se", 200.0)
        journal.ended(association, 200.0, aborted=not mended)
        assert [series.aborted for series in journal.ready(2000.0, 10, 900)] == [not mended]


def test_who_sends_it_again_while_others_go_on_mends_it(journal):
    for association in ("a", "b"):
        journal.add(stored(association), 100.0)
        journal.sends(association, "st/se", 100.0)
    journal.ended("a", 101.0, aborted=True)
    journal.sends("again", "st/se", 102.0)
    journal.ended("again", 103.0, aborted=False)
    journal.ended("b", 104.0, aborted=False)
    assert [series.aborted for series in journal.ready(200.0, 10, 900)] == [False]


def test_what_was_here_already_mends_nothing_but_all_of_it_again_does(journal):
    """A viewer that sends one image of a series once more says nothing of those that never came."""
    for number in (1, 2):
        journal.add(stored(number), 100.0)
        journal.sends("a", "st/se", 100.0)
    journal.ended("a", 100.0, aborted=True)
    (series,) = journal.ready(1000.0, 10, 900)
    journal.give(series)
    journal.done(series.key)
    for association, again, mended in (("b", [1], False), ("c", [1, 2], True)):
        for number in again:
            journal.sends(association, "st/se", 2000.0, stored(number).path)
        journal.ended(association, 2000.0, aborted=False)
        ready = journal.ready(5000.0, 10, 900)  # the scan's row says otherwise
        assert [series.aborted for series in ready] == ([False] if mended else [])


def test_late_images_make_it_ready_again_but_not_while_it_is_scored(journal):
    journal.add(stored(1), 100.0)
    (series,) = journal.ready(200.0, 10, 900)
    journal.give(series)
    assert not keys(journal, 300.0)
    journal.add(stored(2), 300.0)
    assert not keys(journal, 400.0)
    journal.done(series.key)
    assert keys(journal, 400.0) == ["st/se"]
    (late,) = journal.ready(400.0, 10, 900)
    journal.give(late)
    journal.done(late.key)
    assert not keys(journal, 500.0) and not journal.waiting()


def test_what_a_killed_scorer_had_is_given_again(journal):
    journal.add(stored(1), 100.0)
    journal.give(journal.ready(200.0, 10, 900)[0])
    assert not keys(journal, 300.0)
    journal.unfinished()
    assert keys(journal, 300.0) == ["st/se"]


def test_associations_of_a_killed_receiver_have_broken_off(journal, tmp_path):
    journal.add(stored(1), 100.0)
    journal.sends("a", "st/se", 100.0)
    journal.restarted(200.0)
    assert not keys(journal, 1099.0) and keys(journal, 1100.0) == ["st/se"]


def test_a_clock_that_is_put_back_keeps_nothing_waiting(journal):
    journal.add(stored(1), 7200.0)
    assert not keys(journal, 7195.0) and keys(journal, 3600.0) == ["st/se"]


def test_a_change_is_whole_or_not_at_all(journal):
    with pytest.raises(RuntimeError), journal.transaction():
        journal.add(stored(1), 1.0)
        raise RuntimeError
    assert not journal.paths()


def test_another_version_is_refused(tmp_path):
    Journal(tmp_path).close()
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(DataError, match="version 99"):
        Journal(tmp_path)
    (tmp_path / "journal.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(DataError, match="unusable"):
        Journal(tmp_path)
