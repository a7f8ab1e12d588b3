from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from helpers.bundles import SMALL, a_run, checkpoints
from maescan import cli
from maescan.engines.bundle import Bundle, put_engine, update
from maescan.errors import BundleError, ConfigError, DataError
from maescan.export import export


@pytest.fixture
def bundle(exported_bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return shutil.copytree(exported_bundle, tmp_path / "bundle")


def change_manifest(bundle, **fields):
    file = bundle / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def test_what_is_exported_is_loaded(bundle):
    loaded = Bundle.load(bundle)
    assert loaded.preset == SMALL and list(loaded.engines()) == ["openvino-fp32"]
    golden = loaded.golden()
    assert golden["images"].shape == golden["reconstruction"].shape == golden["difference"].shape == (4, 32, 32)
    assert np.ptp(golden["score"]) > 0.01


def files():
    return ["mae.safetensors", "classifier.safetensors", "golden/golden.safetensors"] + [
        f"engines/openvino-fp32/{name}" for name in ("engine.json", "mae.bin", "mae.xml", "classifier.bin")
    ]


@pytest.mark.parametrize("name", files())
def test_a_changed_byte_is_an_error_naming_the_file(bundle, name):
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(BundleError, match="is not the file that was exported") as error:
        Bundle.load(bundle)
    assert error.value.path == bundle / name


@pytest.mark.parametrize("name", files())
def test_a_missing_file_is_named(bundle, name):
    (bundle / name).unlink()
    with pytest.raises(BundleError, match="cannot be read") as error:
        Bundle.load(bundle)
    assert error.value.path == bundle / name


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"schema_version": 2}, "schema version 2"),
        ({"colour": 1}, "unknown colour"),
        ({"preset": 3}, "'preset' is a int"),
        ({"calibration": [1]}, "'calibration' is a list"),
        ({"files": {}}, "lacks golden/golden.safetensors, mae.safetensors"),
        ({"files": {"../../secret": "0"}}, "outside the bundle"),
        ({"preset": {"name": "x", "colour": 1}}, "unknown fields: colour"),
    ],
)
def test_another_manifest_is_refused_by_what_is_wrong(bundle, fields, reason):
    change_manifest(bundle, **fields)
    with pytest.raises(BundleError, match=reason) as error:
        Bundle.load(bundle)
    assert error.value.remedy


@pytest.mark.parametrize("content", ["", "[]", "{", "{}", '{"schema_version": 1}'])
def test_a_manifest_that_is_none_is_refused(bundle, content):
    (bundle / "manifest.json").write_text(content)
    with pytest.raises(BundleError, match=r"cannot be read|is no manifest|schema version None|lacks files, preset"):
        Bundle.load(bundle)


def test_calibration_is_put_in_and_all_else_stays(bundle):
    before = Bundle.load(bundle)
    after = update(bundle, calibration={"threshold": 0.5})
    assert after.manifest == {**before.manifest, "calibration": {"threshold": 0.5}}
    assert after.hash != before.hash and after.fingerprint("openvino-fp32") == before.fingerprint("openvino-fp32")
    with pytest.raises(ConfigError, match="colour"):
        update(bundle, colour=1)


def test_an_existing_folder_is_not_written_over(bundle, tmp_path):
    (tmp_path / "more").mkdir()
    with pytest.raises(DataError, match="exists already"):
        export(a_run(tmp_path / "more"), bundle)


def run_cli(capsys, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["maescan", *map(str, arguments)])
    try:
        cli.main()
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    return code, *capsys.readouterr()


def test_checkpoints_become_a_bundle_that_verifies(tmp_path, capsys, monkeypatch):
    mae, classifier = checkpoints(tmp_path)
    (tmp_path / "small.json").write_text(json.dumps(SMALL.to_dict()))
    given = ("--mae", mae, "--classifier", classifier, "--preset", tmp_path / "small.json")
    code, out, error = run_cli(capsys, monkeypatch, "import-checkpoint", *given, "--out", tmp_path / "bundle")
    assert (code, error) == (0, "") and str(tmp_path / "bundle") in out
    code, out, error = run_cli(capsys, monkeypatch, "verify", tmp_path / "bundle")
    assert (code, error) == (0, "") and "openvino-fp32        drift on cpu" in out


def test_verify_names_a_changed_file(bundle, capsys, monkeypatch):
    (bundle / "mae.safetensors").write_bytes(b"")
    code, _, error = run_cli(capsys, monkeypatch, "verify", bundle)
    assert code == 2 and "mae.safetensors: is not the file" in error and error.count("\n") == 1


class StoppedError(Exception):
    """A kill, in place of the n-th change of the disk."""


@pytest.mark.parametrize("name", ["openvino-fp32", "openvino-bf16"])
def test_a_bundle_is_sound_wherever_putting_an_engine_in_stops(bundle, tmp_path, monkeypatch, name):
    """An engine that replaces another, and one that is new."""
    source = shutil.copytree(bundle / "engines" / "openvino-fp32", tmp_path / "source")
    (source / "notes.txt").write_text("new")
    stops = 0
    for stop in range(1, 40):
        made, here = shutil.copytree(source, tmp_path / f"made{stop}"), shutil.copytree(bundle, tmp_path / f"{stop}")
        left = iter(range(stop - 1))

        def counted(change, left=left):
            def call(*args, **kwargs):
                if next(left, None) is None:
                    raise StoppedError
                return change(*args, **kwargs)

            return call

        with monkeypatch.context() as patch:
            for owner, change in ((os, "replace"), (os, "rename"), (os, "unlink"), (os, "rmdir"), (os, "mkdir")):
                patch.setattr(owner, change, counted(getattr(owner, change)))
            try:
                put_engine(here, name, made)
                break
            except StoppedError:
                stops += 1
        Bundle.load(here).engines()
    assert stops >= (2 if name == "openvino-bf16" else 5)
    assert (here / "engines" / name / "notes.txt").read_text() == "new" and name in Bundle.load(here).engines()
