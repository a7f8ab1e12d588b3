from __future__ import annotations

import pytest
from pydicom import dcmread

from helpers.scoring_stub import rows
from helpers.series import write_slices
from helpers.spool_stub import put, scoring
from maescan.network.journal import Journal
from maescan.network.spool import Spool, folder_of


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def spool(out):
    found = Spool(out)
    yield found
    found.close()


@pytest.mark.slow
def test_a_released_series_is_scored_and_late_slices_score_it_again(out, spool, tmp_path):
    files = write_slices(tmp_path / "s", range(8))
    put(spool, files[:5])
    with scoring(out, settle=0.1) as told:
        first = told.until("scored")
        put(spool, files[5:])
        second = told.until("scored", 2)
        put(spool, files)  # all of it once more: nothing new
    assert (first["slices"], second["slices"], first["scan"]) == (5, 8, second["scan"])
    assert [row["slices"] for row in rows(out / "scans.csv")] == ["8"]
    assert second["scan"].split("/")[:2] == spool.journal.of_uid(str(dcmread(files[0]).SOPInstanceUID))[
        0
    ].series.split("/")
    assert len([name for name, _ in told.events if name == "scored"]) == 2 and not spool.journal.waiting()


@pytest.mark.slow
def test_an_aborted_series_waits_and_is_marked(out, spool, tmp_path):
    put(spool, write_slices(tmp_path / "broken", range(3), uid="1.2.7"), aborted=True)
    put(spool, write_slices(tmp_path / "whole", range(4), uid="1.2.8"), association="b")
    with scoring(out, settle=0.1, aborted_wait=4) as told:
        assert told.until("scored")["slices"] == 4
        late = told.until("scored", 2)
    assert late["slices"] == 3 and late["state"] == "incomplete"
    assert "its sender broke off" in {row["slices"]: row["warnings"] for row in rows(out / "scans.csv")}["3"]


@pytest.mark.slow
def test_a_series_that_broke_off_is_whole_again_when_all_of_it_comes_again_and_not_before(out, spool, tmp_path):
    files = write_slices(tmp_path / "broken", range(3), uid="1.2.7")
    put(spool, files, aborted=True)
    with scoring(out, settle=0.1, aborted_wait=0.1) as told:
        assert told.until("scored")["state"] == "incomplete"
    put(spool, files[:1], association="b")
    assert not spool.journal.waiting()
    put(spool, files, association="c")
    with scoring(out, settle=0.1, aborted_wait=0.1) as told:
        assert told.until("scored")["state"] == "complete"
    (row,) = rows(out / "scans.csv")
    assert "broke off" not in row["warnings"] and row["slices"] == "3"


def test_nothing_is_scored_while_it_is_sent(out, spool, tmp_path):
    files = write_slices(tmp_path / "s", range(3))
    put(spool, files[:1])
    for association in ("b", "c"):
        spool.journal.sends(association, spool.journal.waiting()[0], 0.0)
    assert spool.journal.waiting() and not spool.journal.ready(1e12, 0, 0)


@pytest.mark.slow
def test_conflicts_are_named_and_the_first_is_scored(out, spool, tmp_path):
    files = write_slices(tmp_path / "s", range(3))
    put(spool, files)
    dataset = dcmread(files[0])
    dataset.PatientName = "B"
    dataset.save_as(files[0])
    put(spool, files[:1])
    with scoring(out, settle=0.1) as told:
        assert told.until("scored")["slices"] == 3
    (row,) = rows(out / "scans.csv")
    names = [path.name for path in (folder_of(out) / "in").rglob("*.dcm")]
    assert "1 image came again with other content" in row["warnings"]
    assert next(name for name in names if "conflict" in name) in row["warnings"]


@pytest.mark.slow
def test_an_image_that_came_damaged_gives_way_to_itself_whole(out, spool, tmp_path):
    files = write_slices(tmp_path / "s", range(4))
    whole = {path: path.read_bytes() for path in files}
    for path, cut in ((files[1], 20), (files[2], 0)):
        dataset = dcmread(path)
        dataset.PixelData = dataset.PixelData[:cut]
        dataset.save_as(path)
    put(spool, files)
    with scoring(out, settle=0.1) as told:
        assert "truncated" in told.until("failed")["reason"]
    for path, content in whole.items():
        path.write_bytes(content)
    put(spool, files)
    with scoring(out, settle=0.1) as told:
        assert told.until("scored")["slices"] == 4
    (row,) = rows(out / "scans.csv")
    assert "2 images came again with other content, all are kept" in row["warnings"]
    assert len(list((folder_of(out) / "in").rglob("*.dcm"))) == 6


@pytest.mark.slow
def test_other_content_that_comes_after_the_scores_is_told(out, spool, tmp_path):
    files = write_slices(tmp_path / "s", range(3))
    put(spool, files)
    with scoring(out, settle=0.1) as told:
        before = told.until("scored")
        dataset = dcmread(files[0])
        dataset.PatientName = "B"
        dataset.save_as(files[0])
        put(spool, files[:1])
        after = told.until("scored", 2)
    assert after["score"] == before["score"] and "came again with other content" in str(after["warnings"])
    assert "came again with other content" in rows(out / "scans.csv")[0]["warnings"]


@pytest.mark.slow
def test_images_that_are_no_longer_kept_are_missed(out, spool, tmp_path):
    files = write_slices(tmp_path / "s", range(6))
    put(spool, files[:4])
    with scoring(out, settle=0.1) as told:
        told.until("scored")
    assert spool.remove_old(-1) == 1
    put(spool, files[4:])
    with scoring(out, settle=0.1) as told:
        assert told.until("scored")["state"] == "incomplete"
    assert "4 of its images came earlier and are no longer kept" in rows(out / "scans.csv")[0]["warnings"]


@pytest.mark.slow
def test_what_was_being_scored_when_it_was_killed_is_scored_again(out, spool, tmp_path):
    put(spool, write_slices(tmp_path / "s", range(3)))
    journal = Journal(folder_of(out))
    journal.give(journal.ready(1e12, 0, 0)[0])
    journal.close()
    with scoring(out, settle=0.1) as told:
        assert told.until("scored")["slices"] == 3
    with scoring(out, settle=0.1) as told:
        pass
    assert not [name for name, _ in told.events if name in ("scored", "skipped")]


@pytest.mark.slow
def test_results_are_no_scans_and_damage_is_told(out, spool, tmp_path):
    files = write_slices(tmp_path / "s", range(2))
    result = dcmread(files[0])
    result.SOPClassUID = result.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
    result.SeriesInstanceUID = "1.2.99"
    result.save_as(files[0])
    damaged = dcmread(files[1])
    del damaged.Rows
    damaged.save_as(files[1])
    put(spool, files)
    with scoring(out, settle=0.1) as told:
        told.until("failed")
        said = told.until("passed_over")
    (stored,) = spool.journal.of_uid(str(result.SOPInstanceUID))
    assert said["series"] == stored.series and "never scored" in said["reason"]
    assert (folder_of(out) / stored.path).is_file() and not spool.journal.waiting()
    assert sorted(name for name, _ in told.events) == ["failed", "passed_over", "watching"]
