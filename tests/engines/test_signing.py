from __future__ import annotations

import base64
import errno
import hashlib
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from helpers.bundles import reseal, rewrite
from maescan import cli
from maescan.engines import signing, verify
from maescan.engines.bundle import Bundle, changing, put_engine, update, write_manifest
from maescan.engines.describe import fill_card
from maescan.engines.signing import SIGNATURE, TRUSTED_KEYS, check_signature, needs_password, public_keys, sign
from maescan.errors import BundleError, ConfigError, DataError
from maescan.files import PARTIAL

pytestmark = pytest.mark.skipif(
    os.environ.get("FAIL_ON_MISSING_TOOLS") != "1" and not shutil.which("minisign"),
    reason="minisign is not installed",
)


def key_pair(folder, name):
    folder.mkdir(exist_ok=True)
    public, secret = folder / f"{name}.pub", folder / f"{name}.key"
    subprocess.run(["minisign", "-G", "-W", "-p", public, "-s", secret], check=True, capture_output=True)
    return public, secret


@pytest.fixture
def bundle(exported_bundle, tmp_path):
    return shutil.copytree(exported_bundle, tmp_path / "bundle")


def minisign(bundle, public):
    command = ["minisign", "-V", "-m", bundle / "manifest.json", "-p", public]
    return subprocess.run(command, capture_output=True, text=True)


def test_minisign_takes_our_signatures_and_we_take_its(bundle, tmp_path):
    public, secret = key_pair(tmp_path / "keys", "ours")
    sign(bundle, secret)
    assert "verified" in minisign(bundle, public).stdout
    (bundle / SIGNATURE).unlink()
    subprocess.run(["minisign", "-S", "-m", bundle / "manifest.json", "-s", secret], check=True, capture_output=True)
    manifest = (bundle / "manifest.json").read_bytes()
    name = check_signature(bundle, manifest, public_keys(str(public))).name
    assert int(name, 16) == int(public.read_text().splitlines()[0].split()[-1], 16)  # minisign drops leading zeros
    assert public_keys(public.read_text().splitlines()[1])[0].name == name


def test_only_signed_bundles_are_trusted_where_keys_are_named(bundle, tmp_path, monkeypatch):
    public, secret = key_pair(tmp_path / "keys", "ours")
    other, _ = key_pair(tmp_path / "others", "theirs")
    monkeypatch.setenv(TRUSTED_KEYS, str(tmp_path / "keys"))
    with pytest.raises(BundleError, match="is not signed"):
        Bundle.load(bundle)
    sign(bundle, secret)
    Bundle.load(bundle)
    monkeypatch.setenv(TRUSTED_KEYS, str(other))
    with pytest.raises(BundleError, match="which is not trusted here"):
        Bundle.load(bundle)
    monkeypatch.setenv(TRUSTED_KEYS, f"{other}:{public}")
    Bundle.load(bundle)
    rewrite(bundle, aggregation={"method": "max"})  # fits itself: anyone can hash
    with pytest.raises(BundleError, match="is not the signature of this manifest"):
        Bundle.load(bundle)


def test_a_change_ends_a_signature(bundle, tmp_path, monkeypatch):
    public, secret = key_pair(tmp_path / "keys", "ours")
    sign(bundle, secret)
    monkeypatch.setenv(TRUSTED_KEYS, str(public))
    update(bundle, aggregation={"method": "max"})
    assert not (bundle / SIGNATURE).exists()
    with pytest.raises(BundleError, match="is not signed"):
        update(bundle, aggregation={"method": "max"})


def test_signing_waits_for_who_changes_the_bundle(bundle, tmp_path):
    """A calibration that ended meanwhile removed what was being written, or got the signature of what was before.
    What a killed one left half goes."""
    public, secret = key_pair(tmp_path / "keys", "ours")
    (bundle / f"{PARTIAL}x.minisig").write_text("half")
    with ThreadPoolExecutor(1) as pool, changing(bundle):
        signing = pool.submit(sign, bundle, secret)
        with pytest.raises(TimeoutError):
            signing.result(timeout=1)
        write_manifest(bundle, Bundle.load(bundle).preset, Bundle.load(bundle).manifest["provenance"])
    signing.result()
    assert "verified" in minisign(bundle, public).stdout and not list(bundle.glob(f"{PARTIAL}*"))


def test_a_change_of_nothing_keeps_a_signature(bundle, tmp_path, monkeypatch):
    """`maescan card BUNDLE` writes an edited card anew: who pulled the bundle could not sign it again."""
    public, secret = key_pair(tmp_path / "keys", "ours")
    sign(bundle, secret)
    monkeypatch.setenv(TRUSTED_KEYS, str(public))
    (bundle / "README.md").write_text("of a million patients")
    fill_card(bundle, None)
    assert "verified" in minisign(bundle, public).stdout and "million" not in (bundle / "README.md").read_text()
    name, folder = next((name, Bundle.load(bundle).engine_folder(name)) for name in Bundle.load(bundle).engines())
    put_engine(bundle, name, shutil.copytree(folder, tmp_path / "same"))
    assert "verified" in minisign(bundle, public).stdout


def test_a_card_that_is_not_there_is_not_a_change(bundle, tmp_path):
    public, secret = key_pair(tmp_path / "keys", "ours")
    reseal(bundle)
    assert "card" not in Bundle.load(bundle).manifest
    sign(bundle, secret)
    fill_card(bundle, None)
    assert "verified" in minisign(bundle, public).stdout


def test_a_signature_of_the_content_itself_is_minisigns_too(bundle, tmp_path):
    public, secret = key_pair(tmp_path / "keys", "ours")
    legacy = ["minisign", "-S", "-l", "-m", bundle / "manifest.json", "-s", secret]
    subprocess.run(legacy, check=True, capture_output=True)
    manifest = (bundle / "manifest.json").read_bytes()
    assert check_signature(bundle, manifest, public_keys(str(public)))
    with pytest.raises(BundleError, match="is not the signature"):
        check_signature(bundle, manifest + b" ", public_keys(str(public)))


def test_verify_says_whether_a_signature_was_checked(bundle, tmp_path, monkeypatch, capsys):
    """Else one that anybody could have written would pass for checked."""

    def told(key=None):
        verify.show(bundle, device="cuda", key=key)
        return capsys.readouterr().out

    public, secret = key_pair(tmp_path / "keys", "ours")
    assert "signature            none\n" in told()
    name = public_keys(str(public))[0].name
    sign(bundle, secret)
    assert f"signature            not checked: it names the key {name}, which neither --key nor" in told()
    assert f"signed by {name}\n" in told(str(public)) and "signature  " not in told(str(public))
    monkeypatch.setenv(TRUSTED_KEYS, str(public))
    assert f"signed by {name}\n" in told()
    other, _ = key_pair(tmp_path / "others", "theirs")
    with pytest.raises(BundleError, match="not trusted here") as caught:
        told(str(other))
    assert caught.value.remedy.startswith("add its key to --key ")
    with pytest.raises(BundleError, match="not trusted here"):
        told("")
    monkeypatch.delenv(TRUSTED_KEYS)
    (bundle / SIGNATURE).write_text("?")
    assert "signature            not checked, and none of minisign's\n" in told()


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_a_changed_line_of_a_signature_is_refused(bundle, tmp_path, at):
    public, secret = key_pair(tmp_path / "keys", "ours")
    lines = sign(bundle, secret).read_text().splitlines()
    manifest = (bundle / "manifest.json").read_bytes()
    for changed in (lines[at][:-6] + "AAAA" + lines[at][-2:], "", lines[at] + "x"):
        (bundle / SIGNATURE).write_text("\n".join([*lines[:at], changed, *lines[at + 1 :]]) + "\n")
        if at == 0:  # an untrusted comment is nobody's word
            check_signature(bundle, manifest, public_keys(str(public)))
            break
        with pytest.raises(BundleError, match=r"is no signature of minisign|is not the signature|not trusted"):
            check_signature(bundle, manifest, public_keys(str(public)))


@pytest.mark.parametrize("content", ["", "x", "untrusted comment: x\nRWQ=\n", "\xff"])
def test_what_is_no_key_is_named(tmp_path, content):
    (tmp_path / "a.pub").write_text(content)
    with pytest.raises(ConfigError, match=r"a\.pub: is no public key"):
        public_keys(str(tmp_path / "a.pub"))
    with pytest.raises(ConfigError, match=r"a\.pub: is no secret key"):
        needs_password(tmp_path / "a.pub")


def test_a_disk_that_takes_no_signature_is_said(bundle, tmp_path, monkeypatch):
    _, secret = key_pair(tmp_path, "ours")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.mkstemp", full)
    with pytest.raises(DataError, match=r"minisig: cannot write: No space left on device \(free space, see who"):
        sign(bundle, secret)


def test_a_password_opens_a_key(bundle, tmp_path):
    """minisign's own limits take 1 GiB and seconds: the same format with small ones."""
    public, secret = key_pair(tmp_path / "keys", "ours")
    raw = base64.b64decode(secret.read_text().splitlines()[1])
    ops, memory, salt = 32768, 2**24, bytes(range(32))
    body = raw[54:126] + hashlib.blake2b(b"Ed" + raw[54:126], digest_size=32).digest()
    stream = hashlib.scrypt(b"word", salt=salt, n=2**10, r=8, p=1, dklen=104)
    sealed = bytes(a ^ b for a, b in zip(body, stream, strict=True))
    numbers = ops.to_bytes(8, "little") + memory.to_bytes(8, "little")
    locked = tmp_path / "locked.key"
    locked.write_text(f"untrusted comment: x\n{base64.b64encode(b'EdScB2' + salt + numbers + sealed).decode()}\n")
    assert needs_password(locked) and not needs_password(secret)
    with pytest.raises(ConfigError, match="the password is wrong"):
        sign(bundle, locked, "wrong")
    with pytest.raises(ConfigError, match="has a password"):
        sign(bundle, locked)
    sign(bundle, locked, "word")
    assert minisign(bundle, public).returncode == 0


def test_without_its_library_a_signature_is_never_taken_for_good(bundle, tmp_path, monkeypatch):
    public, secret = key_pair(tmp_path / "keys", "ours")
    sign(bundle, secret)
    monkeypatch.setitem(__import__("sys").modules, "cryptography", None)
    with pytest.raises(ConfigError, match=r"maescan\[sign\]"):
        check_signature(bundle, (bundle / "manifest.json").read_bytes(), public_keys(str(public)))


def test_through_the_command_line(bundle, tmp_path, monkeypatch, capsys):
    public, secret = key_pair(tmp_path / "keys", "ours")
    monkeypatch.setattr("sys.argv", ["maescan", "sign", str(bundle), "--key", str(secret)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code in (0, None) and SIGNATURE in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["maescan", "verify", str(bundle), "--key", str(public), "--device", "cuda"])
    with pytest.raises(SystemExit):
        cli.main()
    assert f"signed by {signing.public_keys(str(public))[0].name}" in capsys.readouterr().out
