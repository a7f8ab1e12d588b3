"""Checked dataclasses: every field has a type and a range, and a value beyond them is a one-line error.

By hand rather than by a library: pydantic alone takes as long to import as numpy, and scoring starts with this.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from maescan.errors import ConfigError

Made = TypeVar("Made", bound="Checked")
Built = TypeVar("Built")
_HINTS: dict[type, dict[str, object]] = {}


@dataclass(frozen=True)
class Range:
    """Bounds of a number, both ends included; of a tuple, of each of its numbers."""

    low: float
    high: float = math.inf

    def __str__(self) -> str:
        return f"{self.low:g} or more" if self.high == math.inf else f"from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Checked:
    """Base of a frozen dataclass whose values are checked when it is made. Raises ConfigError, whose reason begins
    with the field's name. RETIRED: fields that older bundles have and nothing reads any more."""

    RETIRED = frozenset[str]()

    def __post_init__(self) -> None:
        for name, hint in _hints(type(self)).items():
            if fault := _fault(hint, getattr(self, name)):
                raise ConfigError(f"{name} is {getattr(self, name)!r}: it must be {fault}")
        self.check()

    def check(self) -> None:
        """What must hold between fields. Raises ConfigError."""


def build(cls: type[Made], values: object, where: str) -> Made:
    """A dataclass from what JSON holds of it. Raises ConfigError naming an unknown, missing or wrong field."""
    if not isinstance(values, dict):
        raise ConfigError(f"{where} must be an object, not {type(values).__name__}")
    values = {name: value for name, value in values.items() if name not in cls.RETIRED}
    hints = _hints(cls)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        remedy = "leave them out, or use the maescan that wrote them"
        raise ConfigError(f"{where} has unknown fields: {', '.join(unknown)}", remedy=remedy)
    parts = dataclasses.fields(cls)
    missing = [part.name for part in parts if part.default is part.default_factory and part.name not in values]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}")
    made = {name: _from_json(hints[name], value, f"{where}.{name}") for name, value in values.items()}
    return named(where, cls, **made)


def named(where: str, make: Callable[..., Built], /, *given: object, **values: object) -> Built:
    """`make(...)`, whose error says which field of which part is wrong."""
    try:
        return make(*given, **values)
    except ConfigError as error:
        raise ConfigError(f"{where}.{error.reason}", remedy=error.remedy) from error


def _from_json(hint: object, value: object, where: str) -> object:
    if isinstance(hint, type) and issubclass(hint, Checked):
        return build(hint, value, where)
    return tuple(value) if isinstance(value, list) else value


def _hints(cls: type) -> dict[str, object]:
    if cls not in _HINTS:
        _HINTS[cls] = typing.get_type_hints(cls, include_extras=True)
    return _HINTS[cls]


def _fault(hint: object, value: object) -> str | None:
    """What a value must be, where it is not."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        wrong_type, (bounds,) = _fault(args[0], value), args[1:]
        numbers = value if isinstance(value, tuple) else () if value is None else (value,)
        if wrong_type or not all(_within(number, bounds) for number in numbers):
            return f"{_words(args[0])} {bounds}"
        return None
    if origin is types.UnionType:
        return None if value is None else _fault(args[0], value)
    if origin is Literal:
        fits = isinstance(value, str) and value in args
    elif origin is tuple:
        wanted = args if args[-1] is not Ellipsis else args[:1] * (len(value) if isinstance(value, tuple) else 0)
        fits = isinstance(value, tuple) and len(value) == len(wanted) and not any(map(_fault, wanted, value))
    elif hint is float:
        fits = isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value)
    else:
        fits = type(value) is hint
    return None if fits else _words(hint)


def _within(number: object, bounds: Range) -> bool:
    return isinstance(number, int | float) and bounds.low <= number <= bounds.high


def _words(hint: object) -> str:
    args = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        return f"one of {', '.join(args)}"
    if typing.get_origin(hint) is types.UnionType:
        return f"null or {_words(args[0])}"
    if typing.get_origin(hint) is tuple:
        return f"a list of {_words(args[0])}s" if args[-1] is Ellipsis else f"{len(args)} of {_words(args[0])}"
    known: dict[object, str] = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
    return known.get(hint, str(getattr(hint, "__name__", hint)))
