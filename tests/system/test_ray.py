"""A local Ray of two actors, one of which is killed in the middle."""

from __future__ import annotations

import threading
import time

import pytest

from helpers.scoring_stub import files_of, write_scan
from maescan.errors import ConfigError, DataError
from maescan.scoring.names import Pseudonyms
from maescan.scoring.on_ray import score_on_ray
from maescan.scoring.options import EngineOptions, RayOptions, ScoreOptions
from maescan.scoring.run import score_paths

LOCAL = RayOptions(address="local", actors=2)
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def bundle(exported_bundle):
    pytest.importorskip("ray.exceptions")
    return exported_bundle


def kill_one_actor(out, killed):
    """As soon as the first shard has results."""
    import psutil

    for _ in range(9000):
        time.sleep(0.02)
        if list((out / "shards" / "1-of-2" / "maps").glob("scan*")):
            actors = [p for p in psutil.process_iter(["name", "cmdline"]) if "ray::_Shard" in str(p.info["cmdline"])]
            for actor in actors[:1]:
                actor.kill()
                killed.append(actor.pid)
            return


def test_what_a_killed_actor_leaves_is_finished_and_all_is_as_from_one_run(bundle, tmp_path):
    for index in range(24):
        write_scan(tmp_path / "scans" / f"scan{index}.nii.gz", index, slices=24)
    (tmp_path / "scans" / "broken.nii.gz").write_bytes(b"no gzip")
    options = ScoreOptions(maps=True, pictures=2)
    score_paths([tmp_path / "scans"], bundle, tmp_path / "one", options=options)
    killed = []
    killer = threading.Thread(target=kill_one_actor, args=(tmp_path / "out", killed))
    killer.start()
    summary = score_on_ray([tmp_path / "scans"], bundle, tmp_path / "out", LOCAL, options=options)
    killer.join()
    assert killed and len(summary.scored) == 24 and [row["scan"] for row in summary.failures] == ["broken.nii.gz"]
    expected = files_of(tmp_path / "one")
    assert {name: data for name, data in files_of(tmp_path / "out").items() if "shards" not in name} == expected


def test_under_pseudonyms_shards_and_what_is_put_together_name_no_scan(bundle, tmp_path):
    for index in range(3):
        write_scan(tmp_path / "scans" / "smithereen" / f"smithereen{index}.nii.gz", index, slices=24)
    (tmp_path / "scans" / "smithereen.nii.gz").write_bytes(b"no gzip")
    options = ScoreOptions(maps=True, pictures=2, pseudonyms=Pseudonyms.read(tmp_path / "key"))
    score_paths([tmp_path / "scans"], bundle, tmp_path / "one", options=options)
    summary = score_on_ray([tmp_path / "scans"], bundle, tmp_path / "out", LOCAL, options=options)
    assert len(summary.scored) == 3 and len(summary.failures) == 1
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert files and not [file for file in files if b"smithereen" in file.read_bytes() or "smith" in file.name]
    whole = {name: data for name, data in files_of(tmp_path / "out").items() if "shards" not in name}
    assert whole == files_of(tmp_path / "one")


def test_errors_are_those_of_one_machine(bundle, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no scans found"):
        score_on_ray([tmp_path / "empty"], bundle, tmp_path / "out", RayOptions(address="local", actors=1))
    with pytest.raises(ConfigError, match="has no GPU"):
        score_on_ray([tmp_path], bundle, tmp_path / "out", LOCAL, EngineOptions(device="cuda"))
