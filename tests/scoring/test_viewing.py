"""`maescan view`: the page of a scored scan, of no other, over nobody's file."""

from __future__ import annotations

import json
import re
import stat
from dataclasses import replace

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from helpers.dicom_results import write_oriented
from helpers.inputs import given
from helpers.mutations import mutations
from helpers.scoring_stub import BUNDLE, Engine, rows, write_scan
from helpers.stubs import stub_bundle
from maescan import files
from maescan.cli import app
from maescan.errors import ConfigError, DataError, ScanError
from maescan.results.paths import map_path
from maescan.scoring.edited import RECORD
from maescan.scoring.options import ReadOptions, ScoreOptions
from maescan.scoring.pipeline import score_folder
from maescan.scoring.viewing import Scored, view


@pytest.fixture
def scored(tmp_path):
    write_scan(tmp_path / "in" / "a.nii.gz", 0)
    write_oriented(tmp_path / "in" / "b")
    options = ScoreOptions(maps=True, workers=1, pictures=0)
    score_folder([tmp_path / "in"], BUNDLE, Engine(), tmp_path / "out", options)
    return tmp_path


def facts_of(page):
    return json.loads(re.search(r'id="facts">(.*?)</script>', page.read_text(encoding="utf-8"), re.S)[1])


@pytest.mark.slow
@pytest.mark.parametrize("scan", ["a.nii.gz", "b/3"])
def test_the_page_has_the_scores_of_the_tables(scan, scored):
    page = view(scored / "out", scan, scored / "page.html")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600  # as the run's folder: it shows a patient
    slices = [float(row["score"]) for row in rows(scored / "out" / "scores.csv") if row["scan"] == scan]
    assert facts_of(page)["scores"] == slices and scan in page.read_text(encoding="utf-8")
    assert "0 to 1: |scan - reconstruction|, of intensities" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_missing_slice_has_no_score(tmp_path):
    image = nibabel.load(write_scan(tmp_path / "whole" / "a.nii.gz", 0))
    voxels = np.asarray(image.dataobj).copy()
    voxels[..., voxels.shape[2] // 2] = 0
    nibabel.Nifti1Image(voxels, image.affine).to_filename(tmp_path / "a.nii.gz")
    bundle = stub_bundle(card={"intended_use": "to try it"})
    score_folder([tmp_path / "a.nii.gz"], bundle, Engine(), tmp_path / "out", ScoreOptions(maps=True, pictures=0))
    page = view(tmp_path / "out", "a.nii.gz")
    assert "intended use: to try it; incomplete: " in page.read_text(encoding="utf-8")
    shown = facts_of(page)
    gaps = [index for index, score in enumerate(shown["scores"]) if score is None]
    listed = [int(row["slice"]) for row in rows(tmp_path / "out" / "scores.csv")]
    assert gaps == [len(shown["scores"]) // 2] and listed == [i for i in range(len(shown["scores"])) if i not in gaps]
    assert not set(gaps) & set(shown["highest"])


def test_of_patches_each_slice_has_the_highest_score_of_its_own():
    scored = Scored("a", "", "", "", np.array([0.5, 0.875, 0.25], np.float32), [2, 0, 2])
    assert scored.of_slices((), 4) == [0.875, None, 0.5, None]  # the map's values are means of several patches


@pytest.mark.slow
def test_without_a_place_of_its_own_the_page_is_an_output_and_goes_when_the_scan_is_scored_anew(scored):
    told = CliRunner().invoke(app, ["view", str(scored / "out"), "b/3"])
    page = scored / "out" / "views" / "b" / "3.html"
    assert told.output.replace("\n", "") == str(page) and page.is_file()
    options = ScoreOptions(maps=True, workers=1, pictures=0)
    score_folder([scored / "in"], BUNDLE, Engine(), scored / "out", options)
    assert page.is_file()
    score_folder([scored / "in"], BUNDLE, Engine(), scored / "out", ScoreOptions(maps=True, force=True, pictures=0))
    assert not page.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed", [{"alert_rate": 0.5}, {"read": ReadOptions(accept=frozenset({"modality"}))}, "bundle"]
)
def test_a_page_goes_when_another_verdict_stands_beside_it(tmp_path, changed):
    write_scan(tmp_path / "in" / "a.nii.gz", 0)
    calibrated = {"calibration": {"scans": [0.0] * 30, "slices": [0.0]}, "aggregation": {"method": "max"}}
    options = ScoreOptions(maps=True, workers=1, pictures=0)

    def score(**how):
        bundle = stub_bundle(**calibrated)
        bundle.__dict__["hash"] = how.pop("hash", "0" * 64)
        score_folder([tmp_path / "in"], bundle, Engine(), tmp_path / "out", replace(options, **how))

    score()
    page = view(tmp_path / "out", "a.nii.gz")
    (tmp_path / "out" / "views" / "mine.html").write_text("mine")
    score(pictures=1)
    assert page.is_file() and "viewer</a>" in (tmp_path / "out" / "report.html").read_text()
    score(**({"hash": "1" * 64} if changed == "bundle" else changed))
    assert not page.exists() and "viewer</a>" not in (tmp_path / "out" / "report.html").read_text()
    assert (tmp_path / "out" / "views" / "mine.html").read_text() == "mine"


@pytest.mark.parametrize("name", ["=1+1.nii.gz", "'=1+1.nii.gz", "-b.nii.gz"])
def test_a_scan_is_called_as_scans_csv_has_it_or_by_its_name(tmp_path, name):
    write_scan(tmp_path / "in" / name, 0)
    options = ScoreOptions(maps=True, workers=1, pictures=0)
    score_folder([tmp_path / "in"], BUNDLE, Engine(), tmp_path / "out", options)
    (row,) = rows(tmp_path / "out" / "scans.csv")
    for called in {name, row["scan"]}:
        page = view(tmp_path / "out", called, tmp_path / "page.html")
        assert f"score {row['score']}" in page.read_text(encoding="utf-8")


def test_what_cannot_be_viewed_is_told_with_what_to_do(scored):
    with pytest.raises(DataError, match=r"has no scored scan 'a.nii' \(it has a.nii.gz"):
        view(scored / "out", "a.nii", scored / "page.html")
    with pytest.raises(DataError, match="holds no finished run"):
        view(scored / "in", "a.nii.gz")
    (scored / "mine.html").write_text("mine")
    with pytest.raises(ConfigError, match="is no page that maescan wrote"):
        view(scored / "out", "a.nii.gz", scored / "mine.html")
    (scored / "bundle" / "golden").mkdir(parents=True)
    for name in files.BUNDLE:
        (scored / "bundle" / name).write_text("")
    with pytest.raises(ConfigError, match="lies inside a bundle"):
        view(scored / "out", "a.nii.gz", scored / "bundle" / "page.html")
    given((scored / "in" / "a.nii.gz").rename(scored / "in" / "c.nii.gz"))
    given(scored / "in" / "a.nii.gz")
    with pytest.raises(ScanError, match="is no longer where it was scored"):
        view(scored / "out", "a.nii.gz", scored / "page.html")
    write_scan(scored / "in" / "a.nii.gz", 5)
    with pytest.raises(ScanError, match="has changed since it was scored"):
        view(scored / "out", "a.nii.gz", scored / "page.html")
    assert not (scored / "page.html").exists() and (scored / "mine.html").read_text() == "mine"


@pytest.mark.parametrize("killed", [False, True])
def test_the_verdict_is_not_what_somebody_wrote_into_the_table(scored, killed):
    """The page said it as maescan's; of a scan without a row it said that it has no p-value."""
    table = scored / "out" / "scans.csv"
    table.write_text(table.read_text().partition("\n")[0] + "\n" if killed else table.read_text() + "mine\n")
    if killed:
        (scored / "out" / RECORD).unlink()
    with pytest.raises(DataError, match="'a.nii.gz': the run that" if killed else "was changed since it was written"):
        view(scored / "out", "a.nii.gz", scored / "page.html")
    assert not (scored / "page.html").exists()


def test_a_page_in_a_folder_that_nothing_says_is_ours_is_refused(scored):
    (scored / "out" / ".maescan" / "kind").unlink()
    with pytest.raises(DataError, match="holds files that maescan did not write"):
        view(scored / "out", "a.nii.gz")
    assert view(scored / "out", "a.nii.gz", scored / "page.html").is_file()


def test_a_scan_scored_without_maps_has_no_page(tmp_path):
    write_scan(tmp_path / "in" / "a.nii.gz", 0)
    score_folder([tmp_path / "in"], BUNDLE, Engine(), tmp_path / "out", ScoreOptions(workers=1, pictures=0))
    with pytest.raises(DataError, match="score it again with --maps"):
        view(tmp_path / "out", "a.nii.gz")


@pytest.mark.slow
def test_a_damaged_map_is_named_and_comes_back_as_the_remedy_says(scored):
    heat = map_path(scored / "out", "a.nii.gz")
    whole = heat.read_bytes()
    for damaged in (b"", b"junk", whole[:1000]):
        heat.write_bytes(damaged)
        with pytest.raises(ScanError, match="remove it, then score again with --maps") as error:
            view(scored / "out", "a.nii.gz")
        assert error.value.path == heat
    heat.unlink()
    options = ScoreOptions(maps=True, workers=1, pictures=0)
    score_folder([scored / "in"], BUNDLE, Engine(), scored / "out", options)
    assert heat.read_bytes() == whole and view(scored / "out", "a.nii.gz").is_file()


@pytest.mark.slow
def test_any_other_run_json_is_one_line_or_the_page(scored):
    whole, counts = json.loads((scored / "out" / "run.json").read_text()), {"refused": 0, "read": 0}
    for what, values in mutations(whole):
        (scored / "out" / "run.json").write_text(json.dumps(values))
        with pytest.raises((DataError, ConfigError)) as error:
            view(scored / "out", "nobody")  # which no run holds
        assert "\n" not in str(error.value), what
        counts["refused" if "no finished run" in str(error.value) else "read"] += 1
    assert min(counts.values()) > 50
