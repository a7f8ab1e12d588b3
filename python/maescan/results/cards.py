"""A scan as the report shows it: a row of its list, and a card with pictures, profile, places and links."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from maescan.decimals import counted, short
from maescan.errors import DataError, unread
from maescan.results.geometry import Geometry
from maescan.results.maps import Scale
from maescan.results.pictures import peaks
from maescan.results.profile import Axis, Profile, profile_of
from maescan.results.rows import ScanRow
from maescan.results.tables import Tables

EMBEDDED = 6 << 20
"""Bytes of pictures inside the page."""
COLUMNS = {"score": "score", "p_value": "p", "alert": "alert", "fit": "fit", "slices": "slices"}
NUMBERS = {"score", "p_value", "slices"}
LINKS = {"map": "heat map", "exceedance": "exceedance map", "view": "viewer"}


@dataclass(frozen=True)
class Seen:
    """What a report shows beside tables. outputs: by kind ("picture", "map", ...), then by label; places: where each
    scan lies; out: the output folder."""

    out: Path
    scale: Scale
    outputs: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)
    patches: bool = False
    profile: Sequence[Sequence[float]] | None = None


class Column(NamedTuple):
    """Of the list of scans. number: it holds numbers."""

    name: str
    title: str
    number: bool = False


class Cell(NamedTuple):
    """Of the list of scans."""

    title: str
    text: str
    number: bool


class Link(NamedTuple):
    """To a file."""

    href: str
    text: str


class Place(NamedTuple):
    """A slice, or CT patch, that is drawn."""

    at: int
    unit: str
    where: str
    score: str
    p: str


@dataclass(frozen=True)
class Card:
    """A scan. number: in the order of the report; unit: "slices", or CT "patches"; picture: its address, or ""."""

    number: int
    scan: str
    score: str
    p_value: str
    alert: str
    fit: str
    slices: str
    state: str
    notes: Sequence[str]
    unit: str
    unit_one: str
    picture: str
    places: Sequence[Place]
    profile: Profile
    links: Sequence[Link]
    cells: list[Cell] = field(default_factory=list)


def cards_of(tables: Tables, seen: Seen, axis: Axis) -> list[Card]:
    """Alerts first, then by score. axis: the profiles'."""
    judged = [(tables.alerts(row), tables.scan_score(row), row) for row in tables.rows]
    judged.sort(key=lambda each: (not each[0], -each[1], each[2].label))
    room, cards = EMBEDDED, []
    for number, (alert, score, row) in enumerate(judged):
        address, size = _picture(row.label, seen, room)
        room -= size
        cards.append(_card(number, row, (score, alert, address, axis), tables, seen))
    shown = columns_of(cards)[1:]
    for card in cards:
        card.cells.extend(Cell(title, getattr(card, name), number) for name, title, number in shown)
    return cards


def columns_of(cards: Sequence[Card]) -> list[Column]:
    """Those in which anything stands."""
    shown = [name for name in COLUMNS if any(getattr(card, name) for card in cards)]
    return [Column("scan", "scan"), *(Column(name, COLUMNS[name], name in NUMBERS) for name in shown)]


def _card(number: int, row: ScanRow, known: tuple[float, bool, str, Axis], tables: Tables, seen: Seen) -> Card:
    """known: score, whether it alerts, address of its picture, the profile's axis."""
    score, alert, picture, axis = known
    geometry, judge = Geometry.from_json(row.geometry), tables.judge_of(row)
    drawn = peaks(row.scores) if picture else []
    unit = "patch" if seen.patches else "slice"
    return Card(
        number=number,
        scan=row.label,
        score=short(score),
        p_value=short(judge.scan(score)[0]) if judge else "",
        alert=("yes" if alert else "no") if judge else "",
        fit=str(row.fit),
        slices=str(row.slices),
        state=row.state,
        notes=tables.notes(row),
        unit=_unit(row, seen.patches),
        unit_one=unit,
        picture=picture,
        places=_places(row, drawn, unit, tables),
        profile=profile_of(row.scores, drawn, geometry, axis),
        links=_links(row.label, seen),
    )


def _picture(label: str, seen: Seen, room: int) -> tuple[str, int]:
    """Inside the page while there is room, else a link; and how many bytes of the room it takes. One that is taken
    away meanwhile is left out. Raises DataError where it cannot be read."""
    path = seen.outputs.get("picture", {}).get(label)
    if path is None:
        return "", 0
    try:
        size = path.stat().st_size
        if size <= room:
            return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}", size
    except FileNotFoundError:
        return "", 0
    except OSError as error:
        remedy = unread(error, path, "remove it, and the next run draws it again")
        raise DataError(f"cannot be read: {error.strerror}", path=path, remedy=remedy) from error
    return _relative(path, seen.out), 0


def _unit(row: ScanRow, patches: bool) -> str:
    """What stands behind the number of its slices."""
    slices = "slice" if row.slices == 1 else "slices"
    return f"{slices}, {counted(len(row.scores), 'patch', 'patches')}" if patches else slices


def _places(row: ScanRow, drawn: Sequence[int], unit: str, tables: Tables) -> list[Place]:
    judge, geometry = tables.judge_of(row), Geometry.from_json(row.geometry)
    p_values, which = [""] * len(drawn), list(drawn)
    if judge and drawn:
        positions = None if row.positions is None else row.positions[which]
        p_values = [short(p) for p in judge.slice_p(row.scores[which], positions)]
    scores = [short(float(row.scores[index])) for index in drawn]
    where = [_where(row, index, geometry) for index in drawn]
    found = zip(drawn, where, scores, p_values, strict=True)
    return [Place(index, unit, place, score, p) for index, place, score, p in found]


def _where(row: ScanRow, index: int, geometry: Geometry | None) -> str:
    """mm, viewer index, InstanceNumber."""
    if index < len(row.places):
        return "at {:.0f}, {:.0f}, {:.0f} mm (RAS)".format(*row.places[index])
    if geometry is None:
        return ""
    place = geometry.place(index)
    image = "" if place.instance is None else f", image {place.instance}"
    return f"{place.mm:+.1f} mm, voxel {place.axis} {place.voxel}{image}"


def _links(label: str, seen: Seen) -> list[Link]:
    found = [
        Link(_relative(seen.outputs[kind][label], seen.out), text)
        for kind, text in LINKS.items()
        if label in seen.outputs.get(kind, {})
    ]
    place = seen.places.get(label, "").split("\0", maxsplit=1)[0]
    return [*found, *([Link(Path(place).as_uri(), "scan")] if place.startswith("/") else [])]


def _relative(path: Path, out: Path) -> str:
    return quote(path.relative_to(out).as_posix().encode("utf-8", "surrogateescape"))
