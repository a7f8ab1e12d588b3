"""Checked dataclasses: what is said of a value that is none of its type or out of its range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from maescan.config.fields import Checked, Range, build
from maescan.errors import ConfigError


@dataclass(frozen=True)
class Inner(Checked):
    share: Annotated[float | None, Range(0, 1)] = None
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Outer(Checked):
    count: Annotated[int, Range(1)]
    pair: Annotated[tuple[float, float], Range(0, 2)] = (0.0, 1.0)
    many: tuple[int, ...] = ()
    inner: Inner = Inner()
    on: bool = True

    def check(self) -> None:
        if self.pair[0] > self.pair[1]:
            raise ConfigError("pair is the wrong way round")


def test_what_json_holds_becomes_types():
    made = build(Outer, {"count": 3, "pair": [0, 2], "many": [1, 2], "inner": {"share": 0.5}}, "it")
    assert made == Outer(3, (0, 2), (1, 2), Inner(0.5))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "it lacks count"),
        ([], "it must be an object, not list"),
        ({"count": 1, "size": 2}, "it has unknown fields: size"),
        ({"count": 0}, "it.count is 0: it must be a whole number 1 or more"),
        ({"count": 1.0}, "it.count is 1.0: it must be a whole number 1 or more"),
        ({"count": True}, "it.count is True: it must be a whole number"),
        ({"count": 1, "pair": [0, 3]}, "it.pair is (0, 3): it must be 2 of a number from 0 to 2"),
        ({"count": 1, "pair": [1, 0]}, "it.pair is the wrong way round"),
        ({"count": 1, "pair": 1}, "it.pair is 1: it must be 2 of a number"),
        ({"count": 1, "many": [1, "2"]}, "it.many is (1, '2'): it must be a list of a whole numbers"),
        ({"count": 1, "inner": {"share": float("inf")}}, "it.inner.share is inf: it must be null or a number"),
        ({"count": 1, "inner": {"kind": "c"}}, "it.inner.kind is 'c': it must be one of a, b"),
        ({"count": 1, "inner": {"kind": {}}}, "it.inner.kind is {}: it must be one of a, b"),
        ({"count": 1, "on": 1}, "it.on is 1: it must be true or false"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(values, message):
    with pytest.raises(ConfigError) as error:
        build(Outer, values, "it")
    assert str(error.value).startswith(message)


def test_a_value_is_checked_wherever_it_comes_from():
    with pytest.raises(ConfigError, match="count is 0"):
        Outer(0)
