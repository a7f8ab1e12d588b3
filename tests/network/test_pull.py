"""A bundle over the network: from a server of its own, with the system's TLS."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import shutil
import ssl
import stat
import subprocess
import tarfile
import threading
import urllib.request
import zipfile

import pytest

from maescan.cli.demo import unpack
from maescan.engines.bundle import Bundle
from maescan.errors import BundleError, ConfigError, DataError, MaescanError
from maescan.network.pull import _Https, pull, web_address


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return unpack(tmp_path_factory.mktemp("made") / "bundle")


@pytest.fixture
def served(tmp_path, bundle, monkeypatch):
    """The address of a folder that a server with a certificate of its own gives out, and the folder."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    root, key, certificate = tmp_path / "root", tmp_path / "key.pem", tmp_path / "certificate.pem"
    shutil.copytree(bundle, root / "bundle")
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-keyout",
        key,
        "-out",
        certificate,
    ]
    subprocess.run([*made, *names], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(root)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://localhost:{server.server_port}", root
    server.shutdown()
    server.server_close()
    thread.join()


def packed(root, name="bundle.zip"):
    with zipfile.ZipFile(root / name, "w") as archive:
        for file in sorted((root / "bundle").rglob("*")):
            archive.write(file, file.relative_to(root))
    return hashlib.sha256((root / name).read_bytes()).hexdigest()


@pytest.mark.slow
def test_a_folder_comes_by_its_manifest(served, bundle, tmp_path):
    address, root = served
    (root / "bundle" / "README.md").write_text("of a million patients")  # what no hash covers is not believed
    out, found = pull(f"{address}/bundle/", tmp_path / "out")
    assert Bundle.load(out).hash == found == Bundle.load(bundle).hash
    assert (out / "README.md").read_bytes() == (bundle / "README.md").read_bytes()
    assert pull(f"{address}/bundle", tmp_path / "again", found)[1] == found


@pytest.mark.slow
def test_an_archive_comes_by_its_own_hash(served, tmp_path):
    address, root = served
    hash_ = packed(root)
    assert pull(f"{address}/bundle.zip", tmp_path / "out", hash_) == (tmp_path / "out", hash_)
    shutil.make_archive(str(root / "other"), "gztar", root / "bundle")
    assert Bundle.load(pull(f"{address}/other.tar.gz", tmp_path / "tar")[0])


@pytest.mark.parametrize("end", ["zip", "tar"])
def test_of_an_archive_the_bundle_alone_is_taken(served, tmp_path, end):
    """What a manifest does not list is in no hash: it could be anything, of any size. Whatever permissions it was
    packed with, and whatever the umask, a bundle is open to all."""
    address, root = served
    listed = {str(path.relative_to(root / "bundle")) for path in (root / "bundle").rglob("*") if path.is_file()}
    (root / "bundle" / "run.sh").write_text("echo")
    (root / "bundle" / "other").mkdir()
    (root / "bundle" / "other" / "manifest.json").write_text("{}")
    (root / "bundle" / "mae.safetensors").chmod(0o600)
    shutil.make_archive(str(root / "more"), end, root, "bundle")
    before = os.umask(0o077)
    try:
        out, _ = pull(f"{address}/more.{end}", tmp_path / "out")
    finally:
        os.umask(before)
    assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == listed
    assert {stat.S_IMODE(path.stat().st_mode) for path in (out, *out.rglob("*"))} == {0o755, 0o644}


def test_an_archive_is_unpacked_as_it_lies(served, tmp_path, monkeypatch):
    """Each step back in a .tar.gz unpacks all of it from the beginning: that took minutes for large bundles."""
    address, root = served
    made = root / "bundle"
    with tarfile.open(root / "back.tar.gz", "w:gz") as archive:
        for name in sorted((str(file.relative_to(made)) for file in made.rglob("*.*")), reverse=True):
            archive.add(made / name, name)
    taken, extract = [], tarfile.TarFile.extract
    monkeypatch.setattr(tarfile.TarFile, "extract", lambda *how: taken.append(how[1]) or extract(*how))
    assert pull(f"{address}/back.tar.gz", tmp_path / "out")
    assert taken[0] == "manifest.json" and taken[1:] == sorted(taken[1:], reverse=True) and len(taken) > 3


def test_another_hash_is_refused_and_nothing_is_left(served, tmp_path):
    address, root = served
    packed(root)
    for name in ("bundle.zip", "bundle"):
        with pytest.raises(BundleError, match="has the hash"):
            pull(f"{address}/{name}", tmp_path / "new" / "out", "0" * 64)
    assert not (tmp_path / "new").exists()


def test_a_file_that_is_not_the_listed_one_is_refused(served, tmp_path):
    address, root = served
    (root / "bundle" / "mae.safetensors").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"mae\.safetensors: is not the file") as caught:
        pull(f"{address}/bundle", tmp_path / "new" / "out")
    assert str(caught.value).startswith(f"{address}/bundle: ") and ".maescan-part" not in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_an_archive_writes_nothing_outside(served, tmp_path):
    address, root = served
    with zipfile.ZipFile(root / "evil.zip", "w") as archive:
        archive.writestr("../../evil.txt", "evil")
    with pytest.raises(BundleError, match="outside"):
        pull(f"{address}/evil.zip", tmp_path / "out")
    assert not list(tmp_path.rglob("evil.txt"))


def test_what_is_not_there_is_one_line(served, tmp_path):
    address, root = served
    with pytest.raises(DataError, match="404"):
        pull(f"{address}/none", tmp_path / "out")
    for end in ("zip", "tar.gz"):
        (root / f"text.{end}").write_text("no archive")
        with pytest.raises(BundleError, match="cannot be unpacked"):
            pull(f"{address}/text.{end}", tmp_path / "out")
    with pytest.raises(DataError, match="cannot be fetched"):
        pull("https://localhost:9/bundle.zip", tmp_path / "out")
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="exists already"):
        pull(f"{address}/bundle", tmp_path / "out")


def test_a_server_without_a_known_certificate_is_not_believed(served, tmp_path, monkeypatch):
    address, _ = served
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(DataError, match="CERTIFICATE_VERIFY_FAILED"):
        pull(f"{address}/bundle", tmp_path / "out")


class Faulty(Quiet):
    """A server with a fault for each address."""

    def do_GET(self):
        kind = self.path.split("/")[1]
        self.send_response(500 if kind == "fault" else 200)
        self.send_header("Content-Type", "text/html" if kind == "login" else "application/zip")
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"x" * (50 if kind == "cut" else 100))


@pytest.fixture
def faulty():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Faulty)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("end", ["bundle.zip", "bundle/"])
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("cut", "broken off after 50 of 100 bytes"),
        ("login", "is a web page"),
        ("fault", "500 .*the server is at fault"),
    ],
)
def test_what_a_server_did_is_told_not_that_the_hash_is_wrong(faulty, kind, end, told, tmp_path):
    with pytest.raises(MaescanError, match=told):
        pull(f"{faulty}/{kind}/{end}", tmp_path / "new" / "out", "0" * 64)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("there", ["https://[", "ftp://\x1b[31m/x", "//[1", "https://" + "a" * 70 + "/", "file:///x"])
def test_an_address_that_a_server_leads_to_is_one_line(served, tmp_path, monkeypatch, there):
    address, _ = served

    def lead(self):
        self.send_response(302)
        self.send_header("Location", there)
        self.end_headers()

    monkeypatch.setattr(Quiet, "do_GET", lead)
    with pytest.raises(MaescanError, match=r"cannot be fetched|without https|leads to what is no address"):
        pull(f"{address}/bundle.zip", tmp_path / "out")


def test_a_name_that_none_has_is_refused_before_it_is_fetched(served, tmp_path):
    address, root = served
    (root / "odd").mkdir()
    (root / "odd" / "manifest.json").write_text('{"files": {"a\\u0000b": ""}}')
    with pytest.raises(BundleError, match="is no file's name"):
        pull(f"{address}/odd", tmp_path / "out")


@pytest.mark.parametrize("kind", ["encrypted", "packed in a way of tomorrow"])
def test_an_archive_that_nobody_can_unpack_is_one_line(served, tmp_path, kind):
    address, root = served
    with zipfile.ZipFile(root / "odd.zip", "w") as archive:
        archive.writestr("manifest.json", "{}")
    raw = bytearray((root / "odd.zip").read_bytes())
    for head, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(head) + flag + (0 if kind == "encrypted" else 2)] = 1 if kind == "encrypted" else 99
    (root / "odd.zip").write_bytes(raw)
    with pytest.raises(BundleError, match="cannot be unpacked"):
        pull(f"{address}/odd.zip", tmp_path / "out")


def test_addresses():
    assert web_address("hf://org/name", None) == "https://huggingface.co/org/name/resolve/main"
    assert web_address("hf://org/name@v1/x", None) == "https://huggingface.co/org/name/resolve/v1%2Fx"
    assert web_address("http://host/b.zip", "0" * 64) == "http://host/b.zip"
    assert web_address("https://host/Modell ü%20.zip?a=ü", None) == "https://host/Modell%20%C3%BC%20.zip?a=%C3%BC"
    for wrong in (
        "http://host/b.zip",
        "http://[::1/b.zip",
        "ftp://host/b",
        "bundle.zip",
        "hf://org",
        "file:///etc/passwd",
    ):
        with pytest.raises(ConfigError):
            web_address(wrong, None)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("https://me:SECRET@host/b.zip", "holds a name or a password"),
        ("https://SECRET@host/b/", "holds a name or a password"),
        ("https://host/b/?token=SECRET", "https://host/b/ is no archive"),
        ("http://host/b.zip?token=SECRET", "http://host/b.zip can be changed"),
        ("ftp://me:SECRET@host/b.zip?token=SECRET", "'host/b.zip' is no address"),
        ("https://localhost:1/b.zip?token=SECRET", "https://localhost:1/b.zip: cannot be fetched"),
    ],
)
def test_what_opens_an_address_is_not_said_again(tmp_path, address, told):
    with pytest.raises(MaescanError) as error:
        pull(address, tmp_path / "got")
    assert "SECRET" not in str(error.value) and told in str(error.value)


@pytest.mark.slow
def test_a_signature_comes_along(served, tmp_path):
    address, root = served
    (root / "bundle" / "manifest.json.minisig").write_text("untrusted comment: a signature\n")
    out, _ = pull(f"{address}/bundle/", tmp_path / "out")
    assert (out / "manifest.json.minisig").read_text().startswith("untrusted comment")


def test_no_hop_may_leave_https(tmp_path):
    """Whatever the last address is."""
    request = urllib.request.Request("https://a/b")
    with pytest.raises(BundleError, match="without https"):
        _Https().redirect_request(request, None, 302, "", {}, "http://a/b")
    assert _Https().redirect_request(request, None, 302, "", {}, "https://c/b").full_url == "https://c/b"
