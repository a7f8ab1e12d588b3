from __future__ import annotations

import numpy as np
import pytest

from helpers.scoring_stub import BUNDLE, Engine, rows, write_scan
from maescan.errors import ConfigError
from maescan.scoring.options import ScoreOptions
from maescan.scoring.pipeline import score_folder

MAPS = ScoreOptions(maps=True, pictures=0)


def test_a_file_of_the_user_in_the_place_of_a_map_fails_that_scan_alone(tmp_path):
    for index in range(2):
        write_scan(tmp_path / "in" / f"scan{index}.nii.gz", index)
    out = tmp_path / "out"
    score_folder([tmp_path / "in" / "scan0.nii.gz"], BUNDLE, Engine(), out, MAPS)
    mine = out / "maps" / "scan1.nii.gz_anomaly.nii.gz"
    mine.write_text("mine")
    summary = score_folder([tmp_path / "in"], BUNDLE, Engine(), out, MAPS)
    (failure,) = summary.failures
    assert (failure["scan"], failure["stage"]) == ("scan1.nii.gz", "write") and mine.read_text() == "mine"
    assert failure["file"] == str(mine) and "was not written by maescan" in failure["reason"]
    mine.unlink()
    assert len(score_folder([tmp_path / "in"], BUNDLE, Engine(), out, MAPS).scored) == 2


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    write_scan(tmp_path / "in" / "scan0.nii.gz", 0)
    score_folder([tmp_path / "in"], BUNDLE, Engine(), tmp_path / "out", ScoreOptions(pictures=0))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "maps").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="leads out of the output folder"):
        score_folder([tmp_path / "in"], BUNDLE, Engine(), tmp_path / "out", MAPS)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_scores_that_are_not_finite_leave_no_map(tmp_path):
    class Nan(Engine):
        def classify(self, tokens, token_ids):
            return np.full(len(tokens), np.nan, np.float32)

    write_scan(tmp_path / "in" / "scan0.nii.gz", 0)
    summary = score_folder([tmp_path / "in"], BUNDLE, Nan(), tmp_path / "out", MAPS)
    assert summary.failures[0]["stage"] == "score" and not (tmp_path / "out" / "maps").exists()
    assert rows(tmp_path / "out" / "scans.csv") == []
