"""`maescan pull`: a bundle from a web address or the Hugging Face hub, whole, with every hash checked."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import ssl
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit, urlunsplit

from maescan import progress
from maescan.engines.bundle import Bundle, share
from maescan.engines.card import write_card
from maescan.engines.signing import SIGNATURE
from maescan.errors import BundleError, ConfigError, DataError, MaescanError
from maescan.records import Record, read
from maescan.scans.scratch import folder_beside

ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar")
HUB = "https://huggingface.co"
MOST, CHUNK, TIMEOUT_S = 20 << 30, 1 << 20, 60.0
"""Bytes that a bundle may have, bytes at a time, and seconds without an answer."""
PLAIN = "%/:?#[]@!$&'()*+,;=~"
"""What an address may hold beside letters and digits: all else is typed as it reads and sent as %XX."""
SPOILT = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError)
"""What the archives of Python raise for those that are damaged, encrypted or packed in ways that it does not know."""


class Listed(Record, frozen=True):
    """What of a manifest is needed to fetch the rest; what it is worth is known when all is there."""

    files: dict[str, str]


def pull(address: str, out: Path, sha256: str | None = None) -> tuple[Path, str]:
    """Fetches a bundle into `out`, which appears whole or not at all; returns it and the hash that `sha256` is
    compared with: of the archive, or of the manifest, which holds the hash of every other file.

    address: https://HOST/BUNDLE.zip (or .tar.gz), https://HOST/BUNDLE/ where manifest.json lies below, or
    hf://ORG/NAME[@REVISION]. Plain http only with `sha256`. Raises ConfigError for any other address, DataError where
    `out` exists or nothing can be fetched, BundleError for another hash or a bundle that is not whole.
    """
    if out.exists():
        raise DataError("exists already", path=out, remedy="name a new folder")
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ConfigError(f"--sha256 {sha256} is no hash", remedy="give its 64 hexadecimal digits")
    url = web_address(address, sha256)
    with folder_beside(out) as folder, _without_query():
        made = folder / "bundle"
        if urlsplit(url).path.endswith(ARCHIVES):
            found = _archive(url, folder, made, sha256)
        else:
            found = _files(url.rstrip("/"), made, sha256)
        _check(made, address)
        share(made)
        made.rename(out)
    return out, found


@contextlib.contextmanager
def _without_query() -> Iterator[None]:
    """Errors name addresses without what follows the ?, which may be what opens them."""
    try:
        yield
    except MaescanError as error:
        if isinstance(error.path, str):
            error.path = error.path.partition("?")[0]
        raise


def _check(made: Path, address: str) -> None:
    """Raises BundleError that names what was typed, and a file by its place in the bundle: where it was fetched to is
    gone when somebody reads that. README.md is written by the manifest."""
    try:
        write_card(made, Bundle.load(made).known)  # no hash covers a card that was fetched
    except BundleError as error:
        place = os.path.relpath(error.path or made, made)
        own = place in (".", "manifest.json", SIGNATURE)
        remedy = error.remedy if own else "fetch it again; where it stays so, tell who made it"
        raise BundleError(f"{'' if place == '.' else place}: {error.reason}", path=address, remedy=remedy) from error


def web_address(address: str, sha256: str | None) -> str:
    """What is fetched for what was typed. Raises ConfigError for what is no address."""
    if address.startswith("hf://"):
        name, _, revision = address.removeprefix("hf://").strip("/").partition("@")
        if name.count("/") != 1:
            raise ConfigError(
                f"'{address}' names no repository", remedy="write hf://ORG/NAME or hf://ORG/NAME@REVISION"
            )
        return f"{HUB}/{quote(name)}/resolve/{quote(revision or 'main', safe='')}"
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        said = address.partition("?")[0].rpartition("@")[2]
        raise ConfigError(f"'{said}' is no address", remedy="give https://HOST/BUNDLE.zip or hf://ORG/NAME")
    if "@" in parts.netloc:
        remedy = "leave them out; what is private, fetch with its owner's tools"
        raise ConfigError("the address holds a name or a password, which are not sent", remedy=remedy)
    if parts.query and not parts.path.endswith(ARCHIVES):
        raise ConfigError(
            f"{address.partition('?')[0]} is no archive: of a folder nothing follows a ?",
            remedy=f"leave the ? out, or give the address of a file that ends in {', '.join(ARCHIVES)}",
        )
    if parts.scheme == "http" and not sha256:
        reason = f"{address.partition('?')[0]} can be changed on its way"
        raise ConfigError(reason, remedy="use https, or add --sha256")
    return urlunsplit(parts._replace(path=quote(parts.path, safe=PLAIN), query=quote(parts.query, safe=PLAIN)))


def _archive(url: str, folder: Path, made: Path, sha256: str | None) -> str:
    file = folder / f"archive{next(end for end in ARCHIVES if urlsplit(url).path.endswith(end))}"
    found = _fetch(url, file)
    _compare(found, sha256, url)
    try:
        with zipfile.ZipFile(file) if file.suffix == ".zip" else tarfile.open(file) as archive:
            _unpack(archive, folder / "unpacked", url).rename(made)
    except SPOILT as error:
        raise BundleError(f"cannot be unpacked: {error}", path=url, remedy="check the address") from error
    return found


def _unpack(archive: zipfile.ZipFile | tarfile.TarFile, into: Path, url: str) -> Path:
    """The bundle alone, from the archive's top or its only folder; returns where its manifest.json is. What else is
    packed there, which no hash covers, stays there."""
    if isinstance(archive, tarfile.TarFile):
        archive.extraction_filter = tarfile.data_filter
        members = [(member.name, member.size) for member in archive]
    else:
        members = [(member.filename, member.file_size) for member in archive.infolist()]
    _check_names(url, members)
    names = {PurePosixPath(name): name for name, _ in members}
    tops = sorted((name.parent for name in names if name.name == "manifest.json"), key=lambda top: len(top.parts))
    if not tops or len(tops[0].parts) > 1:
        raise BundleError("holds no manifest.json", path=url, remedy="check the address")
    archive.extract(names[tops[0] / "manifest.json"], into)
    listed = (name for name, _ in _listed(into / tops[0] / "manifest.json", url))
    wanted = {tops[0] / name for name in (SIGNATURE, *listed)}
    for path, name in names.items():  # as they lie there: each step back unpacks all from the beginning
        if path in wanted:
            archive.extract(name, into)
    return into / tops[0]


def _check_names(url: str, members: list[tuple[str, int]]) -> None:
    """Nothing outside the folder, and not more than a bundle may have."""
    for name, _ in members:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise BundleError(f"has a file outside of it: {name}", path=url, remedy="do not use it")
    if sum(size for _, size in members) > MOST:
        raise BundleError(f"is larger than {MOST >> 30} GB unpacked", path=url, remedy="do not use it")


def _files(url: str, made: Path, sha256: str | None) -> str:
    """manifest.json first, then what it lists."""
    made.mkdir()
    found = _fetch(f"{url}/manifest.json", made / "manifest.json")
    _compare(found, sha256, f"{url}/manifest.json")
    for done, (name, count) in enumerate(_listed(made / "manifest.json", url)):
        progress.tell(done, count, name)
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        _fetch(f"{url}/{quote(name)}", made / name)
    _fetch(f"{url}/{SIGNATURE}", made / SIGNATURE, missing=True)
    return found


def _listed(manifest: Path, url: str) -> Iterator[tuple[str, int]]:
    try:
        names = sorted(read(Listed, manifest, remedy="check the address", error=BundleError).files)
    except BundleError as error:
        reason = f"is no manifest: {error.reason}"
        raise BundleError(reason, path=f"{url}/manifest.json", remedy=error.remedy) from error
    _check_names(url, [(name, 0) for name in names])
    if odd := [name for name in names if not name.isprintable()]:
        raise BundleError(f"lists {odd[0]!r}, which is no file's name", path=url, remedy="do not use it")
    return ((name, len(names)) for name in names)


class _Https(urllib.request.HTTPRedirectHandler):
    """Follows no hop from https to an address without it, wherever the next one leads, nor one to no address."""

    def http_error_302(self, request, stream, code, message, headers):  # type: ignore[no-untyped-def]
        """Raises BundleError."""
        try:
            return super().http_error_302(request, stream, code, message, headers)
        except ValueError as error:
            stream.close()
            reason = f"leads to what is no address: {error}"
            raise BundleError(reason, path=request.full_url, remedy="use another address") from error

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(self, request, stream, code, message, headers, url):  # type: ignore[no-untyped-def]
        """Raises BundleError."""
        before = request.full_url
        if urlsplit(before).scheme == "https" and urlsplit(url).scheme != "https":
            raise BundleError("leads to an address without https", path=before, remedy="use another address")
        return super().redirect_request(request, stream, code, message, headers, url)


def _fetch(url: str, file: Path, *, missing: bool = False) -> str:
    """The SHA-256 of what is now in `file`; "" where it is `missing` there and may be."""
    digest, size = hashlib.sha256(), 0
    request = urllib.request.Request(url, headers={"User-Agent": "maescan"})
    opener = urllib.request.build_opener(_Https)
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            if answer.headers.get_content_type() == "text/html":
                if missing:
                    return ""
                remedy = "check the address; a browser shows whether somebody has to log in"
                raise BundleError("is a web page, no file of a bundle", path=url, remedy=remedy)
            with open(file, "wb") as stream:
                while part := answer.read(CHUNK):
                    size += len(part)
                    if size > MOST:
                        raise BundleError(f"is larger than {MOST >> 30} GB", path=url, remedy="check the address")
                    digest.update(part)
                    stream.write(part)
            whole = answer.headers.get("Content-Length", "")
            if whole.isdecimal() and size < int(whole):
                raise ConnectionError(f"broken off after {size} of {whole} bytes")
    except urllib.error.HTTPError as error:
        if missing and error.code in (403, 404, 410):
            return ""
        raise DataError(f"cannot be fetched: {error.code} {error.reason}", path=url, remedy=_remedy(error)) from error
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise DataError(f"cannot be fetched: {reason}", path=url, remedy=_remedy(error)) from error
    return digest.hexdigest()


def _remedy(error: Exception) -> str:
    """What to do where nothing, or not all, was fetched."""
    if isinstance(error, urllib.error.HTTPError):
        if error.code >= 500:
            return "the server is at fault: try again later"
        private = "it is private, or not there: check the address, or fetch it with its owner's tools"
        return private if error.code in (401, 403) else "check the address"
    if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
        return "where your network has an authority of its own, set SSL_CERT_FILE to its certificate"
    return "check the address and the network, then run it again"


def _compare(found: str, sha256: str | None, url: str) -> None:
    if sha256 is not None and found != sha256.lower():
        raise BundleError(
            f"has the hash {found}, not {sha256}", path=url, remedy="ask who made it for the right hash"
        )
