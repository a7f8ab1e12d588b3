"""Signatures of bundles: Ed25519 over manifest.json, which has the hash of every file. As `minisign` makes and checks
them: the same keys, the same manifest.json.minisig.

MAESCAN_TRUSTED_KEYS names public keys (files, folders of .pub files, or keys themselves, with : between): where it is
set, a bundle that none of them signed is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from maescan.content import read_content, read_text
from maescan.errors import BundleError, ConfigError, require, unread

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ed25519

TRUSTED_KEYS = "MAESCAN_TRUSTED_KEYS"
SIGNATURE = "manifest.json.minisig"
PLAIN, PREHASHED = b"Ed", b"ED"
SCRYPT, NO_PASSWORD, BLAKE2 = b"Sc", b"\0\0", b"B2"
SIGN_ANEW = "maescan sign BUNDLE --key SECRET_KEY"
GIVE_KEY = "give a public key that `minisign -G` made: its file, its line, or a folder of such files"
MOST_MEMORY = 2**31 - 1
Entry = tuple[bytes, bytes]


@dataclass(frozen=True)
class PublicKey:
    """number: the 8 bytes by which signatures name it; key: 32 bytes."""

    number: bytes
    key: bytes

    @classmethod
    def parse(cls, text: str, path: Path | None = None) -> PublicKey:
        """From a line of base64, or a file of minisign's with a comment above it. Raises ConfigError."""
        raw = _decoded(_lines(text)[-1])
        if len(raw) != 42 or raw[:2] != PLAIN:
            remedy = "give a public key that `minisign -G` made, its file or its line"
            raise ConfigError("is no public key of minisign", path=path, remedy=remedy)
        return cls(raw[2:10], raw[10:])

    @property
    def name(self) -> str:
        """As minisign writes it."""
        return _name(self.number)


@dataclass(frozen=True)
class Signature:
    """What a .minisig file holds. prehashed: `signature` is of the content's hash, not (`minisign -S -l`, older ones)
    of the content; comment: the trusted one, which `whole` signs along with `signature`."""

    prehashed: bool
    number: bytes
    signature: bytes
    comment: str
    whole: bytes

    @classmethod
    def parse(cls, text: str, path: Path) -> Signature:
        """Raises BundleError."""
        lines = _lines(text)
        raw, whole = (_decoded(lines[at]) if len(lines) == 4 else b"" for at in (1, 3))
        trusted = "trusted comment: "
        known = raw[:2] in (PLAIN, PREHASHED)
        if not known or (len(raw), len(whole)) != (74, 64) or not lines[2].startswith(trusted):
            raise BundleError("is no signature of minisign", path=path, remedy=SIGN_ANEW)
        return cls(raw[:2] == PREHASHED, raw[2:10], raw[10:], lines[2].removeprefix(trusted), whole)

    @property
    def name(self) -> str:
        """Of the key that it names, as minisign writes it."""
        return _name(self.number)


def check_trusted(path: Path, manifest: bytes) -> None:
    """Raises BundleError where MAESCAN_TRUSTED_KEYS is set and none of its keys signed these bytes of a bundle's
    manifest.json; ConfigError for keys that are none."""
    if given := os.environ.get(TRUSTED_KEYS, ""):
        check_signature(path, manifest, public_keys(given))


def signature_told(path: Path, manifest: bytes, key: str | None) -> str:
    """Who signed these bytes of a bundle's manifest.json by the public keys of `key`, or of MAESCAN_TRUSTED_KEYS; ""
    where neither is given. Raises BundleError."""
    given = os.environ.get(TRUSTED_KEYS, "") if key is None else key
    asked = TRUSTED_KEYS if key is None else "--key"
    return check_signature(path, manifest, public_keys(given), asked).name if given or key is not None else ""


def claimed(path: Path) -> str:
    """What a bundle's signature is where no key is given that could tell."""
    file = path / SIGNATURE
    try:
        name = Signature.parse(read_text(file, "replace"), file).name
    except FileNotFoundError:
        return "none"
    except (OSError, BundleError):
        return "not checked, and none of minisign's"
    return f"not checked: it names the key {name}, which neither --key nor {TRUSTED_KEYS} gives"


def check_signature(path: Path, manifest: bytes, keys: list[PublicKey], asked: str = TRUSTED_KEYS) -> PublicKey:
    """The key of `keys` that signed these bytes of a bundle's manifest.json. asked: where the keys were given. Raises
    BundleError."""
    file = path / SIGNATURE
    try:
        signature = Signature.parse(read_text(file, "replace"), file)
    except OSError as error:
        reason = "is not signed" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        remedy = unread(error, file, f"only signed bundles are trusted here: {SIGN_ANEW}")
        raise BundleError(reason, path=file, remedy=remedy) from error
    key = next((key for key in keys if key.number == signature.number), None)
    if key is None:
        reason = f"is signed by {signature.name}, which is not trusted here"
        raise BundleError(reason, path=file, remedy=f"add its key to {asked} if you know whose it is")
    signed = (
        (signature.signature, _hash(manifest) if signature.prehashed else manifest),
        (signature.whole, signature.signature + signature.comment.encode()),
    )
    if not all(_is_signed(key, *entry) for entry in signed):
        raise BundleError("is not the signature of this manifest", path=file, remedy=SIGN_ANEW)
    return key


def _line(part: str, path: Path) -> PublicKey:
    """A key that was typed itself. Raises ConfigError."""
    try:
        return PublicKey.parse(part, path)
    except ConfigError as error:
        raise ConfigError("is neither there nor a public key of minisign", path=path, remedy=GIVE_KEY) from error


def public_keys(given: str) -> list[PublicKey]:
    """The keys of MAESCAN_TRUSTED_KEYS, or of --key. Raises ConfigError: none there, or one that is none."""
    keys: list[PublicKey] = []
    for part in filter(None, given.split(os.pathsep)):
        path = Path(part)
        try:
            files = sorted(path.glob("*.pub")) if path.is_dir() else [path] if path.is_file() else []
            texts = [(read_text(file), file) for file in files]
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"cannot be read: {error}", path=path, remedy="give a public key of minisign"
            ) from error
        if path.is_dir() and not files:
            raise ConfigError("holds no .pub files", path=path, remedy=GIVE_KEY)
        keys += [PublicKey.parse(text, file) for text, file in texts] or [_line(part, path)]
    return keys


def sign(path: Path, key: Path, password: str | None = None) -> Path:
    """Signs a bundle's manifest.json with a secret key of minisign and returns the file of the signature. Nobody
    changes the bundle meanwhile.

    Raises ConfigError for what is no such key, a wrong password, or none where one is needed."""
    from maescan.files import write_text
    from maescan.folders import changing

    number, secret = _secret_key(key, password)
    comment = f"timestamp:{int(time.time())}\tfile:manifest.json\thashed"
    with changing(path):
        signature = secret.sign(_hash(read_content(path / "manifest.json")))
        lines = (
            "untrusted comment: signature of a maescan bundle",
            base64.b64encode(PREHASHED + number + signature).decode(),
            f"trusted comment: {comment}",
            base64.b64encode(secret.sign(signature + comment.encode())).decode(),
        )
        write_text(path / SIGNATURE, "".join(f"{line}\n" for line in lines))
        (path / SIGNATURE).chmod(0o644)
    return path / SIGNATURE


def needs_password(key: Path) -> bool:
    """Whether a secret key is encrypted. Raises ConfigError for what is no secret key."""
    return _read_secret(key)[2:4] == SCRYPT


def _secret_key(file: Path, password: str | None) -> tuple[bytes, ed25519.Ed25519PrivateKey]:
    """(number, key) of a secret key's file."""
    require("cryptography", "signing")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    raw = _read_secret(file)
    salt, limits, body = raw[6:38], (raw[38:46], raw[46:54]), raw[54:]
    if raw[2:4] == SCRYPT:
        if password is None:
            raise ConfigError(
                "the key has a password", path=file, remedy="set MAESCAN_KEY_PASSWORD, or type it on a terminal"
            )
        ops, memory = (int.from_bytes(limit, "little") for limit in limits)
        body = bytes(a ^ b for a, b in zip(body, _stream(password, salt, ops, memory), strict=True))
    number, seed, public, checksum = body[:8], body[8:40], body[40:72], body[72:]
    expected = hashlib.blake2b(raw[:2] + number + seed + public, digest_size=32).digest()
    if checksum != expected and not (raw[2:4] == NO_PASSWORD and checksum == bytes(32)):  # minisign -W leaves it out
        raise ConfigError("the password is wrong, or the key damaged", path=file, remedy="type the key's password")
    return number, Ed25519PrivateKey.from_private_bytes(seed)


def _read_secret(file: Path) -> bytes:
    try:
        raw = _decoded(_lines(read_text(file, "replace"))[-1])
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=file, remedy="give a secret key") from error
    if len(raw) != 158 or raw[:2] != PLAIN or raw[2:4] not in (SCRYPT, NO_PASSWORD) or raw[4:6] != BLAKE2:
        remedy = "give a secret key that `minisign -G` made"
        raise ConfigError("is no secret key of minisign", path=file, remedy=remedy)
    return raw


def _stream(password: str, salt: bytes, ops: int, memory: int) -> bytes:
    """scrypt's, with N and p as libsodium takes them from its two limits. Raises ConfigError for absurd ones."""
    ops, r = max(ops, 32768), 8
    by_ops = ops < memory // 32
    most = ops // (r * 4) if by_ops else memory // (r * 128)
    log_n = max(1, (most // 2).bit_length())
    p = 1 if by_ops else max(1, min(ops // 4 // 2**log_n, 0x3FFFFFFF) // r)
    try:
        return hashlib.scrypt(password.encode(), salt=salt, n=2**log_n, r=r, p=p, maxmem=MOST_MEMORY, dklen=104)
    except (ValueError, MemoryError, OverflowError) as error:
        raise ConfigError(f"the key's scrypt cannot be computed: {error}", remedy="make a key anew") from error


def _is_signed(key: PublicKey, signature: bytes, content: bytes) -> bool:
    require("cryptography", "checking a signature")
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key.key).verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _name(number: bytes) -> str:
    return number[::-1].hex().upper()


def _hash(content: bytes) -> bytes:
    return hashlib.blake2b(content).digest()


def _lines(text: str) -> list[str]:
    return [line.rstrip("\r") for line in text.strip("\r\n ").split("\n")]


def _decoded(line: str) -> bytes:
    try:
        return base64.b64decode(line.encode(), validate=True)
    except (binascii.Error, ValueError):
        return b""
