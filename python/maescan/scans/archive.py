"""Scans inside a .zip, unpacked to a temporary folder within limits: one level, so many members, so many bytes."""

from __future__ import annotations

import errno
import hashlib
import shutil
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

from maescan.decimals import counted
from maescan.errors import FULL, ScanError, quoted
from maescan.scans.budget import gigabytes
from maescan.scans.dicom.kinds import NAME_IT
from maescan.scans.quiet import one_line
from maescan.scans.scratch import scratch_folder, temporary
from maescan.scans.sizes import BOMB_BYTES, BOMB_RATIO
from maescan.scans.source import PassedOver, ScanSource, format_of
from maescan.scans.streams import not_watched, open_plain
from maescan.scans.walk import walk

MAX_FILES, MAX_BYTES = 20_000, 2**32
LONGEST = 200
"""Bytes of a part of a member's path that are kept: a file's name has at most 255."""
REMEDY, ROOM = "zip the scan again", "set TMPDIR to a folder with more room"


Search = Callable[[Path, Mapping[str, ScanError]], Iterable[ScanSource | PassedOver]]
"""What finds scans in a folder, and what is passed over, where the files named are known to be at fault."""


def find_in_zip(path: Path, name: str, search: Search) -> Iterator[ScanSource | PassedOver]:
    """The scans that `search` finds in a .zip, named by it and, where there are several, by their place in it, and
    what it passes over, by its place. A .zip
    that cannot be opened is one source that fails when it is read; so is each damaged member, and the first .zip
    inside. Series beside a damaged member, which may be a slice of theirs, say so."""
    try:
        with unpacked(path) as (root, damaged):
            nested = [place for place in _files(root) if format_of(Path(place)) == "zip"]
            error = ScanError(
                f"is one of {len(nested)} .zip inside a .zip, which are not searched",
                path=path,
                remedy="unpack it yourself",
            )
            found = list(search(root, {str(root / place): error for place in nested}))
            sources = [item for item in found if isinstance(item, ScanSource) and item.fault is not error]
            inside = [(source, _members(source, root)) for source in sources]
            passed = [_placed(item, root, path, name) for item in found if isinstance(item, PassedOver)]
    except ScanError:
        yield ScanSource(name, path, "zip", (path,))
        return
    for source, members in inside:
        inner = name if len(inside) == 1 else f"{name}/{source.name}"
        notes = source.notes + _incomplete(source, damaged)
        fault = source.fault
        fault = fault and type(fault)(fault.reason, path=path / members[0], remedy=_remedy(fault))
        yield replace(source, name=inner, path=path, files=(path,), members=members, notes=notes, fault=fault)
    for place, fault in [*damaged.items(), *((place, error) for place in nested[:1])]:
        yield ScanSource(f"{name}/{place}", path, "zip", (path,), members=(place,), fault=fault)
    yield from passed


def _remedy(fault: ScanError) -> str | None:
    """A fault's remedy, for what lies in a .zip: nothing there can be named."""
    return "to score one of them, unpack the .zip and name its file" if fault.remedy == NAME_IT else fault.remedy


def _placed(item: PassedOver, root: Path, path: Path, name: str) -> PassedOver:
    """What lies below `root`, as it lies in the .zip."""
    place = item.path.relative_to(root)
    return replace(item, name=f"{name}/{item.name}" if item.path != root else name, path=path / place)


def _incomplete(source: ScanSource, damaged: Collection[str]) -> tuple[str, ...]:
    lost = [place for place in damaged if format_of(Path(place)) in (None, "dicom")]
    names = ", ".join(map(quoted, lost[:3]))
    text = f"incomplete: {counted(len(lost), 'damaged file')} of its .zip may be slices of it: {names}"
    return (text,) if lost and source.format == "dicom" else ()


def place_in_zip(source: ScanSource, root: Path) -> ScanSource:
    """The source of a .zip as it lies in the folder that the .zip was unpacked to."""
    files = tuple(root / member for member in source.members)
    return replace(source, path=files[0] if len(files) == 1 or source.format != "dicom" else root, files=files)


@contextmanager
def unpacked(path: Path, members: Collection[str] = ()) -> Iterator[tuple[Path, dict[str, ScanError]]]:
    """A temporary folder with the members (default: all) of a .zip by their places, and what is wrong with those that
    cannot be unpacked. Raises ScanError for a .zip that is damaged or absurd; errors inside name the .zip."""
    with ExitStack() as stack:
        with open_plain(path) as stream, _told(path):
            scratch = stack.enter_context(scratch_folder())
            root = scratch / (path.stem[: LONGEST // 4] or "zip")
            root.mkdir()
            with zipfile.ZipFile(stream) as archive:
                places = _places(archive.infolist())
                wanted = {place: info for place, info in places.items() if not members or place in members}
                _check(list(wanted.values()), path, root)
                tried = {place: _unpack(archive, info, root / place, path / place) for place, info in wanted.items()}
        try:
            with not_watched():
                yield root, {place: error for place, error in tried.items() if error}
        except ScanError as error:
            at, file = (
                f"{path}{str(place).removeprefix(str(root)).removeprefix(str(scratch))}"
                for place in (error.path, error.file)
            )
            raise type(error)(error.reason, path=at, remedy=error.remedy, file=file) from error


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What keeps a .zip from being unpacked, and whose fault that is: its own, or the temporary folder's."""
    try:
        yield
    except ScanError:
        raise
    except Exception as error:  # zipfile has no common type for damage
        if not _is_folders(error):
            raise ScanError(f"cannot be unpacked: {one_line(error)}", path=path, remedy=REMEDY) from error
        reason = f"cannot be unpacked: temporary folder {temporary()}: {error.strerror}"
        raise ScanError(reason, path=path, remedy=ROOM) from error


def _is_folders(error: Exception) -> TypeGuard[OSError]:
    """Whether the temporary folder takes no more, or nothing: no fault of what is unpacked."""
    return isinstance(error, OSError) and error.errno in (*FULL, errno.EROFS, errno.EACCES)


def _places(infos: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Where each member goes: never above the folder, never at another's place, by names that can be written."""
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        parts = [_part(part) for part in info.filename.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        if info.is_dir() or not parts:
            continue
        place, count = "/".join(parts), 1
        while place in found:
            count += 1
            place = "/".join([*parts[:-1], f"{count}", parts[-1]])
        found[place] = info
    return found


def _part(part: str) -> str:
    """A part of a path, not longer than file systems can hold; its end, which tells the format, stays."""
    if len(part.encode(errors="replace")) <= LONGEST:
        return part
    return f"{part[: LONGEST // 8]}~{hashlib.sha256(part.encode(errors='replace')).hexdigest()[:8]}~{part[-20:]}"


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, where: Path) -> ScanError | None:
    """Writes one member to `target`; what is wrong with it where that fails."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(info) as packed, target.open("xb") as plain:
            shutil.copyfileobj(packed, plain, 2**20)
        return None
    except Exception as error:  # zipfile has no common type for damage
        with suppress(OSError):
            target.unlink()
        if _is_folders(error):  # what is unpacked would be half of a series
            raise
        why = (
            error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
        )  # no temporary path
        return ScanError(f"cannot be unpacked: {why}", path=where, remedy=REMEDY)


def _check(infos: list[zipfile.ZipInfo], path: Path, root: Path) -> None:
    size, packed = sum(i.file_size for i in infos), sum(i.compress_size for i in infos)
    if any(i.flag_bits & 1 for i in infos):
        raise ScanError("is encrypted", path=path, remedy="unpack it yourself")
    if len(infos) > MAX_FILES or size > MAX_BYTES or (size > BOMB_BYTES and size > packed * BOMB_RATIO):
        reason = f"holds {counted(len(infos), 'file')} of {size} bytes in {packed}"
        raise ScanError(reason, path=path, remedy="unpack it yourself, if it is no bomb")
    if size > (free := shutil.disk_usage(root).free):
        reason = f"unpacks to {gigabytes(size)}, the temporary folder has {gigabytes(free)}"
        raise ScanError(reason, path=path, remedy=ROOM)


def _files(root: Path) -> Iterator[str]:
    return (file.relative_to(root).as_posix() for file in walk(root) if isinstance(file, Path) and file.is_file())


def _members(source: ScanSource, root: Path) -> tuple[str, ...]:
    return tuple(file.relative_to(root).as_posix() for file in source.files)
