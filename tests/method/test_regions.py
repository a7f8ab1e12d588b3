from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from helpers.stubs import StubEngine, stub_bundle
from maescan.config import preset
from maescan.datasets.phantom import make_phantom, write_scan
from maescan.errors import ConfigError, DataError, ScanError
from maescan.method import regions
from maescan.options import CandidateTable, LungTiles, ReadOptions
from maescan.scans import ScanSource, axial_view, read_scan
from maescan.scoring.merge import merge
from maescan.scoring.options import ScoreOptions
from maescan.scoring.pipeline import score_folder

PRESET = preset("luna16").replace(model=preset("tiny").model)
TILED = ScoreOptions(maps=True, read=ReadOptions(regions=LungTiles()))
BUNDLE = stub_bundle(PRESET)


@pytest.fixture(scope="module")
def chest(tmp_path_factory):
    made = make_phantom("lung", 0, 0, ill=False, shape=(160, 128, 24))
    path = tmp_path_factory.mktemp("ct") / "1.2.3.nii.gz"
    write_scan(path, made.voxels, made.affine)
    return path


@pytest.mark.slow
def test_tiled_a_ct_has_a_map_of_its_scores(chest, tmp_path):
    summary = score_folder([chest], BUNDLE, StubEngine(), tmp_path / "out", TILED)
    (scored,) = summary.scored
    heat = nibabel.load(tmp_path / "out" / "maps" / "1.2.3.nii.gz_anomaly.nii.gz")
    source = nibabel.load(chest)
    assert heat.shape == source.shape and np.allclose(heat.affine, source.affine) and scored["slices"] > 20
    found = heat.get_fdata()
    with open(tmp_path / "out" / "scores.csv", newline="") as stream:
        scores = [float(row["score"]) for row in csv.DictReader(stream)]
    assert min(scores) < found.max() <= max(scores) + 1e-5 and (found == 0).mean() > 0.1
    again = score_folder([chest], BUNDLE, StubEngine(), tmp_path / "out", TILED)
    assert again.skipped == 1


def test_a_map_averages_the_tiles_of_a_voxel(chest):
    scan = read_scan(chest)
    view, axes = axial_view(scan)
    corners = np.array([[2, -10, 0], [2, 20, 0]])
    made = regions.Regions(np.empty(0), np.empty(0), (), corners, 64, view.shape, axes, *[np.empty(0)] * 2, {})
    volume = made.score_map(np.array([1.0, 3.0], np.float32))
    nibabel_order = np.zeros(view.shape, np.float32)
    nibabel_order[2, :20, :64], nibabel_order[2, 20:54, :64], nibabel_order[2, 54:84, :64] = 1, 2, 3
    assert np.array_equal(volume, axes.to_storage(nibabel_order))


def write_table(path, rows):
    lines = [f"{series},{x},{y},{z},{label}" for series, (x, y, z), label in rows]
    path.write_text("\n".join(["seriesuid,coordX,coordY,coordZ,class", *lines]) + "\n")
    return path


def test_candidates_are_scored_at_their_places(chest, tmp_path):
    scan = read_scan(chest)
    voxels = np.array([[80, 64, 12], [40, 60, 5], [3, 3, 3]])
    ras = voxels @ scan.affine[:3, :3].T + scan.affine[:3, 3]
    table = write_table(tmp_path / "c.csv", [("1.2.3", place * [-1, -1, 1], 0) for place in ras])
    option = CandidateTable.read(table)
    summary = score_folder(
        [chest], BUNDLE, StubEngine(), tmp_path / "out", ScoreOptions(read=ReadOptions(regions=option))
    )
    assert summary.failures == [] and summary.slices == 3
    with open(tmp_path / "out" / "regions.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert np.allclose([[float(row[axis]) for axis in "xyz"] for row in rows], ras, atol=1e-3)
    source = ScanSource("1.2.3.nii.gz", chest, "nifti", (chest,))
    cut = regions.cut(scan, source, PRESET, option)
    hounsfield = [scan.voxels[tuple(voxel)] * scan.slope + scan.intercept for voxel in voxels]
    assert cut.images.shape == (3, 64, 64) and np.ptp(cut.images) > 1
    low, high = cut.images.min(), cut.images.max()
    assert np.allclose(cut.images[:, 32, 32], np.clip(np.array(hounsfield) / 100, low, high), atol=1e-3)


def test_what_cannot_be_cut_is_said(chest, tmp_path):
    scan, source = read_scan(chest), ScanSource("1.2.3.nii.gz", chest, "nifti", (chest,))
    other = CandidateTable.read(write_table(tmp_path / "a.csv", [("9.9", (0, 0, 0), 0)]))
    with pytest.raises(ScanError, match="no candidate"):
        regions.cut(scan, source, PRESET, other)
    beside = CandidateTable.read(write_table(tmp_path / "b.csv", [("1.2.3", (9e3, 0, 0), 0)]))
    with pytest.raises(ScanError, match="row 0 of the candidates, at 9000, 0, 0, lies outside") as error:
        regions.cut(scan, source, PRESET, beside)
    assert "LPS" in error.value.remedy
    with pytest.raises(ConfigError, match="whole slices"):
        regions.check(preset("brats"), LungTiles())
    with pytest.raises(ConfigError, match="patches"):
        regions.check(preset("luna16"), None)


def _source(name, series="", patient=""):
    return ScanSource(
        name, Path("in", *Path(name).parts[: -1 if series else None]), "any", (), series, patient=patient
    )


@pytest.mark.parametrize(
    ("names", "row", "refused"),
    [
        (["a/ct.nii.gz", "b/ct.nii.gz"], "ct", ["a/ct.nii.gz", "b/ct.nii.gz"]),
        (["ct.nii.gz", "b/ct.mhd"], "ct", ["ct.nii.gz", "b/ct.mhd"]),
        (["ct.nii.gz", "b/ct.nii.gz"], "ct.nii.gz", ["b/ct.nii.gz"]),  # as the other is called
        (["a/ct.nii.gz", "b/ct.nii.gz"], "b/ct", []),
        (["a/1.2.mhd", "b/1.3.mhd"], "1.2", []),
    ],
)
def test_rows_that_may_be_another_scans_are_nobodys(tmp_path, names, row, refused):
    table = CandidateTable.read(write_table(tmp_path / "c.csv", [(row, (0, 0, 0), 0)]))
    told = regions.told_apart([_source(name) for name in names], table)
    assert [source.name for source in told if source.fault] == refused
    assert all("may be another scan's: 2 have the name" in str(source.fault) for source in told if source.fault)


def test_a_folders_name_is_one_patients(tmp_path):
    table = CandidateTable.read(write_table(tmp_path / "c.csv", [("7", (0, 0, 0), 0), ("1.5", (1, 1, 1), 0)]))
    for patients, faults in ((("x", "x"), 0), (("x", "y"), 2)):
        series = [_source(f"7/{n}", f"1.{n}", patient) for n, patient in enumerate(patients)]
        assert sum(bool(source.fault) for source in regions.told_apart(series, table)) == faults
    of_a_number = [_source("7/a", "1.5.3"), _source("1.5.3/b", "1.4")]  # the end of a number is no extension
    assert not any("1.5" in regions.called(source)[1] for source in of_a_number)


def test_a_place_that_comes_twice_counts_once(chest, tmp_path):
    places = [(0, 0, 0), (9, 9, 9), (0, 0, 0), (9, 9, 9), (-9, 0, 0)]
    table = CandidateTable.read(write_table(tmp_path / "c.csv", [("1.2.3", place, 0) for place in places]))
    cut = regions.cut(read_scan(chest), ScanSource("1.2.3.nii.gz", chest, "nifti", (chest,)), PRESET, table)
    assert np.array_equal(cut.places, np.array([(0, 0, 0), (9, 9, 9), (-9, 0, 0)]) * [-1, -1, 1])
    assert cut.notes == ("2 of its 5 candidates are at places of others, and not counted",)


def test_candidates_of_slices_that_are_not_evenly_apart_are_refused(chest, tmp_path):
    table = CandidateTable.read(write_table(tmp_path / "c.csv", [("1.2.3", (0, 0, 0), 0)]))
    scan, source = read_scan(chest), ScanSource("1.2.3.nii.gz", chest, "nifti", (chest,))
    uneven = replace(scan, meta={"accepted": ["irregular-spacing"]})
    with pytest.raises(ScanError, match="not evenly apart"):
        regions.cut(uneven, source, PRESET, table)
    assert len(regions.cut(replace(scan, meta={"accepted": ["tilt"]}), source, PRESET, table).images) == 1


def test_a_table_that_changes_meanwhile_is_refused(chest, tmp_path):
    table = write_table(tmp_path / "c.csv", [("1.2.3", (0, 0, 0), 0)])
    option = CandidateTable.read(table)
    write_table(table, [("1.2.3", (9, 9, 9), 0)])
    source = ScanSource("1.2.3.nii.gz", chest, "nifti", (chest,))
    with pytest.raises(DataError, match="has changed since this run began"):
        regions.cut(read_scan(chest), source, PRESET, option)


def test_tiles_are_not_judged_by_candidates(tmp_path):
    table = CandidateTable.read(write_table(tmp_path / "a.csv", [("9.9", (0, 0, 0), 0)]))
    (tmp_path / "9.9.nii").write_text("no scan")
    for mine, other in ((table, LungTiles()), (LungTiles(), table)):
        by, to = regions.way_of(mine), regions.way_of(other)
        regions.check_reference({"calibration": {"regions": by}}, mine)
        with pytest.raises(ConfigError, match=f"scored by --{by}: p-values of --{to}") as error:
            regions.check_reference({"calibration": {"regions": by}}, other)
        assert f"copy of the bundle by --{to}" in error.value.remedy
        judged = stub_bundle(PRESET, calibration={"regions": by, "scans": [1.0]})
        with pytest.raises(ConfigError, match=f"scored by --{by}"):
            score_folder(
                [tmp_path], judged, StubEngine(), tmp_path / "out", ScoreOptions(read=ReadOptions(regions=other))
            )
        score_folder(
            [tmp_path / "9.9.nii"], BUNDLE, StubEngine(), tmp_path / by, ScoreOptions(read=ReadOptions(regions=other))
        )
        with pytest.raises(ConfigError, match=f"scored by --{by}"):
            merge([tmp_path / by], judged, tmp_path / "merged")
        for untold in ({}, {"calibration": None}, {"calibration": {"scans": [1.0]}}):
            regions.check_reference(untold, other)


def test_candidates_in_missing_slices_are_not_scored(chest, tmp_path):
    scan, source = read_scan(chest), ScanSource("1.2.3.nii.gz", chest, "nifti", (chest,))
    ras = np.array([[80, 64, 12], [40, 60, 5]]) @ scan.affine[:3, :3].T + scan.affine[:3, 3]
    table = CandidateTable.read(write_table(tmp_path / "c.csv", [("1.2.3", each * [-1, -1, 1], 0) for each in ras]))
    cut = regions.cut(replace(scan, meta={"missing": [5]}), source, PRESET, table)
    assert np.allclose(cut.places, ras[:1]) and len(cut.images) == 1
    assert cut.notes == ("1 of its 2 candidates lies in a missing slice, and is not scored",)
    with pytest.raises(ScanError, match=r"its candidates lie in missing slices \(complete the series"):
        regions.cut(replace(scan, meta={"missing": [5, 12]}), source, PRESET, table)
