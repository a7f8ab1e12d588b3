"""What scans are called in all that is written and told: their labels, or pseudonyms that only a key makes.

A pseudonym is HMAC-SHA256 of the label. Of an error's text what maescan itself says is told, and nothing else: a
library's words, and names of files, may be a patient's.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import hashlib
import hmac
import os
import re
import secrets
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from maescan.content import may_be_there, opened
from maescan.errors import ConfigError, MaescanError, typed

if TYPE_CHECKING:
    from maescan.results.rows import Failure
    from maescan.scans.find import Found

KEY_BYTES = 32
"""Characters that a key has at least: 128 bits as hexadecimal digits."""
KEY_MOST = 1024
"""Bytes that a key has at most: what is larger is somebody's scan or table, which others have too."""
DIGITS = 16
"""Hexadecimal digits of a pseudonym; 64 bits: two of a million scans share one with a chance of one in 30 million."""
QUOTED = re.compile(r"""(?<!\w)b?(['"])(?:\\.|.)*?(?:\1(?!\w)|\Z)|\d+(?:[./-]\d+){2,}|\b\d{7,}\b""", re.DOTALL)
"""What is quoted (`errors.quoted`, a repr of text or bytes, also one that was cut off), identifiers, dates, long
numbers."""
FIRST = re.compile(r"[a-z]+\b")
"""The word that a text of maescan's own begins with."""
OURS = re.compile(f"p?[0-9a-f]{{{DIGITS}}}")
"""A pseudonym, and the mark of a key."""
COMMON = frozenset(
    ["a", "an", "and", "as", "at", "by", "for", "in", "is", "it", "no", "not", "of", "on", "or", "the", "to", "with"]
)
"""Words that are told though a folder is called so."""
WORD = re.compile(r"(?<!\w)--[a-z]+|\w+")
"""A word, or an option's name, as remedies have it."""
HIDDEN = "*"
REMEMBERED = 100_000
"""Paths of which the hash is kept, to look whether they are still there."""


class Names:
    """Scans are called by their labels."""

    kind = "scores"
    """Of the output folder, see `files.claim`."""
    known = True

    def label(self, text: str) -> str:
        """What stands for a label."""
        return text

    def code(self, text: str) -> str:
        """What stands for a hash of what a scan is; none for none."""
        return text

    def place(self, text: str) -> str:
        """What stands for a place of `ledger.place_of`; what lies in another place still does."""
        return text

    def there(self, places: Sequence[str]) -> list[bool]:
        """Of each place whether it still exists."""
        return [may_be_there(place.split("\0", maxsplit=1)[0]) for place in places]

    def told(self, text: str, *_around: object) -> str:
        """What may be told of a text. _around: what names the scan."""
        return text

    def failure(self, failure: Failure, *_around: object) -> Failure:
        """What may be told of a failure."""
        return failure

    def found(self, found: Found) -> Found:
        """What may be told of what was passed over."""
        return found

    def own(self, path: Path, /) -> str:
        """What may be written of a path that is no scan's."""
        return str(path)


PLAIN = Names()


@dataclass(frozen=True)
class Pseudonyms(Names):
    """Scans are called by a keyed hash of their labels. mark: tells keys apart; path: the key's file. Without a key:
    those of another run."""

    mark: str
    key: bytes = field(default=b"", repr=False)
    path: Path | None = field(default=None, repr=False)
    _places: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, path: Path) -> Pseudonyms:
        """Those of a key's file, which is made where there is none. Raises ConfigError for one that others may read,
        that is too short or too long, or that cannot be read."""
        key = _read(path)
        return cls(_hash(key, "maescan pseudonyms"), key, path)

    @property
    def kind(self) -> str:  # type: ignore[override]
        """See `Names`."""
        return f"scores under pseudonyms of the key {self.mark}"

    @property
    def known(self) -> bool:  # type: ignore[override]
        """Whether the key is at hand."""
        return bool(self.key)

    def label(self, text: str) -> str:
        """See `Names`. It begins with a letter: no spreadsheet takes it for a number."""
        return f"p{_hash(self.key, text)}"

    def code(self, text: str) -> str:
        """See `Names`."""
        return _hash(self.key, text) if text else ""

    def place(self, text: str) -> str:
        """See `Names`: every part of a path is hashed along with those above it."""
        path, *members = text.split("\0")
        above = ""
        if len(self._places) > REMEMBERED:
            self._places.clear()
        for count, part in enumerate(parts := Path(path).parts[1:], 1):
            above = self._place(above, f"/{'/'.join(parts[:count])}") if part else above
        return "\0".join([above, *map(self.code, members)])

    def _place(self, above: str, path: str) -> str:
        hashed = f"{above}/{_hash(self.key, path)}" if above else _hash(self.key, path)
        self._places[hashed] = path
        return hashed

    def there(self, places: Sequence[str]) -> list[bool]:
        """See `Names`; looked for from the top down. Without a key nobody knows, and they are taken to be."""
        listed = set[str]()
        return [not self.key or may_be_there(self._path(each.split("\0", maxsplit=1)[0], listed)) for each in places]

    def _path(self, place: str, listed: set[str]) -> str:
        """The path of a place; "" where there is none. listed: folders that were looked into."""
        above, _, _ = place.rpartition("/")
        if place not in self._places and self.key and above not in listed:
            folder = self._path(above, listed) if above else "/"
            try:
                for path in Path(folder).iterdir() if folder else ():
                    self._place(above, str(path))
            except OSError:  # whether it is gone, or nobody knows, is told by what is in it
                return f"{folder}/."
            listed.add(above)
        return self._places.get(place, "")

    def told(self, text: str, *around: object) -> str:
        """See `Names`: maescan's own words and numbers, but for those that are in names of the scan. The first one is
        told though: it is no name, which would be quoted."""
        taken = {word.casefold() for name in around for word in _words(str(name)) if len(word) > 1}
        words, text = vocabulary(), QUOTED.sub(HIDDEN, text)
        first = FIRST.match(text)
        start = first[0] if first and first[0] in words else ""

        def shown(word: str) -> bool:
            low = word.casefold()
            if word.startswith("--"):
                return word[2:] in words
            known = low in COMMON or (low not in taken and (word.isdecimal() or low in words))
            return known or OURS.fullmatch(word) is not None

        rest = text[len(start) :]
        return start + WORD.sub(lambda match: match[0] if shown(match[0]) else HIDDEN, rest)

    def failure(self, failure: Failure, *around: object) -> Failure:
        """See `Names`."""
        names = (*around, failure.file)
        reason, remedy = (self.told(text, *names) for text in (failure.reason, failure.remedy))
        return failure._replace(reason=reason, remedy=remedy, file="")

    def found(self, found: Found) -> Found:
        """See `Names`."""
        passed = [
            replace(item, name=self.label(item.name), reason=self.told(item.reason, item.name, item.path))
            for item in found.passed_over
        ]
        return replace(found, passed_over=passed)

    def own(self, _path: Path, /) -> str:
        """See `Names`: none, folders may be named for patients too."""
        return ""


def names_of(pseudonyms: Pseudonyms | None) -> Names:
    """Those that were asked for."""
    return pseudonyms or PLAIN


@contextlib.contextmanager
def kept_in(names: Names, own: Sequence[Path], *around: object) -> Iterator[None]:
    """What ends a run is told as `names` tell it; paths in `own`, output folder first, stay. around: what was given.

    Raises ConfigError for a key in the output folder."""
    if names is PLAIN:
        yield
        return
    try:
        key = names.path if isinstance(names, Pseudonyms) else None
        if key and Path(os.path.realpath(key)).is_relative_to(os.path.realpath(own[0])):
            raise _within(own[0])
        yield
    except MaescanError as error:
        inside = _lies_in(error.path, own) and not _lies_in(error.path, around)
        hidden = () if inside else (error.path, error.file)
        reason, remedy = (names.told(text or "", *around, *hidden) for text in (error.reason, error.remedy))
        raise type(error)(reason, path=error.path if inside else None, remedy=remedy or None) from None
    except Exception as error:
        raise RuntimeError(type(error).__name__ + names.told(f": {error}", *around)) from None


def _within(out: Path) -> ConfigError:
    return ConfigError("the key lies inside the output folder", path=out, remedy="keep it away from OUT's readers")


def _lies_in(path: str | os.PathLike[str] | None, folders: Sequence[object]) -> bool:
    return path is not None and any(Path(path).is_relative_to(each) for each in folders if isinstance(each, Path))


def _hash(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:DIGITS]


def _words(text: str) -> list[str]:
    return [part for word in re.findall(r"\w+", text) for part in {word, *word.split("_")} if part]


@cache
def vocabulary() -> frozenset[str]:
    """The words that maescan says: all of its source, of the system's errors, names of signals and exceptions."""
    package = Path(os.path.realpath(__file__)).parents[1]
    texts: list[str] = [file.read_text(encoding="utf-8") for file in package.rglob("*.py")]
    texts += [os.strerror(number) for number in errno.errorcode]
    texts += [*errno.errorcode.values(), *(each.name for each in signal.Signals), *dir(builtins)]
    return frozenset(word.casefold() for text in texts for word in re.findall(r"\w+", text))


def _make_key(path: Path) -> None:
    """Raises FileExistsError where something is there, and ConfigError where the disk refuses: then nothing is."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(handle, "wb") as made:
                made.write(f"{secrets.token_hex(KEY_BYTES)}\n".encode())
                made.flush()
                os.fsync(handle)
        except BaseException:  # half a key would be refused by the next run, and by whoever asks it for a name
            path.unlink()
            raise
    except FileExistsError:
        raise
    except OSError as error:
        gone = ("its folder is not there", "make that folder")
        why, do = (error.strerror, "see to its disk and folder") if path.parent.exists() else gone
        do += ", or name a KEYFILE elsewhere; not below OUT, whose readers it would tell names"
        raise ConfigError(f"no key can be made: {why}", path=path, remedy=do) from error


def _read(path: Path) -> bytes:
    from maescan.files import OUTPUT, check_outside

    check_outside(path, "keep it where nobody else comes")
    try:
        outputs = [folder for folder in Path(os.path.realpath(path)).parents if (folder / OUTPUT).is_dir()]
        if outputs and not path.exists():  # it is said before a key lies there
            raise _within(outputs[0])
        with contextlib.suppress(FileExistsError):
            _make_key(path)
        with opened(path) as stream:
            found, content = os.fstat(stream.fileno()), stream.read(KEY_MOST + 1)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=path, remedy="check --pseudonyms") from error
    remedy = "name a file that is not there yet, and one is made"
    if len(content) > KEY_MOST:  # before a word of its permissions: it is not to be changed
        raise ConfigError(f"is no key: over {KEY_MOST} bytes", path=path, remedy=remedy)
    if found.st_mode & 0o077:
        raise ConfigError("a key that others may read keeps no secret", path=path, remedy=f"chmod 600 {typed(path)}")
    key = content.strip()
    if len(key) < KEY_BYTES:
        raise ConfigError(f"is too short for a key: under {KEY_BYTES} characters", path=path, remedy=remedy)
    return key
