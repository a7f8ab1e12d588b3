from __future__ import annotations

import json
import pickle
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from maescan.errors import ConfigError, DataError
from maescan.options import CandidateTable, EngineOptions, LungTiles, Options, ReadOptions, parse_bytes, parse_regions
from maescan.scoring.options import Format, RayOptions, ScoreOptions, Shard, WatchOptions

TABLE = CandidateTable(Path("candidates.csv"), "0" * 64)


@pytest.mark.parametrize(
    "make, flag",
    [
        (lambda: ScoreOptions(workers=0), "--workers 0"),
        (lambda: ScoreOptions(alert_rate=1.5), "--alert-rate 1.5"),
        (lambda: ReadOptions(limit_s=-1.0), "--limit-seconds"),
        (lambda: ReadOptions(accept=frozenset({"tilted"})), "cannot accept 'tilted'"),
        (lambda: WatchOptions(settle_s=-1.0), "--settle"),
        (lambda: WatchOptions(settle_s=float("inf")), "--settle inf .*it is a finite number, at least 0"),
        (lambda: ScoreOptions(alert_rate=float("nan")), "--alert-rate nan .*it is from 0.0 to 1.0"),
        (lambda: RayOptions(actors=0), "--ray-actors 0"),
        (lambda: EngineOptions(threads=0), "--threads 0"),
        (lambda: Shard.parse("4/3"), "--shard 4/3"),
        (lambda: parse_regions(Path("a.csv"), True), "two ways"),
    ],
)
def test_a_value_outside_its_limits_is_refused_by_the_name_of_its_flag(make, flag):
    with pytest.raises(ConfigError, match=flag):
        make()


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: ScoreOptions(include="sub-01*"), r"--include cannot be 'sub-01\*', a str \(its type: tuple\[str"),
        (lambda: ScoreOptions(exclude=("a", 3)), "--exclude"),
        (lambda: ScoreOptions(maps="no"), "--maps cannot be 'no', a str .its type: bool"),
        (lambda: ScoreOptions(workers="2"), "--workers"),
        (lambda: ScoreOptions(workers=True), "--workers"),
        (lambda: ScoreOptions(alert_rate=None), "--alert-rate cannot be 'None'"),
        (lambda: ScoreOptions(shard=Shard(3, 2)), "--shard 3/2"),
        (lambda: ScoreOptions(dicom=("xx",)), "--dicom-out has no 'xx'"),
        (lambda: ScoreOptions(format="xml"), "--format"),
        (lambda: ScoreOptions(read=None), "--read"),
        (lambda: ReadOptions(accept="shear"), "--accept cannot be 'shear'"),
        (lambda: ReadOptions(regions="tile"), "--candidates"),
        (lambda: EngineOptions(device=0), "--device cannot be '0', a int"),
    ],
)
def test_a_value_of_another_type_is_refused_for_it_would_mean_something_else(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


def test_what_stands_for_a_type_becomes_of_it():
    made = ScoreOptions(workers=np.int64(3), alert_rate=np.float32(0.5), include=["a"], format="parquet")
    assert made == ScoreOptions(workers=3, alert_rate=0.5, include=("a",), format=Format.parquet)
    json.dumps(made.to_json())
    assert ReadOptions(accept={"tilt"}, volume=0).accept == frozenset({"tilt"})


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1500", 1500), ("3k", 3000), (" 200M ", 200_000_000), ("1.5 G", 1_500_000_000), ("2TB", 2 * 10**12)],
)
def test_a_size_means_the_same_in_every_option(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "5X", "five", "1e3"])
def test_what_is_no_size(text):
    with pytest.raises(ConfigError, match="is no size"):
        parse_bytes(text)


def test_a_table_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv"):
        CandidateTable.read(tmp_path / "none.csv")


@pytest.mark.parametrize(
    "options",
    [
        ScoreOptions(),
        ScoreOptions(
            read=ReadOptions(volume=1, accept=frozenset({"tilt", "shear"}), regions=LungTiles(), limit_s=5.0),
            force=True,
            workers=3,
            batch=4,
            shard=Shard(2, 3),
            format=Format.parquet,
        ),
        ScoreOptions(read=ReadOptions(regions=TABLE), maps=True, pictures=0, alert_rate=0.1),
    ],
)
def test_options_come_back_from_json_and_from_another_process(options):
    assert ScoreOptions.from_json(json.loads(json.dumps(options.to_json()))) == options
    assert pickle.loads(pickle.dumps(options)) == options


def test_the_key_is_what_changes_a_score():
    plain = ScoreOptions().key()
    same = ScoreOptions(force=True, workers=3, batch=1, shard=Shard(1, 2), alert_rate=0.5, pictures=0)
    assert same.key() == plain and ScoreOptions(read=ReadOptions(limit_s=1.0)).key() == plain
    moved = CandidateTable(Path("elsewhere.csv"), TABLE.sha256)
    assert ReadOptions(regions=TABLE).key() == ReadOptions(regions=moved).key()
    others = [ReadOptions(volume=0), ReadOptions(accept=frozenset({"tilt"})), ReadOptions(regions=TABLE)]
    keys = [json.dumps(ScoreOptions(read=read).key()) for read in (ReadOptions(), *others)]
    assert len(set(keys)) == len(keys)


def test_tiles_always_get_maps():
    assert ScoreOptions(read=ReadOptions(regions=LungTiles())).maps


@pytest.mark.parametrize("kind", [EngineOptions, ReadOptions, ScoreOptions, WatchOptions, RayOptions])
def test_every_flag_has_help_and_a_name_of_its_own(kind: type[Options]):
    flags = [(item.name, flag) for item in fields(kind) for flag in item.metadata.get("flags", ())]
    assert all(flag.help for _, flag in flags)
    assert len({flag.name or name for name, flag in flags}) == len(flags)
