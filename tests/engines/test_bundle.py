from __future__ import annotations

import json
import os
import shutil
import threading

import numpy as np
import pytest

from helpers.bundles import SMALL, a_run, checkpoints, engine_file, rewrite
from maescan import cli
from maescan.engines.bundle import Bundle, put_engine, update
from maescan.errors import BundleError, ConfigError, DataError
from maescan.export import export


@pytest.fixture
def bundle(exported_bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return shutil.copytree(exported_bundle, tmp_path / "bundle")


def test_what_is_exported_is_loaded(bundle):
    loaded = Bundle.load(bundle)
    assert loaded.preset == SMALL and list(loaded.engines()) == ["openvino-fp32"]
    golden = loaded.golden()
    assert golden["images"].shape == golden["reconstruction"].shape == golden["difference"].shape == (4, 32, 32)
    assert np.ptp(golden["score"]) > 0.01


FILES = ["mae.safetensors", "classifier.safetensors", "golden/golden.safetensors", "golden/scan.nii.gz",
         "engine.json", "mae.bin", "mae.xml", "classifier.bin"]  # fmt: skip


def file_of(bundle, name):
    return bundle / name if (bundle / name).exists() else engine_file(bundle, "openvino-fp32", name)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_an_error_naming_the_file(bundle, name):
    file = file_of(bundle, name)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleError, match="is not the file that was exported") as error:
        Bundle.load(bundle)
    assert error.value.path == file


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle, name):
    file = file_of(bundle, name)
    file.unlink()
    with pytest.raises(BundleError, match="cannot be read") as error:
        Bundle.load(bundle)
    assert error.value.path == file


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"schema_version": 3}, "schema version 3"),
        ({"schema_version": True}, "schema version True"),
        ({"colour": 1}, r"may be of a newer maescan: .* `colour` \(export it anew, or use the maescan that wrote it"),
        ({"preset": 3}, r"Expected `object`, got `int` in `preset`"),
        ({"calibration": [1]}, r"got `array` in `calibration`"),
        ({"aggregation": {"method": "top", "k": 0}}, r"in `aggregation.k`"),
        ({"intensity": {"mean": [0.0]}}, r"in `intensity"),
        ({"files": {}}, "lacks golden/golden.safetensors, golden/scan.nii.gz, mae.safetensors"),
        ({"files": {"mae.safetensors": "0"}}, r"in `files"),
        ({"preset": {"name": "x", "colour": 1}}, r"unknown fields: colour \(.*, or use the maescan that wrote it"),
    ],
)
def test_another_manifest_is_refused_by_what_is_wrong(bundle, fields, reason):
    rewrite(bundle, **fields)
    with pytest.raises(BundleError, match=reason) as error:
        Bundle.load(bundle)
    assert error.value.remedy


@pytest.mark.parametrize("content", ["", "[]", "{", "{}", '{"schema_version": 2}'])
def test_a_manifest_that_is_none_is_refused(bundle, content):
    (bundle / "manifest.json").write_text(content)
    with pytest.raises(BundleError, match=r"is not as maescan writes it|schema version None|was changed"):
        Bundle.load(bundle)


def test_calibration_is_put_in_and_all_else_stays(bundle):
    before = Bundle.load(bundle)
    calibration = {"scans": [0.5], "slices": [0.25, 0.5], "scores_sha256": "0" * 64}
    after = update(bundle, calibration=calibration)
    assert after.manifest == {**before.manifest, "calibration": calibration, "body": after.manifest["body"]}
    assert after.hash != before.hash and after.fingerprint("openvino-fp32") == before.fingerprint("openvino-fp32")
    with pytest.raises(ConfigError, match="colour"):
        update(bundle, colour=1)


def test_an_existing_folder_is_not_written_over(bundle, tmp_path):
    (tmp_path / "more").mkdir()
    with pytest.raises(DataError, match="exists already"):
        export(a_run(tmp_path / "more", SMALL.replace(measure="mse")), tmp_path)


def run_cli(capsys, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["maescan", *map(str, arguments)])
    try:
        cli.main()
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    return code, *capsys.readouterr()


@pytest.mark.slow
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


def test_changes_beside_each_other_lose_nothing(bundle, tmp_path):
    """calibrate beside export: each reads the manifest under the lock that it writes it under."""
    source = shutil.copytree(Bundle.load(bundle).engine_folder("openvino-fp32"), tmp_path / "source")
    calibration = {"scans": [0.5], "slices": [0.5], "scores_sha256": "0" * 64}
    gate = threading.Barrier(6)

    def engine(name):
        made = shutil.copytree(source, tmp_path / name)
        gate.wait()
        put_engine(bundle, name, made)

    def field(**values):
        gate.wait()
        update(bundle, **values)

    names = ("openvino-bf16", "openvino-int8", "onnx-fp32")
    threads = [threading.Thread(target=engine, args=(name,)) for name in names]
    fields = ({"calibration": calibration}, {"aggregation": {"method": "max"}}, {"intensity": {"mean": [0.0, 1.0]}})
    threads += [threading.Thread(target=field, kwargs=values) for values in fields]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    loaded = Bundle.load(bundle)
    assert set(loaded.engines()) == {"openvino-fp32", *names}
    assert loaded.manifest["calibration"] == calibration and loaded.manifest["aggregation"] == {"method": "max"}
    assert loaded.manifest["intensity"] == {"mean": [0.0, 1.0]}


def test_who_has_read_the_manifest_finds_its_engine_after_it_was_replaced(bundle, tmp_path):
    read = Bundle.load(bundle)
    made = shutil.copytree(read.engine_folder("openvino-fp32"), tmp_path / "made")
    (made / "notes.txt").write_text("new")
    put_engine(bundle, "openvino-fp32", made)
    assert (read.engine_folder("openvino-fp32") / "mae.bin").exists()
    update(bundle, aggregation={"method": "max"})
    assert not read.engine_folder("openvino-fp32").exists(), "what nothing lists any more goes with the next change"


class StoppedError(Exception):
    """A kill, in place of the n-th change of the disk."""


@pytest.mark.parametrize("name", ["openvino-fp32", "openvino-bf16"])
def test_a_bundle_is_sound_wherever_putting_an_engine_in_stops(bundle, tmp_path, monkeypatch, name):
    """An engine that replaces another, and one that is new."""
    source = shutil.copytree(Bundle.load(bundle).engine_folder("openvino-fp32"), tmp_path / "source")
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
    assert stops >= 5
    loaded = Bundle.load(here)
    assert (loaded.engine_folder(name) / "notes.txt").read_text() == "new" and name in loaded.engines()


def linked(bundle, tmp_path):
    """A folder of somebody's, to which a bundle's engines/old leads."""
    (tmp_path / "theirs" / "thesis").mkdir(parents=True)
    (tmp_path / "theirs" / "thesis" / "text").write_text("mine")
    (bundle / "engines" / "old").symlink_to(tmp_path / "theirs")
    return tmp_path / "theirs" / "thesis" / "text"


def test_what_a_link_leads_to_is_neither_removed_nor_written(bundle, tmp_path):
    theirs = linked(bundle, tmp_path)
    update(bundle, card={"intended_use": "x"})
    made = tmp_path / "made"
    shutil.copytree(Bundle.load(bundle).engine_folder("openvino-fp32"), made)
    with pytest.raises(BundleError, match="is a link"):
        put_engine(bundle, "old", made)
    put_engine(bundle, "openvino-fp32", made)
    assert theirs.read_text() == "mine" and [path.name for path in theirs.parents[1].iterdir()] == ["thesis"]


def test_a_copy_of_a_bundle_holds_what_it_lists_alone(bundle, tmp_path):
    (tmp_path / "secret").write_text("mine")
    (bundle / "notes.txt").symlink_to(tmp_path / "secret")
    linked(bundle, tmp_path)
    new = export(bundle, tmp_path / "new", to=("openvino",), precision=("fp32",))
    assert {path.name for path in new.iterdir()} == {"README.md", "manifest.json", "engines", "golden",
                                                     "mae.safetensors", "classifier.safetensors"}  # fmt: skip
    assert list((new / "engines").iterdir()) == [new / "engines" / "openvino-fp32"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m["provenance"].update(warnings=["\x1b[2J"]), "drive a terminal"),
        (lambda m: m["provenance"].update({"\x9b31m": 1}), "drive a terminal"),
        (lambda m: m["files"].update({"engines/a\nb/1/engine.json": "0" * 64}), "is no file's name"),
        (lambda m: m["files"].update({"a\u2028b": "0" * 64}), "is no file's name"),
    ],
)
def test_what_would_drive_a_terminal_is_refused(bundle, change, reason):
    manifest = json.loads((bundle / "manifest.json").read_text())
    change(manifest)
    rewrite(bundle, **manifest)
    with pytest.raises(BundleError, match=reason):
        Bundle.load(bundle)


@pytest.mark.parametrize("text", ["\x1b[2J", "\udcfc"])
def test_what_could_not_be_read_again_is_not_written(bundle, text):
    before = (bundle / "manifest.json").read_bytes()
    with pytest.raises(BundleError):
        update(bundle, card={"licence": text})
    assert (bundle / "manifest.json").read_bytes() == before


def test_cautions_are_a_line_each(bundle):
    assert update(bundle, card={"intended_use": "one\nmaescan: two"}).cautions() == ["intended use: one maescan: two"]
