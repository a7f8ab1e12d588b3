"""Options of scoring: what their texts mean, which scans they take, what of them changes a score."""

from __future__ import annotations

import pytest

from maescan.errors import ConfigError
from maescan.options import LungTiles, ReadOptions
from maescan.scoring.options import ScoreOptions, Shard, parse_kinds


@pytest.mark.parametrize("text", ["1/1", "2/3", "3/3"])
def test_shards(text):
    assert "{}/{}".format(*Shard.parse(text)) == text


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "-1/3", "1/3/5", "a/b", "1.0/2", "½/1"])
def test_what_is_no_shard(text):
    with pytest.raises(ConfigError, match="is not I/N with I from 1 to N"):
        Shard.parse(text)


def test_kinds_of_results_have_an_order_of_their_own():
    assert parse_kinds("seg, SR,,sr") == ("sr", "seg") and parse_kinds("") == ()
    with pytest.raises(ConfigError, match="--dicom-out has no 'pdf'"):
        parse_kinds("sr,pdf")


@pytest.mark.parametrize(
    ("include", "exclude", "taken"),
    [
        ((), (), {"a/x.nii", "a/mask.nii", "b/y.mha"}),
        (("*.nii",), (), {"a/x.nii", "a/mask.nii"}),
        (("*.nii", "y.*"), ("mask*",), {"a/x.nii", "b/y.mha"}),
        (("a/*",), (), {"a/x.nii", "a/mask.nii"}),
        ((), ("*",), set()),
        (("*.NII",), (), set()),
    ],
)
def test_globs_are_of_the_name_or_its_last_part(include, exclude, taken):
    options = ScoreOptions(include=include, exclude=exclude)
    assert {name for name in ("a/x.nii", "a/mask.nii", "b/y.mha") if options.wants(name)} == taken


def test_maps_are_made_where_anything_needs_them():
    tiles = ReadOptions(regions=LungTiles())
    assert not ScoreOptions().mapped and ScoreOptions(maps=True).mapped and ScoreOptions(dicom=("sr",)).mapped
    assert ScoreOptions(healthy=True).mapped and ScoreOptions(healthy=True).measured
    assert ScoreOptions(read=tiles).maps and not ScoreOptions(read=tiles, healthy=True).measured


def test_only_what_is_read_changes_a_score():
    key = ScoreOptions().key()
    others = {"maps": True, "force": True, "workers": 9, "batch": 1, "shard": Shard(1, 2), "pictures": 0,
              "alert_rate": 0.5, "include": ("a",), "dicom": ("sr",), "healthy": True}  # fmt: skip
    assert ScoreOptions(**others).key() == key
    assert ScoreOptions(read=ReadOptions(volume=1)).key() != key
    assert ScoreOptions(read=ReadOptions(regions=LungTiles())).key() != key
