"""Scans inside a .zip, unpacked to a temporary folder within limits."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from maescan.errors import ScanError
from maescan.scans.find import ScanSource, find_scans
from maescan.scans.quiet import words
from maescan.scans.sizes import BOMB_BYTES, BOMB_RATIO

MAX_FILES, MAX_BYTES = 20_000, 2**32


def find_in_zip(path: Path, name: str) -> Iterator[ScanSource]:
    """The scans in a .zip, named by it and, where there are several, by their place in it. A damaged .zip is one
    source that fails when it is read."""
    try:
        with unpacked(path) as root:
            inside = [(source, _members(source, root)) for source in find_scans(root)]
    except ScanError:
        yield ScanSource(name, path, "zip", (path,))
        return
    for source, members in inside:
        inner = name if len(inside) == 1 else f"{name}/{source.name}"
        yield replace(source, name=inner, path=path, files=(path,), members=members)


def place_in_zip(source: ScanSource, root: Path) -> ScanSource:
    """The source of a .zip as it lies in the folder that the .zip was unpacked to."""
    files = tuple(root / member for member in source.members)
    return replace(source, path=files[0] if len(files) == 1 or source.format != "dicom" else root, files=files)


@contextmanager
def unpacked(path: Path, members: Iterable[str] = ()) -> Iterator[Path]:
    """A temporary folder with the members (default: all) of a .zip. Raises ScanError for a damaged, encrypted or
    absurd one; errors inside name the .zip."""
    with TemporaryDirectory(prefix="maescan-") as temporary:
        root = Path(temporary, path.stem)
        root.mkdir()
        try:
            with zipfile.ZipFile(path) as archive:
                wanted = set(members)
                infos = [i for i in archive.infolist() if not i.is_dir() and (not wanted or i.filename in wanted)]
                _check(infos, path)
                for info in infos:
                    archive.extract(info, root)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            raise ScanError(f"cannot be unpacked: {words(error)}", path=path, remedy="zip the scan again") from error
        try:
            yield root
        except ScanError as error:
            inside = str(error.path).removeprefix(f"{root}").removeprefix(temporary)
            raise ScanError(error.reason, path=f"{path}{inside}", remedy=error.remedy) from error


def _check(infos: list[zipfile.ZipInfo], path: Path) -> None:
    size, packed = sum(i.file_size for i in infos), sum(i.compress_size for i in infos)
    if any(i.flag_bits & 1 for i in infos):
        raise ScanError("is encrypted", path=path, remedy="unpack it yourself")
    if len(infos) > MAX_FILES or size > MAX_BYTES or (size > BOMB_BYTES and size > packed * BOMB_RATIO):
        reason = f"holds {len(infos)} files of {size} bytes in {packed}"
        raise ScanError(reason, path=path, remedy="unpack it yourself, if it is no bomb")


def _members(source: ScanSource, root: Path) -> tuple[str, ...]:
    return tuple(file.relative_to(root).as_posix() for file in source.files)
