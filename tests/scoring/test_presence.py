"""A scan that was moved keeps its row, a copy has one of its own: told by where a search found which series."""

from __future__ import annotations

import pytest

from maescan.errors import ScanError
from maescan.scans.find import Found
from maescan.scans.source import ScanSource
from maescan.scoring.names import PLAIN
from maescan.scoring.presence import Presence


@pytest.fixture
def at(tmp_path):
    """The place of a folder, which is made."""

    def place(name):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        return str(tmp_path / name)

    return place


def presence(tmp_path, **found):
    """Of a search that found these series in these folders."""
    known = Presence(PLAIN)
    places = [(series, name) for series, names in found.items() for name in names.split()]
    sources = [ScanSource(name, tmp_path / name, "dicom", (), identity=series) for series, name in places]
    known.expect(Found(sources, []), [tmp_path])
    return known


def test_series_whose_folders_swapped_names_were_moved(at, tmp_path):
    known = presence(tmp_path, a="P2", b="P1")
    assert known.there([("a", at("P1")), ("a", at("P2"))]) == [False, True]
    assert known.which("a", at("P2"), [("a", at("P1"))]) == 0


def test_of_copies_that_were_moved_together_each_keeps_its_row(at, tmp_path):
    """Whichever is read first: the folders' names tell."""
    known = presence(tmp_path, a="new/P1 new/P2")
    rows = [("a", str(tmp_path / "old" / name)) for name in ("P1", "P2")]
    assert [known.which("a", at(f"new/{name}"), rows) for name in ("P2", "P1")] == [1, 0]
    assert known.which("a", at("new/P2"), rows[:1]) is None  # a copy that came meanwhile
    assert known.which("a", at("new/P1"), rows[:1]) == 0
    files = [("content", place) for _, place in rows]
    assert [known.which("", at(f"new/{name}"), files) for name in ("P2", "P1")] == [1, 0]


def test_a_copy_is_none_that_was_moved(at, tmp_path):
    assert presence(tmp_path, a="P1 P2").which("a", at("P2"), [("a", at("P1"))]) is None
    assert Presence(PLAIN).which("a", at("P2"), [("a", at("P1"))]) is None  # nobody has searched P1


def test_what_cannot_be_read_is_not_lost(at, tmp_path):
    known, fault = presence(tmp_path, b="P1"), ScanError("cannot be read: Permission denied")
    assert known.there([("a", at("P1"))]) == [False]
    file = tmp_path / "P1" / "0.dcm"
    known.expect(Found([ScanSource("P1/0.dcm", file, "dicom", (file,), fault=fault)], []), [])
    assert known.there([("a", at("P1"))]) == [True]


def test_what_was_found_is_forgotten_where_it_is_looked_for_again(at, tmp_path):
    known = presence(tmp_path, a="P1", b="P2")
    known.expect(Found([], []), [tmp_path / "P1"])
    assert known.there([("a", at("P1")), ("b", at("P2"))]) == [False, True]
    known.saw("a", at("P1"))
    assert known.there([("a", at("P1"))]) == [True]


def test_a_folder_that_was_not_searched_may_hold_what_it_held(at, tmp_path):
    known = Presence(PLAIN)
    known.expect(Found([], []), [tmp_path / "in"])
    assert known.there([("a", at("in/P1")), ("a", at("other/P1")), ("a", str(tmp_path / "gone"))]) == [
        False,
        True,
        False,
    ]
