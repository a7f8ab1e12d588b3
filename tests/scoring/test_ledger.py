"""One identity a scan: its series or its content, never its label."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maescan.errors import DataError
from maescan.results.rows import AGAIN, Failure, ScanRow
from maescan.scans.find import Found
from maescan.scans.labels import tell_apart
from maescan.scans.source import ScanSource
from maescan.scoring.ledger import Ledger


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / "out", "job")
    yield ledger
    ledger.close()


def file(path: Path, name=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return ScanSource(name or path.name, path, "nifti", (path,))


def series(folder: Path, name: str, identity="patient, study, series"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "0.dcm").touch()
    return ScanSource(name, folder, "dicom", (folder / "0.dcm", folder / "1.dcm"), "1.2.3", identity=identity)


def add(ledger, source, content):
    known = ledger.know(source, content)
    ledger.add(known, content, ScanRow(known.label, np.array([0.25, 0.5]), np.array([0.1, 0.2])))
    return known.label


def test_it_knows_a_scan_by_content_and_job(ledger, tmp_path):
    source = file(tmp_path / "a.nii")
    assert not ledger.know(source, "content").scored
    add(ledger, source, "content")
    assert ledger.know(source, "content").scored and not ledger.know(source, "other").scored
    assert [row.label for row in ledger.rows()] == ["a.nii"] and ledger.rows()[0].scores.tolist() == [0.25, 0.5]
    ledger.close()
    other = Ledger(tmp_path / "out", "other job")
    assert not other.know(source, "content").scored and other.rows() == [] and other.of_other_jobs() == 1
    other.close()


def test_whatever_it_is_called_later_a_scan_keeps_its_first_label(ledger, tmp_path):
    assert add(ledger, file(tmp_path / "A" / "x.nii", "A/x.nii"), "content") == "A/x.nii"
    known = ledger.know(file(tmp_path / "A" / "x.nii", "x.nii"), "content")
    assert known.label == "A/x.nii" and known.scored


def test_a_label_that_another_scan_has_takes_folders(ledger, tmp_path):
    assert add(ledger, file(tmp_path / "A" / "x.nii", "x.nii"), "one") == "x.nii"
    assert add(ledger, file(tmp_path / "B" / "x.nii", "x.nii"), "two") == "B/x.nii"
    assert add(ledger, file(tmp_path / "C" / "B" / "x.nii", "x.nii"), "three") == "C/B/x.nii"


def test_a_scan_that_was_moved_is_the_same(ledger, tmp_path):
    add(ledger, file(tmp_path / "usb" / "x.nii"), "content")
    (tmp_path / "usb" / "x.nii").rename(tmp_path / "usb" / "y.nii")
    known = ledger.know(file(tmp_path / "usb" / "y.nii"), "content")
    assert known.label == "x.nii" and known.scored and ledger.gone([]) == []


def test_scans_of_a_zip_that_was_moved_are_not_taken_for_each_other(ledger, tmp_path):
    """Whichever is read first: the content of both is that of the .zip."""
    inside = [replace(file(tmp_path / "a.zip", f"a.zip/{name}"), members=(name,)) for name in ("x.nii", "y.nii")]
    labels = [add(ledger, source, "content") for source in inside]
    (tmp_path / "a.zip").rename(tmp_path / "b.zip")
    moved = [replace(source, path=tmp_path / "b.zip", files=(tmp_path / "b.zip",)) for source in inside]
    assert [ledger.know(source, "content").label for source in reversed(moved)] == labels[::-1]


def test_a_copy_is_a_scan_of_its_own(ledger, tmp_path):
    """Two patients are never one scan, even where their files hold the same."""
    assert add(ledger, file(tmp_path / "A" / "x.nii", "A/x.nii"), "content") == "A/x.nii"
    assert add(ledger, file(tmp_path / "B" / "x.nii", "B/x.nii"), "content") == "B/x.nii"
    assert [ledger.know(file(tmp_path / n / "x.nii", "x.nii"), "content").label for n in "AB"] == [
        "A/x.nii",
        "B/x.nii",
    ]


def test_other_content_in_a_file_takes_its_row(ledger, tmp_path):
    add(ledger, file(tmp_path / "x.nii"), "old")
    assert add(ledger, file(tmp_path / "x.nii"), "new") == "x.nii" and len(ledger.rows()) == 1


def test_files_that_swap_their_names_stay_two_scans(ledger, tmp_path):
    a, b = file(tmp_path / "a.nii"), file(tmp_path / "b.nii")
    add(ledger, a, "one"), add(ledger, b, "two")
    ledger.presence.expect(Found([a, b], []), [tmp_path])
    add(ledger, a, "two"), add(ledger, b, "one")
    assert len({row.label for row in ledger.rows()}) >= 2
    assert {ledger.know(a, "two").scored, ledger.know(b, "one").scored} == {True}


def test_a_series_that_grew_is_the_same_and_not_done(ledger, tmp_path):
    add(ledger, series(tmp_path / "st", "st/3-T1"), "20 slices")
    known = ledger.know(series(tmp_path / "st", "st/3-T1"), "24 slices")
    assert known.label == "st/3-T1" and not known.scored
    (tmp_path / "st" / "rest").mkdir()
    assert ledger.know(series(tmp_path, "x/3-T1"), "30 slices").label == "st/3-T1"


def test_what_is_announced_is_what_it_is_called(ledger, tmp_path):
    """Though two of a name come at once, and the one announced last is known first."""
    first, second = (series(tmp_path / "in", "in/3", identity) for identity in ("A", "B"))
    first, second = replace(first, series_uid="1.2.1"), replace(second, series_uid="1.2.2")
    told = ledger.promise(first), ledger.promise(second)
    assert told[0] == "in/3" and len(set(told)) == 2 == len({*told, ledger.promise(first)})
    assert (add(ledger, second, "b"), add(ledger, first, "a")) == told[::-1]
    assert (ledger.promise(first), ledger.promise(second)) == told
    assert add(ledger, series(tmp_path / "in", "in/3", "C"), "c") not in told


def test_two_series_of_one_folder_are_two_in_any_order(ledger, tmp_path):
    one, two = (series(tmp_path / "st", "st/3", identity) for identity in ("one", "two"))
    first, second = add(ledger, one, "a"), add(ledger, two, "b")
    assert first == "st/3" and second not in ("st/3", "") and len(ledger.rows()) == 2
    assert ledger.know(two, "b").label == second and ledger.know(one, "a").label == first


@pytest.mark.parametrize("announced", [True, False])
def test_a_later_series_of_a_folder_is_called_as_where_both_are_found_at_once(ledger, tmp_path, announced):
    """Of a folder elsewhere it is called by its folders."""
    one, two = (series(tmp_path / "in" / "st", "st/3", identity) for identity in ("one", "two"))
    far = series(tmp_path / "more" / "st", "st/3", "three")
    sources = [replace(source, series_uid=source.identity) for source in (one, two, far)]
    at_once = tell_apart([(tmp_path / "in", one), (tmp_path / "in", two)])
    if announced:
        images = [source.files[0] for source in sources]
        first = [replace(each, path=image, files=(image,)) for each, image in zip(sources, images, strict=True)]
        told = [ledger.promise(source) for source in first]  # what has come until then
    assert add(ledger, sources[0], "a") == "st/3" and add(ledger, sources[1], "b") == at_once[1].name
    assert add(ledger, sources[2], "c") == "more/st/3" and (not announced or told[1] == at_once[1].name)


def test_a_copied_series_in_a_folder_below_is_a_scan_of_its_own(ledger, tmp_path):
    whole, copy = series(tmp_path / "st", "st/3"), series(tmp_path / "st" / "copy", "st/copy/3")
    ledger.presence.expect(Found([whole, copy], []), [tmp_path])
    assert {add(ledger, whole, "a"), add(ledger, copy, "a")} == {"st/3", "st/copy/3"}


def test_copies_of_a_series_that_were_moved_together_keep_their_scores(ledger, tmp_path):
    """Of half a copy that is read first: it had the row of the whole one, whose label said its score."""
    names = ("P1", "P2")
    for name in names:
        add(ledger, series(tmp_path / "old" / name, f"{name}/3"), f"bytes of {name}")
    (tmp_path / "old").rename(tmp_path / "new")
    moved = {name: series(tmp_path / "new" / name, f"{name}/3") for name in names}
    ledger.presence.expect(Found([*moved.values()], []), [tmp_path / "new"])
    known = {name: ledger.know(moved[name], f"bytes of {name}") for name in reversed(names)}
    assert all(known[name].label == f"{name}/3" and known[name].scored for name in names)


def test_a_series_whose_folder_holds_another_now_is_named(ledger, tmp_path):
    add(ledger, series(tmp_path / "P1", "P1/3", "one"), "1"), add(ledger, series(tmp_path / "P2", "P2/3", "two"), "2")
    (tmp_path / "P1").rename(tmp_path / "P9"), (tmp_path / "P2").rename(tmp_path / "P1")
    there = [series(tmp_path / "P1", "P1/3", "two")]
    ledger.presence.expect(Found(there, []), [tmp_path / "P1"])
    assert ledger.know(there[0], "2").label == "P2/3" and ledger.gone([]) == ["P1/3"]


def test_a_scan_that_fails_later_has_no_scores_and_may_be_mended(ledger, tmp_path):
    source = file(tmp_path / "x.nii")
    add(ledger, source, "good")
    ledger.fail(ledger.know(source, "bad"), Failure("x.nii", "read", "is truncated", "copy it again", "x.nii"))
    assert ledger.rows() == [] and [failure.reason for failure in ledger.failures()] == ["is truncated"]
    assert not ledger.know(source, "good").scored
    add(ledger, source, "good")
    assert ledger.failures() == [] and len(ledger.rows()) == 1


FAILED = Failure("x.nii", "read", "cannot be read", "", "x.nii")


@pytest.mark.parametrize("content", ["", "good"])
def test_a_scan_that_cannot_be_read_again_keeps_its_scores(ledger, tmp_path, content):
    """Nothing is known of its bytes, or they are those that were scored."""
    source = file(tmp_path / "x.nii")
    add(ledger, source, "good")
    known = ledger.know(source, content)
    assert ledger.keeps(known)
    ledger.fail(known, FAILED)
    assert ledger.failures() == [FAILED] and [row.scores.tolist() for row in ledger.rows()] == [[0.25, 0.5]]
    assert ledger.rows()[0].notes == [AGAIN]
    assert ledger.know(source, "good").scored and ledger.failures() == [] and ledger.rows()[0].notes == []


def test_of_a_scored_scan_that_is_gone_its_failure_goes_alone(ledger, tmp_path):
    source = file(tmp_path / "x.nii")
    add(ledger, source, "good")
    ledger.fail(ledger.know(source, ""), FAILED)
    source.path.unlink()
    assert ledger.gone([tmp_path]) == ["x.nii"] and ledger.failures() == [] and len(ledger.rows()) == 1


def test_what_was_never_scored_keeps_nothing(ledger, tmp_path):
    source = file(tmp_path / "x.nii")
    known = ledger.know(source, "")
    assert not ledger.keeps(known)
    ledger.fail(known, FAILED)
    assert ledger.rows() == [] and ledger.failures() == [FAILED]


def test_what_is_gone_is_named_and_failures_below_the_searched_folder_go(ledger, tmp_path):
    scored, junk, elsewhere = (file(tmp_path / name) for name in ("in/a.nii", "in/junk.nii", "other/junk.nii"))
    add(ledger, scored, "a")
    for source in (junk, elsewhere):
        known = ledger.know(source, source.path.parent.name)
        ledger.fail(known, Failure(known.label, "read", "is empty", "", ""))
    for source in (scored, junk, elsewhere):
        source.path.unlink()
    assert ledger.gone([tmp_path / "in"]) == ["a.nii"]
    assert [failure.scan for failure in ledger.failures()] == ["other/junk.nii"] and len(ledger.rows()) == 1


def test_labels_that_differ_in_case_are_known_to_do_so(ledger, tmp_path):
    add(ledger, file(tmp_path / "T1.nii"), "a")
    assert not ledger.shares_label("T1.nii")
    add(ledger, file(tmp_path / "t1.nii"), "b")
    assert ledger.shares_label("T1.nii") and ledger.shares_label("t1.nii")


def test_taking_what_calls_another_scan_the_same_is_refused(ledger, tmp_path):
    add(ledger, file(tmp_path / "A" / "x.nii"), "a")
    other = Ledger(tmp_path / "other", "job")
    add(other, file(tmp_path / "B" / "x.nii"), "b")
    add(other, file(tmp_path / "B" / "y.nii"), "c")
    other.close()
    with pytest.raises(DataError, match=r"calls another scan 'x\.nii'"):
        ledger.import_rows(tmp_path / "other")
    assert len(ledger.rows()) == 1


def test_a_row_of_a_newer_maescan_is_refused_and_stays(ledger, tmp_path):
    add(ledger, file(tmp_path / "a.nii"), "content")
    ledger.db.all("UPDATE scans SET result = json_set(result, '$.newer', 1)")
    with pytest.raises(DataError, match=r"row of 'a.nii' is not as this .* \(use the maescan that wrote it, or ano"):
        ledger.rows()
    assert ledger.db.one("SELECT label FROM scans WHERE result LIKE '%newer%'") == ("a.nii",)
