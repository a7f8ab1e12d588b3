"""Files that appear whole or not at all: written beside, synced, renamed. Names that are safe to write to."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import tempfile
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maescan.decimals import decimal
from maescan.errors import ConfigError, DataError, unwritten

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

OUTPUT = ".maescan"
"""The folder that marks another as written by maescan: what stands beside it is never an input."""
PARTIAL = ".maescan-part-"
"""How the names of files begin that are not whole yet. Nobody else's begin so."""
OLD_S = 3600.0
"""A half that nobody has written into for so many seconds is a killed run's."""
PART_BYTES, PATH_BYTES = 255, 900
QUOTED = re.compile(r"""[",;\t\r\n]|^ | $""")
UNSAFE = re.compile(r'[<>:"|?*\\/]')
"""What other file systems do not take in a name."""
OURS = ("_anomaly.nii.gz", "_exceedance.nii.gz", ".png", ".dcm", ".html")
"""How names of outputs end; a folder that is named so gets a hash, so that it is never in a file's place."""


def printable(text: str) -> str:
    """`text` on one line without control, format or private characters and lone surrogates (bytes that are no
    UTF-8); with a short hash of the whole where something had to go, so that different texts stay different."""
    kept = "".join(c if c.isprintable() else "_" for c in text)
    return text if kept == text else f"{kept}~{short_hash(text)}"


def short_hash(text: str, digits: int = 8) -> str:
    """The first hexadecimal digits of SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]


def output_path(out: Path, folder: str, label: str, end: str, *, clash: bool = False) -> Path:
    """Where the output of scan `label` lies: `out`/`folder`/LABEL`end`, whatever the label is.

    Below `out` always; every part printable, without `..`, of at most 255 bytes; different for labels that
    differ, but for letter case and normal form, which `clash` tells apart. Raises ConfigError where a link leads
    elsewhere."""
    parts = [part for part in unicodedata.normalize("NFC", printable(label)).split("/") if part not in ("", ".")]
    safe = [UNSAFE.sub("_", "_" if part == ".." else part) for part in parts]
    safe = [f"_{part[1:]}" if part[0] == "." else part.rstrip(". ") or "_" for part in safe] or ["_"]
    safe[:-1] = [f"{part}~" if part.casefold().endswith(OURS) else part for part in safe[:-1]]
    changed = "/".join(safe) != label
    mark = f"~{short_hash(label)}" if changed or clash else ""
    if len("/".join(safe).encode()) > PATH_BYTES:
        safe, mark = [safe[-1]], f"~{short_hash(label, 16)}"
    cut = [_cut(part, PART_BYTES) for part in safe[:-1]]
    last = _cut(safe[-1], PART_BYTES - len((mark + end).encode()) - 9)
    if [*cut, last] != safe and not mark:
        mark = f"~{short_hash(label)}"
    path = out.joinpath(folder, *cut, f"{last}{mark}{end}")
    if not Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(out)):
        raise ConfigError("a link leads out of the output folder", path=path.parent, remedy="remove the link")
    return path


def _cut(part: str, size: int) -> str:
    """The part's beginning, of at most `size` bytes as UTF-8."""
    return part.encode()[:size].decode(errors="ignore").rstrip(". ") or "_"


BUNDLE = ("manifest.json", "golden/golden.safetensors")
"""What lies in every bundle, whose golden scan is a phantom's."""
JUNK = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", "lost+found"})
"""What file managers and file systems leave in an empty folder."""


def claim(folder: Path, kind: str, *, mark: str = f"{OUTPUT}/kind") -> None:
    """Takes `folder` for what maescan writes (kind: "scores", "slices", ...): a new or empty one, or one that it took
    for the same before. Raises DataError for any other: what lies there may be dear to somebody; ConfigError for one
    in a bundle. A new one is open to its user alone, since it holds what is of patients; one that was there keeps its
    permissions, and what is written into it has them.

    mark: the file that says so, below `folder`; with the default no search for scans enters it."""
    check_claim(folder, kind, mark=mark)
    mark_file = folder / mark
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if mark_file.is_file():
            _remove_halves(folder, OLD_S)
        else:
            mark_file.parent.mkdir(mode=folder.stat().st_mode & 0o777, exist_ok=True)
            write_text(mark_file, f"{kind}\n")
    except OSError as error:
        raise _refused(folder, error) from error


def check_claim(folder: Path, kind: str, *, mark: str = f"{OUTPUT}/kind") -> None:
    """Raises what `claim` would for what lies in `folder` or may not; writes nothing. Before long work."""
    check_outside(folder)
    try:
        if not os.access(place := next(part for part in (folder, *folder.parents) if part.exists()), os.W_OK):
            number = errno.EROFS if os.statvfs(place).f_flag & os.ST_RDONLY else errno.EACCES
            raise OSError(number, os.strerror(number))
        there = folder.iterdir() if folder.exists() else ()
        found = {path.name for path in there if not path.name.startswith(PARTIAL)} - JUNK
        taken = kind_of(folder, mark=mark)
    except OSError as error:
        raise _refused(folder, error) from error
    if taken != kind and (found - {Path(mark).parts[0]} or taken):
        what = f"holds {taken} that maescan wrote" if taken else "holds files that maescan did not write"
        raise DataError(what, path=folder, remedy="name an empty or a new folder")


def is_bundle(folder: Path) -> bool:
    """Whether a folder is a bundle, as far as its names tell."""
    return all(os.path.lexists(folder / name) for name in BUNDLE)


def check_outside(path: Path, remedy: str = "name a folder elsewhere") -> None:
    """Raises ConfigError for what lies in a bundle, whichever way it is come to: a bundle is given to others; and for
    a home's ~ that no shell has read, as in a file of options: a folder of that name is removed with the home."""
    if path.parts[:1] == ("~",) or os.path.expanduser(path) != os.fspath(path):  # noqa: PTH111 (Path's raises)
        raise ConfigError("begins with ~, which a shell alone replaces", path=path, remedy="write it from / on")
    if any(map(is_bundle, Path(os.path.realpath(path)).parents)):
        raise ConfigError("lies inside a bundle, which holds nothing of scans", path=path, remedy=remedy)


def kind_of(folder: Path, *, mark: str = f"{OUTPUT}/kind") -> str:
    """What `claim` took a folder for; "" where it did not. Raises OSError."""
    mark_file = folder / mark
    return mark_file.read_text(encoding="utf-8").strip() if mark_file.is_file() else ""


def _refused(folder: Path, error: OSError) -> DataError:
    return DataError(f"cannot write: {error.strerror}", path=folder, remedy=unwritten(error, folder))


def _remove_halves(folder: Path, age_s: float) -> None:
    """Removes what a killed run was writing into a folder. Raises OSError."""
    for half in folder.glob(f"{PARTIAL}*"):
        if half.is_file() and not half.is_symlink() and time.time() - half.stat().st_mtime > age_s:
            half.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, open to whom the nearest one that is there is open to. Raises OSError."""
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    if missing:
        mode = missing[-1].parent.stat().st_mode & 0o777
        for part in reversed(missing):
            part.mkdir(mode=mode, exist_ok=True)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder with the same suffixes; on success it becomes `path`. Raises
    DataError naming `path` when the disk is full or the folder cannot be written."""
    temporary: Path | None = None
    try:
        make_folder(path.parent)
        handle, name = tempfile.mkstemp(prefix=PARTIAL, suffix="".join(path.suffixes[-2:])[-24:], dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o666 & ~umask() & path.parent.stat().st_mode)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        reason = f"cannot write: {error.strerror or error}"
        raise DataError(reason, path=path, remedy=unwritten(error, path)) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):  # what matters was said; the next run removes it
                temporary.unlink()


def umask() -> int:
    """What this process takes off the permissions of new files; asked for without changing it for a moment."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.partition("\nUmask:")[2].split("\n", 1)[0], 8)
    except (OSError, ValueError):
        return 0o022


def sync(path: Path) -> None:
    """What was written into a file, or renamed into a folder, stays when the power fails. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def written_into(folder: Path) -> Iterator[None]:
    """What the system refuses inside becomes a DataError that names the file, or `folder`."""
    try:
        yield
    except OSError as error:
        place = error.filename2 or error.filename or folder
        reason = f"cannot write: {error.strerror or error}"
        raise DataError(reason, path=place, remedy=unwritten(error, place)) from error


def remove_partial(out: Path) -> None:
    """Removes what a killed run was writing, not in others' outputs. For who holds the lock. Raises DataError."""
    with written_into(out):
        for folder, below, _ in os.walk(out):
            below[:] = [name for name in below if not _is_anothers(Path(folder, name))]
            _remove_halves(Path(folder), -math.inf)


def _is_anothers(folder: Path) -> bool:
    """Whether a folder below an output bears a mark of its own (`claim`), or is a bundle."""
    marks = [OUTPUT, *(path.name for path in folder.glob(f"{OUTPUT}-*") if not path.name.startswith(PARTIAL))]
    return any((folder / mark).exists() for mark in (*marks, "manifest.json"))


def write_text(path: Path, text: str) -> None:
    """`text` as UTF-8, whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, values: object) -> None:
    """`values` as indented JSON with a final newline; null for numbers that are not finite, which JSON lacks."""
    write_text(path, json.dumps(finite(values), indent=2, sort_keys=True) + "\n")


def finite(values: object) -> object:
    """Values in JSON types, with null for numbers that are not finite."""
    if isinstance(values, dict):
        return {name: finite(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def nifti_image(volume: np.ndarray, affine: np.ndarray, placed: Mapping[str, object] | None = None) -> Nifti1Image:
    """A volume [X, Y, Z] with `affine` (voxel -> RAS+ mm) as qform and as sform, since programs differ in which they
    take, and some take no sform with a trace of shear. placed: the fields of a scan's own NIfTI header instead, so
    that every program puts both in one place."""
    import nibabel

    if placed is None:
        image = nibabel.Nifti1Image(volume, affine)
        image.set_sform(affine, 1)
        image.set_qform(affine, 1)
        image.header.set_xyzt_units("mm")
        return image
    image = nibabel.Nifti1Image(volume, None)
    for name, value in placed.items():
        if name == "pixdim":
            image.header[name][:4] = value
        else:
            image.header[name] = value
    return image


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows under a header; floats as `decimal` writes them. Text with a semicolon or a tab is quoted as well (what
    follows may be a cell of its own elsewhere, and a formula), and with a space at an end, which readers take off."""
    lines = [",".join(map(_cell, row)) for row in (columns, *rows)]
    write_text(path, "".join(f"{line}\n" for line in lines))


def _cell(value: object) -> str:
    text = decimal(value) if isinstance(value, float) else "" if value is None else str(value)
    return '"' + text.replace('"', '""') + '"' if QUOTED.search(text) else text


def write_nifti(
    path: Path, volume: np.ndarray, affine: np.ndarray, placed: Mapping[str, object] | None = None
) -> None:
    """`volume` [X, Y, Z] (float32 or uint8) as .nii.gz with `affine` (voxel -> RAS+ mm), reproducibly; placed: as
    `nifti_image` takes it."""
    from isal import igzip

    image = nifti_image(volume, affine, placed)
    with (
        atomic_file(path) as temporary,
        open(temporary, "wb") as raw,
        igzip.IGzipFile(filename="", fileobj=raw, mode="wb", compresslevel=1, mtime=0) as packed,
    ):
        packed.write(image.to_bytes())
