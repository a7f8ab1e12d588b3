from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

from maescan.errors import ConfigError, DataError
from maescan.scoring.names import Pseudonyms
from maescan.scoring.on_ray import plan_actors, score_on_ray
from maescan.scoring.options import EngineOptions, RayOptions, ScoreOptions


def cluster(**resources):
    return SimpleNamespace(cluster_resources=lambda: resources, nodes=lambda: [1, 2, 3])


@pytest.mark.parametrize(
    ("resources", "actors", "engine", "count", "threads", "needs"),
    [
        ({"CPU": 12.0}, None, EngineOptions(), 3, 4, {"num_cpus": 4}),
        ({"CPU": 2.0}, 8, EngineOptions(), 8, 1, {"num_cpus": 1}),
        ({"CPU": 12.0}, 2, EngineOptions(threads=3), 2, 3, {"num_cpus": 3}),
        ({"CPU": 12.0, "GPU": 4.0}, None, EngineOptions(device="cuda"), 4, 3, {"num_gpus": 1}),
        ({"CPU": 12.0, "GPU": 4.0}, None, EngineOptions(), 3, 4, {"num_cpus": 4}),
    ],
)
def test_an_actor_a_gpu_or_a_node(resources, actors, engine, count, threads, needs):
    plan = plan_actors(cluster(**resources), actors, engine)
    assert (plan.count, plan.threads, plan.needs) == (count, threads, needs)


def test_a_gpu_where_there_is_none_is_refused():
    with pytest.raises(ConfigError, match="the Ray cluster has no GPU"):
        plan_actors(cluster(CPU=4.0), None, EngineOptions(device="cuda"))


def test_without_ray_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "in").mkdir()
    with pytest.raises(ConfigError, match=r"needs Ray \(.*pip install 'maescan\[ray\]'\)"):
        score_on_ray([tmp_path / "in"], tmp_path, tmp_path / "out", RayOptions(address="local"))


@pytest.mark.parametrize("fault", [ConnectionError("no head"), RuntimeError("version 2"), ValueError("no address")])
def test_no_cluster_is_said_whatever_ray_makes_of_the_address(monkeypatch, tmp_path, fault):
    def init(**_):
        raise fault

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init, shutdown=lambda: None))
    (tmp_path / "in").mkdir()
    with pytest.raises(ConfigError, match=f"no Ray cluster answers at 1:2:3: {fault}"):
        score_on_ray([tmp_path / "in"], tmp_path, tmp_path / "out", RayOptions(address="1:2:3"))


@pytest.mark.parametrize(("address", "tries"), [("10.0.0.1:6379", "1"), ("local", None)])
def test_a_cluster_that_does_not_answer_is_asked_once(monkeypatch, tmp_path, address, tries):
    """Of twenty times, each of 40 s. One that is started here takes its time."""
    monkeypatch.delenv("RAY_NUM_REDIS_GET_RETRIES", raising=False)
    asked = []

    def init(**_):
        asked.append(os.environ.get("RAY_NUM_REDIS_GET_RETRIES"))
        raise ConnectionError("nobody")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init, shutdown=lambda: None))
    (tmp_path / "in").mkdir()
    with pytest.raises(ConfigError, match=rf"answers at {address}: nobody \(check the address, or start one"):
        score_on_ray([tmp_path / "in"], tmp_path, tmp_path / "out", RayOptions(address=address))
    assert asked == [tries] and "RAY_NUM_REDIS_GET_RETRIES" not in os.environ


def test_a_folder_of_the_user_is_refused_before_anything_starts(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="did not write"):
        score_on_ray([tmp_path / "in"], tmp_path, tmp_path / "out", RayOptions(address="local"))


def test_what_ends_a_run_under_pseudonyms_names_no_scan(tmp_path):
    scans, options = tmp_path / "out" / "smith", ScoreOptions(pseudonyms=Pseudonyms.read(tmp_path / "key"))
    with pytest.raises(ConfigError, match="inside the output folder") as error:
        score_on_ray([scans], tmp_path / "b", tmp_path / "out", RayOptions(address="local"), options=options)
    assert "smith" not in str(error.value)
