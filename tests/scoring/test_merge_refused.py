"""What a merge leaves as it was: an output folder of others, and any where it is refused."""

from __future__ import annotations

import shutil
import threading

import pytest

from helpers.scoring_stub import BUNDLE, Engine, files_of, rows, shard, write_folder, write_scan
from maescan import files
from maescan.errors import DataError, ScanError
from maescan.results.paths import map_path
from maescan.scoring.ledger import Ledger, rows_of
from maescan.scoring.merge import merge
from maescan.scoring.options import ScoreOptions, Shard, WatchOptions
from maescan.scoring.pipeline import score_folder
from maescan.scoring.watch import Inbox, watch_folder


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "in")


def all_of(folder):
    """Every file of a folder, the ledger's rows for its file: reading it may leave others beside it."""
    found = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "ledger" not in path.name}
    return found, [(row.label, row.scores.tolist()) for row in rows_of(folder)]


@pytest.fixture
def merged(folder, tmp_path):
    """(shards, what was merged of them.)"""
    parts = [shard(folder, tmp_path / str(number), number) for number in (1, 2)]
    merge(parts, BUNDLE, tmp_path / "merged")
    return parts, tmp_path / "merged"


def others(tmp_path, name, seed):
    """Shards of a folder with two scans, one of this name."""
    for number, scan in enumerate((name, "other.nii.gz")):
        write_scan(tmp_path / "others" / scan, seed + number, slices=2)
    outs = (tmp_path / f"others{number}" for number in (1, 2))
    return [shard(tmp_path / "others", out, number) for number, out in enumerate(outs, start=1)]


@pytest.mark.slow
def test_a_merge_that_is_refused_leaves_out_as_it_was(merged, tmp_path):
    """Its rows were in the tables of the next run."""
    _, out = merged
    parts = others(tmp_path, "scan3.nii.gz", 50)
    before = all_of(out)
    with pytest.raises(DataError, match=r"calls another scan 'scan3.nii.gz' than is called so here"):
        merge(parts, BUNDLE, out)
    assert all_of(out) == before
    map_path(out, "new.nii.gz").write_bytes(b"mine")
    parts = others(tmp_path / "more", "new.nii.gz", 60)
    before = all_of(out)
    with pytest.raises(ScanError, match="was not written by maescan"):
        merge(parts, BUNDLE, out)
    assert all_of(out) == before


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["maps", "passed_over.csv", "ledger"])
def test_a_shard_that_is_refused_leaves_no_folder(folder, tmp_path, damage):
    parts = [shard(folder, tmp_path / str(number), number) for number in (1, 2)]
    if damage == "maps":
        shutil.rmtree(parts[1] / "maps")
    elif damage == "ledger":
        (parts[1] / ".maescan" / "ledger.sqlite").write_bytes(b"no ledger")
    else:
        (parts[1] / damage).write_text("file\nnotes.txt\n")
    with pytest.raises(DataError):
        merge(parts, BUNDLE, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.slow
def test_merged_shards_join_those_merged_before(merged, tmp_path):
    _, out = merged
    summary = merge(others(tmp_path, "new.nii.gz", 60), BUNDLE, out)
    assert (len(summary.scored), summary.archive, summary.notes) == (2, 8, [])
    assert len(rows(out / "scans.csv")) == 8 and len(list((out / "maps").iterdir())) == 8


@pytest.mark.slow
def test_what_was_not_merged_takes_no_merge(folder, merged, tmp_path):
    """Its newer scores went for those of shards, and the maps of other options."""
    parts, out = merged
    score_folder([folder], BUNDLE, Engine(), tmp_path / "scored", ScoreOptions(maps=True, pictures=0))
    score_folder([folder], BUNDLE, Engine(), out, ScoreOptions(maps=True, pictures=0))
    for each in (tmp_path / "scored", out):
        before = all_of(each)
        with pytest.raises(
            DataError, match=r"holds 7 scans and is not marked as a merge's own, so it takes no merge"
        ):
            merge(parts, BUNDLE, each)
        assert all_of(each) == before


@pytest.mark.slow
def test_what_watch_wrote_is_neither_shard_nor_takes_a_merge(folder, merged, tmp_path):
    parts, _ = merged
    stop, options = threading.Event(), ScoreOptions(pictures=0, workers=1)
    inbox = Inbox(folder, WatchOptions(settle_s=0.0, poll_s=0.02), stop)

    def enough(name, facts):
        if name == "scored":
            stop.set()

    watch_folder(inbox, BUNDLE, Engine(), tmp_path / "watched", options, enough)
    with pytest.raises(DataError, match="scans and is not marked as a merge's own"):
        merge(parts, BUNDLE, tmp_path / "watched")
    with pytest.raises(
        DataError, match=r"was written by `maescan watch` or `listen`, and is no shard \(name the --out"
    ):
        merge([tmp_path / "watched", parts[1]], BUNDLE, tmp_path / "again")


def test_what_is_no_scores_is_no_shard(tmp_path):
    files.claim(tmp_path / "evaluation", "an evaluation")
    with pytest.raises(DataError, match=r"holds an evaluation, and is no shard \(name the --out of"):
        merge([tmp_path / "evaluation"], BUNDLE, tmp_path / "merged")


@pytest.mark.slow
def test_a_merge_that_was_stopped_goes_on(merged, folder, tmp_path, monkeypatch):
    parts, out = merged
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("maescan.scoring.merge.write_results", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
        merge(parts, BUNDLE, tmp_path / "again")
    assert not (tmp_path / "again" / "run.json").exists()
    merge(parts, BUNDLE, tmp_path / "again")
    assert files_of(tmp_path / "again") == files_of(out)


@pytest.mark.slow
def test_of_what_several_runs_wrote_the_last_ones_scans_are_merged(folder, tmp_path):
    """It ended as a fault of maescan's, with half an output folder, and so where a scan that failed keeps its
    scores."""
    write_scan(tmp_path / "disk" / "x.nii.gz", 9, slices=2)
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "link.nii.gz").symlink_to(tmp_path / "disk" / "x.nii.gz")
    shard(tmp_path / "before", tmp_path / "one", 1, shard=Shard(1, 1))
    shard(folder, tmp_path / "one", 1, shard=Shard(1, 1))
    assert len(merge([tmp_path / "one"], BUNDLE, tmp_path / "merged").scored) == 6
    (tmp_path / "disk").rename(tmp_path / "away")
    shard(tmp_path / "before", tmp_path / "one", 1, shard=Shard(1, 1))
    summary = merge([tmp_path / "one"], BUNDLE, tmp_path / "again")
    assert [failure["scan"] for failure in summary.failures] == ["link.nii.gz"] and summary.scored == []
    assert rows(tmp_path / "again" / "scans.csv") == rows(tmp_path / "one" / "scans.csv")


def test_a_shard_whose_later_run_of_other_options_was_killed_is_no_shard(folder, tmp_path):
    part = shard(folder, tmp_path / "one", 1, shard=Shard(1, 1))
    ledger = Ledger(part, "another job")
    known = ledger.known("scan3.nii.gz")
    ledger.add(known, "content", rows_of(part)[0]._replace(label=known.label))
    ledger.close()
    with pytest.raises(DataError, match=r"by a run that has not ended: 'scan3.nii.gz' has no score of it now \(run"):
        merge([part], BUNDLE, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
