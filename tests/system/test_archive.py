"""Results in an archive (PACS): beside their scan, once, however often they are sent."""

from __future__ import annotations

import shutil

import pytest

from helpers.archive import lacking, stored
from helpers.dicom_results import CALIBRATION, write_oriented
from helpers.scoring_stub import Engine
from helpers.stubs import stub_bundle
from maescan.scoring.options import ScoreOptions
from maescan.scoring.pipeline import score_folder

NAME = "Yamada^Tarou=山田^太郎=やまだ^たろう"


def score(folder, out, **more):
    options = ScoreOptions(dicom=("sr", "sc", "seg", "ko", "pm"), workers=1, pictures=0, **more)
    assert not score_folder([folder], stub_bundle(calibration=CALIBRATION), Engine(), out, options).refused


def test_sent_again_and_scored_again_an_archive_holds_each_result_once_in_the_scans_own_study(tmp_path):
    if why := lacking():
        pytest.skip(why)
    write_oriented(tmp_path / "in", shape=(6, 36, 40), SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName=NAME)
    score(tmp_path / "in", tmp_path / "out")
    first = shutil.copytree(tmp_path / "out" / "dicom", tmp_path / "first")
    score(tmp_path / "in", tmp_path / "out", force=True)
    scan, again = f"store:{tmp_path / 'in'}", f"store:{tmp_path / 'out' / 'dicom'}"
    sent = [scan, f"store:{first}", f"store:{first}", again, f"stow:{first}", f"stow:{tmp_path / 'out' / 'dicom'}"]
    held = stored(tmp_path / "archive", *sent)
    counts = [(one["patients"], one["studies"], one["series"], one["instances"]) for one in held]
    assert counts == [(1, 1, 1, 6)] + [(1, 1, 6, 13)] * 5
    assert held[-1]["names"] == [NAME]


def test_an_archive_takes_results_by_the_web_alone(tmp_path):
    if why := lacking():
        pytest.skip(why)
    write_oriented(tmp_path / "in", shape=(6, 36, 40))
    score(tmp_path / "in", tmp_path / "out")
    (held,) = stored(tmp_path / "archive", f"stow:{tmp_path / 'out' / 'dicom'}")
    assert (held["studies"], held["series"], held["instances"]) == (1, 5, 7)
