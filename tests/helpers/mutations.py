"""Every field of a JSON value, changed into what it must not be."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

WRONG: tuple[object, ...] = (None, True, -1, 2**70, 1e300, "", "x\n\x1b[31m", [], [[]], {}, {"x": 1})
MOST = 4
"""Members of a list, and of an object of many, that are tried."""


def mutations(values: Any) -> Iterator[tuple[str, Any]]:
    """(where, a copy of `values` with one field changed, lost or added)."""
    for path in list(_paths(values, ())):
        where = ".".join(map(str, path))
        for wrong in WRONG:
            yield f"{where} = {wrong!r}", _changed(values, path, wrong)
        yield f"{where} lost", _changed(values, path, _LOST)
    yield "one more", {**values, "one more": 1}


_LOST = object()


def _paths(values: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    members = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    most = MOST if isinstance(values, list) else 40
    for name, value in list(members)[:most]:
        yield from _paths(value, (*path, name))


def _changed(values: Any, path: tuple[Any, ...], value: object) -> Any:
    made = copy.deepcopy(values)
    at = made
    for name in path[:-1]:
        at = at[name]
    if value is _LOST:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return made
