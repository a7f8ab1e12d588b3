"""Errors that a user can act on: what is wrong, with which file, what to do. The CLI prints them in one line."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import re
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Literal, TypeVar

Cell = TypeVar("Cell")
FORMULA = re.compile(r"'*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
"""How a cell begins that a spreadsheet would compute."""


def escaped(text: str) -> str:
    """`text` in one line, safe for a terminal: what cannot be printed as its number. File names may hold anything.

    >>> print(escaped("two\\nlines, a bell \\a"))
    two lines, a bell \\x07
    """
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line)


def defused(cell: Cell) -> Cell | str:
    """A cell of a table for people: a text that a spreadsheet would compute begins with an apostrophe, or with one
    more than it has: no two are the same."""
    return f"'{cell}" if isinstance(cell, str) and FORMULA.match(cell) else cell


def in_markdown(text: str) -> str:
    """A cell of a Markdown table: what would part it, or be read as HTML, is text.

    >>> print(in_markdown("a|b <i>"))
    a\\|b \\<i>
    """
    return re.sub(r"([|<])", r"\\\1", escaped(text))


def quoted(text: str) -> str:
    """What a file is called, or says, in quotes that nothing inside it closes: `scoring.names` hides what is quoted.

    >>> print(quoted("a.dcm"), quoted("O'Brien 2.dcm"))
    'a.dcm' "O'Brien 2.dcm"
    """
    return repr(text)


def typed(path: str | os.PathLike[str]) -> str:
    """A path as it is typed in a command of a remedy.

    >>> print(typed("two words/key"), typed("-k"))
    'two words/key' ./-k
    """
    text = os.fspath(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def installing(text: str) -> str:
    """`text` whose `pip install` is that of this Python: where its environment is not activated, the pip that a shell
    finds would install for another Python, or is none."""
    import importlib.metadata
    import shutil

    pip = shutil.which("pip")
    if pip and Path(pip).parent == Path(sys.executable).parent:
        return text
    python = typed(sys.executable or "python3")
    has = any(True for _ in importlib.metadata.distributions(name="pip"))
    ours = f"{python} -m pip install" if has else f"uv pip install --python {python}"
    if Path(sys.prefix, "pipx_metadata.json").is_file():
        ours = f"pipx runpip {typed(Path(sys.prefix).name)} install"
    return re.sub(r"(?<!-m )(?<!uv )\bpip install", lambda _: ours, text)


class MaescanError(Exception):
    """Base of all. `str(error)` is one line: path, reason, remedy."""

    def __init__(
        self,
        reason: str,
        *,
        path: str | os.PathLike[str] | None = None,
        remedy: str | None = None,
        file: str | os.PathLike[str] | None = None,
    ):
        """file: the one at fault, where `path` is the folder or the header that it belongs to."""
        self.reason, self.path = reason, path
        self.remedy = installing(remedy) if remedy and "pip install" in remedy else remedy
        self.file = path if file is None else file
        super().__init__(reason)

    def __str__(self) -> str:
        where = f"{os.fspath(self.path)}: " if self.path is not None else ""
        then = f" ({self.remedy})" if self.remedy else ""
        return escaped(f"{where}{self.reason}{then}")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.reason, self.path, self.remedy, self.file)


def _rebuild(
    cls: type[MaescanError], reason: str, path: str | None, remedy: str | None, file: str | None
) -> MaescanError:
    return cls(reason, path=path, remedy=remedy, file=file)


class ConfigError(MaescanError):
    """An option or preset that does not exist or does not fit."""


EXTRAS = {
    "sign": "cryptography",
    "evaluate": "matplotlib scipy h5py",
    "train": "torch torchvision timm lightning_fabric tensorboard onnx onnxscript nncf sklearn",
    "dicom": "pydicom pylibjpeg",
    "network": "pynetdicom highdicom",
    "tensorrt": "tensorrt_rtx cuda",
    "parquet": "pyarrow",
    "ray": "ray",
}
CORE = "PIL backports isal jinja2 msgspec nibabel numpy openvino rich safetensors typer watchfiles"
"""Packages that every install has, unless it was made without them or has lost one since."""


def require(package: str, why: str) -> ModuleType:
    """The package, imported. Raises ConfigError with the extra that brings it; why: what needs it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        known = lacking(error, why)
        if known is None:
            raise
        raise known from error


def lacking(error: ImportError, why: str = "this") -> ConfigError | None:
    """What to install for a package of ours that is not there, or a compiled part of it that this machine's system or
    Python cannot load; None for any other import that fails."""
    if "_kernels" in str(error):
        reason = f"its compiled part cannot be loaded: {error}"
        return ConfigError(reason, remedy="on this machine, with this Python, in maescan's sources: pip install .")
    package = (error.name or "").partition(".")[0]
    for extra, packages in EXTRAS.items():
        if package in packages.split():
            return ConfigError(f"{why} needs {package}", remedy=f"pip install 'maescan[{extra}]'")
    if package in CORE.split():
        return ConfigError(f"this installation of maescan lacks {package}", remedy="pip install maescan")
    return None


SCARCE = {
    "memory": ("Cannot allocate memory", "failed to map segment", "bad_alloc", "bad allocation"),
    "threads and processes": ("can't start new thread", "Resource temporarily unavailable"),
    "open files": ("Too many open files",),
}
"""What a process may not have more of, and how the system and libraries say so."""


def limited(error: Exception) -> MaescanError | None:
    """What is said where the system gives a process no more of something: nobody's fault, and no file's. None for any
    other error."""
    text = "Cannot allocate memory" if isinstance(error, MemoryError) else str(error)
    for what, words in SCARCE.items():
        if any(word in text for word in words):
            remedy = "see this shell's limits with `ulimit -a`; raise that one, or free some"
            return MaescanError(f"the system gives no more {what}", remedy=remedy)
    return None


FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says of a file system, or a share of it, that is full."""


def unwritten(error: OSError, path: str | os.PathLike[str]) -> str:
    """What helps where the system writes no more at `path`."""
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "use another --out or change permissions"
    if error.errno not in FULL:
        return "free space, check its permissions, or use another --out"
    return f"free {short_of(path)}; then run again, or use another --out"


def unread(error: OSError, path: str | os.PathLike[str], otherwise: str) -> str:
    """What helps where `path` cannot be read: who lacks the permission need not make it anew, or take it away."""
    return f"see who may: namei -l {typed(path)}" if error.errno in (errno.EACCES, errno.EPERM) else otherwise


def short_of(path: str | os.PathLike[str]) -> str:
    """What the file system of `path` lacks where it is full: space, or files, of which `df -h` shows nothing."""
    folder = next(place for place in (Path(path), *Path(path).absolute().parents) if place.exists())
    with contextlib.suppress(OSError):
        room = os.statvfs(folder)
        if room.f_files and not room.f_favail:
            return f"files: it can hold no more of them, see df -i {typed(folder)}"
    return "space"


def refused(error: Exception) -> MaescanError | None:
    """What the system says of a path that it does not take: no permission, a name too long, a disk that fails; and
    where it gives no more of something. None for any other error, and for what is not there: of that maescan should
    have spoken itself."""
    if scarce := limited(error):
        return scarce
    if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
        return MaescanError(f"cannot write: {error.strerror}", remedy="see which disk is full: df -h, and df -i")
    if not isinstance(error, OSError) or isinstance(error, FileNotFoundError | FileExistsError):
        return None
    if not isinstance(error.filename, str) or error.errno is None:
        return None
    known = {
        errno.EACCES: f"see who may: namei -l {typed(error.filename)}",
        errno.ENAMETOOLONG: "give a shorter name",
        **dict.fromkeys(FULL, unwritten(error, error.filename)),
    }
    return MaescanError(
        f"cannot be used: {error.strerror}", path=error.filename, remedy=known.get(error.errno, "check the path")
    )


Kind = TypeVar("Kind")


def given(kind: type[Kind], value: object, name: str) -> Kind:
    """`value`, which is a `kind`. Raises ConfigError for anything else."""
    if isinstance(value, kind):
        return value
    made = f"maescan.{kind.__name__}"
    raise ConfigError(f"{name} cannot be {str(value)[:80]!r}, a {type(value).__name__}", remedy=f"give a {made}")


def given_path(value: object, name: str = "a path") -> Path:
    """A path as a caller gives it. Raises ConfigError for what is none, and for an empty text: as a variable that is
    not set, which would name the current folder."""
    if isinstance(value, str | os.PathLike) and isinstance(text := os.fspath(value), str) and text:
        return Path(text)
    raise ConfigError(f"{name} cannot be {str(value)[:80]!r}, a {type(value).__name__}", remedy="give a path")


def given_paths(value: object, name: str = "a path") -> list[Path]:
    """One path or several; raises as `given_path`."""
    several = value if isinstance(value, Iterable) and not isinstance(value, str | bytes) else [value]
    return [given_path(item, name) for item in several]


class ScanError(MaescanError):
    """A scan that cannot be read, or must not be scored."""


class NoScanError(ScanError):
    """What can be read and is no scan of a patient, such as a label map: it is passed over, which is no failure.
    why: as `scans.source.PassedOver` has it."""

    why: Literal["labels", "picture"] = "labels"


class PictureError(NoScanError):
    """Images that show no volume of anatomy: localizers, projections, screenshots, one place many times."""

    why = "picture"


class DataError(MaescanError):
    """A data set that lacks what the step needs."""


class TrainingError(MaescanError):
    """Training that cannot go on."""


class BundleError(MaescanError):
    """A bundle that is damaged, of another version, or whose engine drifts."""


class EngineError(MaescanError):
    """An engine that cannot run here."""


class DeviceLostError(EngineError):
    """A GPU that takes no more work of this process, whichever scan it is of; a new process may go on."""
