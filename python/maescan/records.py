"""What is read from files has a type: decoded and checked in one place, and one line says what is wrong.

By msgspec, which costs no start-up time; `config.fields` checks presets, whose ranges depend on each other.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from maescan.content import read_content, read_text
from maescan.errors import DataError, MaescanError, quoted, unread

Kind = TypeVar("Kind")
WORDS = 200
"""Characters of what a decoder says that are repeated: it may quote what is in the file."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what JSON is decoded into; fields that a class does not name are passed over."""


class StrictRecord(Record, frozen=True, forbid_unknown_fields=True):
    """One whose unknown fields are errors."""


def read(kind: type[Kind], path: Path, *, remedy: str, error: type[MaescanError] = DataError) -> Kind:
    """The JSON file as a `kind`. Raises `error` naming the file: it cannot be read, is no JSON, or lacks or has what
    a `kind` does not. Paths in it that are no UTF-8 are read, as Python writes them."""
    try:
        content = read_content(path)
    except OSError as fault:
        raise error(
            f"cannot be read: {fault.strerror or fault}", path=path, remedy=unread(fault, path, remedy)
        ) from fault
    if b"\\ud" in content:  # half a surrogate pair, maybe: msgspec reads none
        with contextlib.suppress(ValueError, RecursionError):
            return check(kind, json.loads(content), path=path, remedy=remedy, error=error)
    return decode(kind, content, path=path, remedy=remedy, error=error)


def decode(
    kind: type[Kind], content: bytes | str, *, path: Path, remedy: str, error: type[MaescanError] = DataError
) -> Kind:
    """JSON text as a `kind`; raises as `read`."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as fault:
        raise error(_reason(fault), path=path, remedy=remedy) from None


def check(
    kind: type[Kind], values: object, *, path: Path, remedy: str, error: type[MaescanError] = DataError
) -> Kind:
    """What JSON or torch decoded to, as a `kind`; raises as `read`."""
    try:
        return msgspec.convert(values, type=kind)
    except (msgspec.MsgspecError, RecursionError) as fault:
        raise error(_reason(fault), path=path, remedy=remedy) from None


OURS = "is not as maescan writes it"
"""What is said of content that is not as it should be, where maescan wrote it."""


def read_rows(
    kind: type[Kind],
    path: Path,
    *,
    remedy: str,
    columns: Iterable[str] = (),
    delimiter: str = ",",
    said: str = OURS,
) -> list[Kind]:
    """The rows of a CSV file with a header, each as a `kind`; cells become numbers where a field is one. A file that
    lacks one of `columns` is refused; a field `line` is the row's last line. said: of a row that is not as it should
    be. Raises DataError naming file and line."""
    try:
        text = read_text(path)
        reader = csv.DictReader(
            io.StringIO(text, newline=""), skipinitialspace=True, strict=True, delimiter=delimiter
        )
        if twice := sorted({name for name in reader.fieldnames or () if (reader.fieldnames or ()).count(name) > 1}):
            raise DataError(f"has the column {quoted(twice[0])} twice", path=path, remedy="leave one of them")
        if lacking := [name for name in columns if name not in (reader.fieldnames or ())]:
            has = quoted(",".join(reader.fieldnames or ())[:WORDS]) if reader.fieldnames else "nothing"
            raise DataError(
                f"lacks the column {', '.join(lacking)}: its first line has {has}", path=path, remedy=remedy
            )
        rows = []
        for row in reader:
            if None in row or None in row.values():
                raise DataError(f"line {reader.line_num} has another number of cells", path=path, remedy=remedy)
            if "line" in getattr(kind, "__struct_fields__", ()):
                row["line"] = str(reader.line_num)
            try:
                rows.append(msgspec.convert(row, type=kind, strict=False))
            except msgspec.ValidationError as fault:
                reason = f"line {reader.line_num}: {_cell_at_fault(row, fault, said)}"
                raise DataError(reason, path=path, remedy=remedy) from None
        return rows
    except OSError as fault:
        remedy = unread(fault, path, remedy)
        raise DataError(f"cannot be read: {fault.strerror or fault}", path=path, remedy=remedy) from fault
    except (msgspec.MsgspecError, csv.Error, UnicodeError) as fault:
        where = f"line {reader.line_num}: " if "reader" in locals() else ""
        raise DataError(f"{where}{_reason(fault, said)}", path=path, remedy=remedy) from None


def _cell_at_fault(row: dict[str, str], fault: msgspec.ValidationError, said: str) -> str:
    column = next(iter(re.findall(r"`\$\.(.+)`$", str(fault))), "")
    if column not in row:
        return _reason(fault, said)
    return f"{said}: `{column}` is {quoted(row[column][:WORDS]) if row[column] else 'empty'}"


def whole_rows(kind: type[Kind], path: Path) -> list[Kind]:
    """The rows of a CSV file that are as they should be: a run that was killed may have left half of one. Raises
    DataError where it cannot be read."""
    try:
        lines = read_text(path, "replace").splitlines()
    except OSError as fault:
        remedy = unread(fault, path, "remove it")
        raise DataError(f"cannot be read: {fault.strerror or fault}", path=path, remedy=remedy) from fault
    found = []
    for row in csv.DictReader(lines[:1] + [line for line in lines[1:] if line.isprintable()]):
        with contextlib.suppress(msgspec.MsgspecError):
            if None not in row and None not in row.values():
                found.append(msgspec.convert(row, type=kind, strict=False))
    return found


def _reason(fault: Exception, said: str = OURS) -> str:
    if isinstance(fault, RecursionError):
        return "is nested too deeply"
    if isinstance(fault, UnicodeError):
        return "is not UTF-8 text"
    if "unknown field" in str(fault):
        said = "may be of a newer maescan"
    return f"{said}: {str(fault)[:WORDS]}".replace(" - at `$.", " in `")
