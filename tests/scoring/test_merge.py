"""merge neither loses nor doubles a scan."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from helpers.inputs import given
from helpers.mutations import mutations
from helpers.scan_files import write_series
from helpers.scoring_stub import BUNDLE, Engine, files_of, rows, shard, write_folder, write_scan
from helpers.stubs import stub_bundle
from maescan.errors import ConfigError, DataError, MaescanError
from maescan.options import ReadOptions
from maescan.scans.source import ScanSource
from maescan.scoring import merge as merging
from maescan.scoring.ledger import RUN, Ledger, rows_of
from maescan.scoring.merge import merge, read_run
from maescan.scoring.options import ScoreOptions, Shard
from maescan.scoring.pipeline import score_folder


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "in")


@pytest.mark.slow
def test_merged_shards_are_one_run(folder, tmp_path):
    parts = [shard(folder, tmp_path / str(number), number) for number in (1, 2)]
    assert all(rows(part / "scans.csv") for part in parts)
    summary = merge(parts, BUNDLE, tmp_path / "merged")
    shard(folder, tmp_path / "whole", 1, shard=Shard(1, 1))
    assert files_of(tmp_path / "merged") == files_of(tmp_path / "whole")
    assert (len(summary.scored), len(summary.failures)) == (6, 1)


@pytest.mark.slow
def test_where_nothing_was_passed_over_the_table_says_so_as_one_runs_does(tmp_path):
    for index in range(2):
        write_scan(tmp_path / "in" / f"{index}.nii.gz", index, slices=2)
    parts = [shard(tmp_path / "in", tmp_path / str(number), number) for number in (1, 2)]
    merge(parts, BUNDLE, tmp_path / "merged")
    shard(tmp_path / "in", tmp_path / "whole", 1, shard=Shard(1, 1))
    assert rows(tmp_path / "merged" / "passed_over.csv") == []
    assert files_of(tmp_path / "merged") == files_of(tmp_path / "whole")


class Compared(str):
    count = 0

    def __eq__(self, other):
        Compared.count += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_what_shards_passed_over_is_not_compared_row_by_row(tmp_path, monkeypatch):
    """Of 1,500 shards that had each passed over 1,000 files it took most of merge's time, as the square of them."""
    (tmp_path / "passed_over.csv").touch()
    passed = [merging.PassedRow(Compared(f"{number}.json"), "other", "is no scan") for number in range(100)]
    monkeypatch.setattr(merging, "read_rows", lambda *_, **__: passed)
    found = merging._passed_over([tmp_path] * 3)
    assert [row[0] for row in found] == [row.file for row in passed]
    monkeypatch.undo()
    assert Compared.count < 1000


@pytest.mark.slow
def test_label_maps_and_localizers_are_among_what_was_found_as_in_one_run(tmp_path):
    write_series(tmp_path / "in" / "scout", SeriesDescription="Topogram")
    for index in range(2):
        write_scan(tmp_path / "in" / f"{index}.nii.gz", index, slices=2)
    labels = np.zeros((24, 24, 6), np.uint8)
    labels[4:12, 4:12] = 1
    nibabel.Nifti1Image(labels, np.eye(4)).to_filename(tmp_path / "in" / "labels.nii.gz")
    parts = [shard(tmp_path / "in", tmp_path / str(number), number) for number in (1, 2)]
    merge(parts, BUNDLE, tmp_path / "merged")
    shard(tmp_path / "in", tmp_path / "whole", 1, shard=Shard(1, 1))
    merged, whole = (json.loads((tmp_path / out / "run.json").read_text()) for out in ("merged", "whole"))
    assert merged["scans"]["found"] == whole["scans"]["found"] == 4 and merged["scans"]["failed"] == 0
    assert rows(tmp_path / "merged" / "passed_over.csv") == rows(tmp_path / "whole" / "passed_over.csv")


@pytest.mark.slow
def test_a_scan_that_came_between_two_shards_is_noticed(folder, tmp_path):
    first = shard(folder, tmp_path / "1", 1)
    write_scan(folder / "new.nii.gz", 9, slices=2)
    second = shard(folder, tmp_path / "2", 2)
    with pytest.raises(DataError, match="is a shard of another listing: of 8 scans"):
        merge([first, second], BUNDLE, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    merge([shard(folder, tmp_path / "1", 1), second], BUNDLE, tmp_path / "merged")
    assert len(rows(tmp_path / "merged" / "scans.csv")) == 7


def test_shards_of_two_folders_are_refused(folder, tmp_path):
    for number in range(7):
        write_scan(tmp_path / "other" / f"p{number}.nii.gz", number + 20, slices=2)
    parts = [shard(folder, tmp_path / "1", 1), shard(tmp_path / "other", tmp_path / "2", 2)]
    with pytest.raises(DataError, match="another listing"):
        merge(parts, BUNDLE, tmp_path / "merged")


def test_a_calibrated_bundle_merges_shards_of_before_and_another_bundle_does_not(folder, tmp_path):
    parts = [shard(folder, tmp_path / str(number), number, maps=False, pictures=0) for number in (1, 2)]
    merge(parts, stub_bundle(calibration={"scans": [0.0] * 30, "slices": [0.0]}), tmp_path / "merged")
    assert {row["alert"] for row in rows(tmp_path / "merged" / "scans.csv")} == {"yes"}
    with pytest.raises(DataError, match="another bundle"):
        merge(parts, stub_bundle("luna16"), tmp_path / "again")


@pytest.mark.slow
def test_what_another_shard_holds_too_is_refused(folder, tmp_path):
    parts = [shard(folder, tmp_path / str(number), number, maps=False, pictures=0) for number in (1, 2)]
    shard(folder, tmp_path / "2", 1, maps=False, pictures=0)
    shard(folder, tmp_path / "2", 2, maps=False, pictures=0)
    with pytest.raises(DataError, match="which another shard holds"):
        merge(parts, BUNDLE, tmp_path / "merged")


@pytest.mark.slow
def test_what_was_merged_is_no_shard(folder, tmp_path):
    parts = [shard(folder, tmp_path / str(number), number) for number in (1, 2)]
    merge(parts, BUNDLE, tmp_path / "merged")
    assert json.loads((tmp_path / "merged" / "run.json").read_text())["options"]["shard"] == [1, 1]
    with pytest.raises(DataError, match=r"the shards are 1/1, 2/2 \(name 1/2 to 2/2, each once\)"):
        merge([tmp_path / "merged", parts[1]], BUNDLE, tmp_path / "again")


@pytest.mark.slow
def test_shards_are_only_read(folder, tmp_path):
    parts = [shard(folder, tmp_path / str(number), number) for number in (1, 2)]
    before = [files_of(part) for part in parts]
    (tmp_path / "link").symlink_to("2")
    for out in (parts[0], parts[1] / "merged", tmp_path / "link"):
        with pytest.raises(ConfigError, match="is a shard, or lies in one"):
            merge(parts, BUNDLE, out)
    merge(parts, BUNDLE, tmp_path / "merged")
    assert [files_of(part) for part in parts] == before and not (parts[1] / "merged").exists()


@pytest.mark.slow
def test_every_field_of_run_json_changed_is_one_line_or_read(tmp_path):
    write_scan(tmp_path / "scans" / "scan.nii.gz", 0)
    score_folder([tmp_path / "scans"], BUNDLE, Engine(), tmp_path / "shard", ScoreOptions(workers=1, pictures=0))
    file, wrong = tmp_path / "shard" / "run.json", []
    for what, values in mutations(json.loads(file.read_text())):
        file.write_text(json.dumps(values))
        try:
            run = read_run(tmp_path / "shard")
            assert run["scans"]["found"] + run["listing"]["scans"] + run["seconds"] is not None
            assert sorted([Shard(*run["options"]["shard"]), Shard(1, 2)])
        except MaescanError as error:
            wrong += [(what, str(error))] if "\n" in str(error) else []
        except Exception as error:
            wrong.append((what, repr(error)))
    assert not wrong, wrong[:5]


@pytest.mark.slow
def test_scans_that_went_or_moved_since_a_shard_knew_them_are_none_of_its_run(folder, tmp_path):
    parts = [shard(folder, tmp_path / str(number), number) for number in (1, 2)]
    (folder / "sub").mkdir()
    (folder / "scan3.nii.gz").rename(folder / "sub" / "moved.nii.gz")
    (folder / "scan4.nii.gz").unlink()
    for path in (folder / "scan3.nii.gz", folder / "scan4.nii.gz"):
        given(path)
    parts = [shard(folder, part, number) for number, part in enumerate(parts, start=1)]
    summary = merge(parts, BUNDLE, tmp_path / "merged")
    assert len(summary.scored) == 5 and len(summary.failures) == 1


@pytest.mark.slow
def test_shards_are_merged_again_where_they_were(folder, tmp_path):
    parts = [shard(folder, tmp_path / str(number), number) for number in (1, 2)]
    merge(parts, BUNDLE, tmp_path / "merged")
    write_scan(folder / "scan2.nii.gz", 22, slices=2)
    parts = [shard(folder, part, number) for number, part in enumerate(parts, start=1)]
    merge(parts, BUNDLE, tmp_path / "merged")
    shard(folder, tmp_path / "whole", 1, shard=Shard(1, 1))
    assert (tmp_path / "merged" / "scans.csv").read_bytes() == (tmp_path / "whole" / "scans.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("other", [{"alert_rate": 0.2}, {"pictures": 3}, {"maps": False}])
def test_shards_of_other_options_are_refused(folder, tmp_path, other):
    parts = [shard(folder, tmp_path / "1", 1), shard(folder, tmp_path / "2", 2, **other)]
    with pytest.raises(DataError, match=f"was scored with other options than .*: {next(iter(other))} "):
        merge(parts, BUNDLE, tmp_path / "merged")


@pytest.mark.slow
@pytest.mark.parametrize("other", [{"force": True}, {"read": ReadOptions(limit_s=900.0, limit_memory_gb=9.0)}])
def test_a_shard_may_have_been_scored_again_or_with_other_limits(folder, tmp_path, other):
    """As on a machine that was short of memory: merge asked for all shards anew."""
    parts = [shard(folder, tmp_path / "1", 1), shard(folder, tmp_path / "2", 2, **other)]
    merge(parts, BUNDLE, tmp_path / "merged")


@pytest.mark.slow
def test_scans_have_come_in_the_order_of_the_search(folder, tmp_path):
    """Whether they are alike is asked in that order, which must not hang on which reader is faster."""
    wanted = [f"scan{number}.nii.gz" for number in range(6)]
    parts = [shard(folder, tmp_path / str(number), number, workers=3) for number in (2, 1)]
    merge(parts[::-1], BUNDLE, tmp_path / "merged")
    shard(folder, tmp_path / "whole", 1, shard=Shard(1, 1), workers=4)
    for out in ("merged", "whole"):
        found = sorted(rows_of(tmp_path / out), key=lambda row: row.order)
        assert [row.label for row in found] == wanted, out
    write_scan(folder / "a.nii.gz", 9)
    shard(folder, tmp_path / "whole", 1, shard=Shard(1, 1))
    assert max(rows_of(tmp_path / "whole"), key=lambda row: row.order).label == "a.nii.gz"


def test_a_run_that_was_killed_keeps_the_order_of_its_search(folder, tmp_path):
    """Whichever scans it had come to: of shards that went on after a kill others' scans came before theirs, so that
    a change was said of another scan than in one run."""
    scans = [ScanSource(f.name, f, "nifti", (f,)) for f in sorted(folder.glob("*.nii.gz"))]
    for known in (scans[3:4], scans[::2]):
        ledger = Ledger(tmp_path / "out", "job")
        ledger.expect(scans)
        numbers = {source.name: ledger.know(source, source.name).id % RUN for source in known}
        assert numbers == {source.name: scans.index(source) for source in known}
        assert ledger.db.one("SELECT MAX(id) / ? FROM scans", RUN) == (1,)
        ledger.close()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["maps", "pictures"])
def test_a_shard_whose_files_went_is_refused_and_mended_as_the_error_says(folder, tmp_path, what):
    parts = [shard(folder, tmp_path / str(number), number) for number in (1, 2)]
    gone = sorted((parts[1] / what).rglob("*.*"))[0]
    gone.unlink()
    with pytest.raises(DataError, match=rf"lacks '{what}/.*again to the end"):
        merge(parts, BUNDLE, tmp_path / "merged")
    shard(folder, parts[1], 2)
    merge(parts, BUNDLE, tmp_path / "merged")
    shard(folder, tmp_path / "whole", 1, shard=Shard(1, 1))
    assert files_of(tmp_path / "merged") == files_of(tmp_path / "whole")


@pytest.mark.slow
def test_maps_that_a_shard_no_longer_wants_are_not_missed(folder, tmp_path):
    parts = [shard(folder, tmp_path / str(number), number) for number in (1, 2)]
    for file in parts[0].rglob("*_anomaly.nii.gz"):
        file.unlink()
    parts = [shard(folder, part, number, maps=False) for number, part in enumerate(parts, start=1)]
    assert len(merge(parts, BUNDLE, tmp_path / "merged").scored) == 6
