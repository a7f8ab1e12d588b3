"""The same patch of a CT has the same score, whoever cuts it: `evaluate`, `score --candidates`, `score --tile`."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from helpers.bundles import a_run
from helpers.scoring_stub import rows
from maescan.cli import app
from maescan.config import PRESETS, ModelConfig
from maescan.decimals import decimal
from maescan.errors import ConfigError

SMALL = PRESETS["luna16"].replace(model=ModelConfig(32, 8, 48, 2, 4, 32, 2, 2))


@pytest.fixture(scope="module")
def luna(tmp_path_factory):
    """(bundle, tree of CTs with candidates)."""
    from helpers.trees import write_luna16_tree
    from maescan.export import export

    folder = tmp_path_factory.mktemp("luna")
    write_luna16_tree(folder / "tree", patients=3, normals=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield export(a_run(folder, SMALL), folder / "bundle"), folder / "tree"


def maescan(*arguments):
    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output


def test_evaluate_and_score_give_a_patch_the_same_score_to_the_bit(luna, tmp_path):
    """The table is turned round for `score`, so that no row has the number that it has for `evaluate`, whose tables
    have every digit."""
    bundle, tree = luna
    maescan("evaluate", tree, "--bundle", bundle, "--out", tmp_path / "evaluation")
    lines = (tree / "candidates.csv").read_text().splitlines()
    (tmp_path / "turned.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    typed = ["--bundle", bundle, "--candidates", tmp_path / "turned.csv", "--pictures", "0"]
    maescan("score", tree, *typed, "--out", tmp_path / "scores")
    places = [line.split(",") for line in lines[1:]]
    scored = {}
    for row in rows(tmp_path / "scores" / "regions.csv"):
        series = row["scan"].rpartition("/")[2].removesuffix(".mhd")
        scored[series, *(round(float(row[axis]), 2) for axis in "xyz")] = row["score"]
    judged = rows(tmp_path / "evaluation" / "slices.csv")
    assert len(judged) > 5 and len({row["score"] for row in judged}) > 3
    for row in judged:
        series, x, y, z, _ = places[int(row["slice"])]
        theirs = scored[series, round(-float(x), 2), round(-float(y), 2), round(float(z), 2)]
        assert decimal(float(row["score"])) == theirs


def test_a_prepared_set_keeps_the_keys(luna, tmp_path):
    from maescan import datasets

    _, tree = luna
    datasets.prepare(tree, SMALL, tmp_path / "cache")
    whole, mapped = datasets.load(tree, SMALL), datasets.load(tmp_path / "cache", SMALL)
    assert len(set(whole.keys.tolist())) > 5 and np.array_equal(whole.keys, mapped.keys)
    assert not np.array_equal(whole.keys, whole.slice) and np.array_equal(
        whole.select([1, 0]).keys, whole.keys[[1, 0]]
    )


def test_tiles_tell_their_place_in_mm_and_their_slice(luna, tmp_path):
    from maescan.scans import axial_view, read_scan

    bundle, tree = luna
    ct = next(tree.rglob("*.mhd"))
    maescan("score", ct, "--bundle", bundle, "--out", tmp_path / "out", "--tile", "--pictures", "0")
    scan = read_scan(ct)
    (row,) = rows(tmp_path / "out" / "scans.csv")
    found = rows(tmp_path / "out" / "regions.csv")
    depth = len(axial_view(scan)[0])
    highest = max(found, key=lambda region: float(region["score"]))
    assert int(row["slices"]) <= depth < len(found) and row["highest_slice"] == highest["slice"]
    for region in found[:: len(found) // 7]:
        voxel = np.linalg.solve(scan.affine, [*(float(region[axis]) for axis in "xyz"), 1])[:3]
        assert np.allclose(voxel, np.rint(voxel), atol=0.01)
        assert 0 <= int(region["slice"]) < depth
    levels = {round(float(region["z"]), 1): int(region["slice"]) for region in found}
    assert [levels[z] for z in sorted(levels)] == sorted(levels.values())


def test_patches_unlike_training_are_said(luna, tmp_path):
    from maescan.engines.bundle import update

    bundle, tree = luna
    update(bundle, intensity={"mean": [50.0, 60.0]})
    maescan("score", next(tree.rglob("*.mhd")), "--bundle", bundle, "--out", tmp_path / "out", "--tile")
    (row,) = rows(tmp_path / "out" / "scans.csv")
    assert row["fit"] == "unlike" and "outside training's 50 to 60" in row["warnings"]


def test_a_bundle_calibrated_by_candidates_judges_no_tiles(luna, tmp_path):
    bundle, tree = shutil.copytree(luna[0], tmp_path / "bundle"), luna[1]
    table = ["--candidates", tree / "candidates.csv"]
    maescan("calibrate", bundle, tree, *table)
    maescan("score", tree, "--bundle", bundle, *table, "--out", tmp_path / "scores")
    assert all(row["p_value"] for row in rows(tmp_path / "scores" / "scans.csv"))
    for command in (["score", tree, "--out", tmp_path / "tiles"], ["inspect", tree]):
        with pytest.raises(ConfigError, match="scored by --candidates: p-values of --tile"):
            maescan(*command, "--bundle", bundle, "--tile")
    assert not (tmp_path / "tiles").exists()
