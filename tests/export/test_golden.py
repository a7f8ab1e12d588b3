from __future__ import annotations

import numpy as np
import pytest

from helpers.bundles import SMALL, a_run
from maescan.config import PRESETS, ModelConfig
from maescan.engines.bundle import Bundle
from maescan.engines.golden import golden_scan, prepare_golden
from maescan.export.golden import fullest, write_golden

pytestmark = pytest.mark.slow

SIZES = ModelConfig(32, 8, 48, 2, 4, 32, 2, 2)


@pytest.mark.parametrize("name", ["brats", "brats-fg", "luna16", "brats-official", "luna16-official"])
def test_every_kind_of_bundle_has_a_golden_scan_that_makes_its_golden_slices(tmp_path, name):
    preset = PRESETS[name].replace(model=SIZES, pseudo__size=(2, 20), measure="classifier")
    run = a_run(tmp_path, preset)
    write_golden(run, tmp_path, preset, "phantom")
    golden = Bundle(tmp_path, {"preset": preset.to_dict()}, "").golden()
    assert golden["images"].shape == (4, 32, 32) and np.ptp(golden["score"]) > 0
    assert np.array_equal(
        golden["images"], prepare_golden(tmp_path / "golden" / "scan.nii.gz", preset)[golden["rows"]]
    )
    assert golden_scan(Bundle(tmp_path, {"preset": preset.to_dict()}, "")) == 0


def test_real_slices_are_the_runs(tmp_path):
    run = a_run(tmp_path, SMALL)
    (tmp_path / "made").mkdir()
    write_golden(run, tmp_path / "made", SMALL, "real")
    golden = Bundle(tmp_path / "made", {"preset": SMALL.to_dict()}, "").golden()
    assert not np.array_equal(golden["images"], golden["prepared"])


def test_the_fullest_slices_are_golden():
    slices = np.zeros((6, 4, 4), np.float32)
    for number, count in enumerate((3, 9, 1, 8, 7, 2)):
        slices[number].flat[:count] = 1
    assert fullest(slices).tolist() == [0, 1, 3, 4]
