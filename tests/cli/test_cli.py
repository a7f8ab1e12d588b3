from __future__ import annotations

import json
import subprocess
import sys
from unittest.mock import Mock

import nibabel
import numpy as np
import pytest

from maescan import cli
from maescan.cli.demo import unpack


@pytest.fixture
def maescan(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["maescan", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return call


def is_one_line_naming(error, *words):
    assert error.count("\n") == 1 and error.startswith("maescan: "), error
    for word in words:
        assert word in error


def test_unknown_preset(maescan, tmp_path):
    code, _, error = maescan("train", tmp_path, "--out", tmp_path / "run", "--preset", "brats2")
    assert code == 2
    is_one_line_naming(error, "unknown preset 'brats2'", "use one of brats, luna16, tiny")


def test_empty_folder(maescan, tmp_path):
    code, _, error = maescan("train", tmp_path, "--out", tmp_path / "run", "--preset", "tiny")
    assert code == 2
    is_one_line_naming(error, str(tmp_path))


def test_missing_folder(maescan, tmp_path):
    code, _, error = maescan("train", tmp_path / "none", "--out", tmp_path / "run", "--preset", "tiny")
    assert code == 2
    is_one_line_naming(error, str(tmp_path / "none"))


def test_nan_voxels(maescan, tmp_path):
    voxels = np.ones((24, 24, 4), np.float32)
    voxels[3, 3, 3] = np.nan
    nibabel.Nifti1Image(voxels, np.diag([10, 10, 5, 1])).to_filename(tmp_path / "nan.nii.gz")
    code, _, error = maescan("train", tmp_path, "--out", tmp_path / "run", "--preset", "tiny")
    assert code == 2
    is_one_line_naming(error, "nan.nii.gz", "NaN")


def test_bundle_that_is_none(maescan, tmp_path):
    code, _, error = maescan("score", tmp_path, "--bundle", tmp_path, "--out", tmp_path / "out")
    assert code == 2
    is_one_line_naming(error, "manifest.json")


def test_bundle_of_another_version(maescan, tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"schema_version": 999}))
    code, _, error = maescan("score", tmp_path, "--bundle", tmp_path, "--out", tmp_path / "out")
    assert code == 2
    is_one_line_naming(error, "999", "manifest.json")


def test_shard_out_of_range(maescan, tmp_path):
    code, _, error = maescan("score", tmp_path, "--bundle", tmp_path, "--out", tmp_path, "--shard", "4/3")
    assert code == 2
    is_one_line_naming(error, "--shard 4/3")


@pytest.mark.parametrize("fault", [ZeroDivisionError("by 0"), EOFError("half a file")])
def test_unexpected_fault_is_one_line(maescan, monkeypatch, tmp_path, fault):
    from maescan.engines import bundle

    monkeypatch.setattr(bundle.Bundle, "load", Mock(side_effect=fault))
    code, _, error = maescan("score", tmp_path, "--bundle", tmp_path, "--out", tmp_path / "out")
    assert code == 1
    is_one_line_naming(error, f"{type(fault).__name__}: {fault}", "-v shows")


LONG = "a" * 300
REFUSED = [
    *(
        f"calibrate {LONG} scans",
        f"pseudonym {LONG} scans",
        f"watch {LONG} --bundle b --out o",
        f"export {LONG} --out o",
    ),
    *(f"train {LONG} --preset tiny --out o", f"send {LONG} --forward A@127.0.0.1:1"),
    *(f"{command} {LONG} --bundle b --out o" for command in ("evaluate", "stress")),
    *(f"{command} {LONG} --out o" for command in ("prepare", "ablate --experiment table1")),
    *(f"score scans --bundle b --out o --{option} {LONG}" for option in ("log", "pseudonyms", "config")),
]


@pytest.mark.parametrize("typed", REFUSED, ids=lambda typed: typed.replace(LONG, "LONG"))
def test_a_path_that_the_system_refuses_is_no_fault_of_maescan(maescan, monkeypatch, tmp_path, typed):
    monkeypatch.chdir(tmp_path)
    unpack(tmp_path / "b")
    code, _, error = maescan(*typed.split())
    assert code == 2
    is_one_line_naming(error, LONG, "File name too long")


def test_a_package_that_the_core_install_lacks_is_named(tmp_path):
    arguments = ["train", str(tmp_path), "--preset", "tiny", "--out", str(tmp_path / "out")]
    code = f"import sys; sys.modules['torch'] = None; sys.argv[1:] = {arguments}; import maescan.cli as c; c.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    is_one_line_naming(done.stderr, "this needs torch", "pip install 'maescan[train]'")


def test_start_is_light():
    code = (
        "import sys, maescan.cli; print([m for m in ('torch', 'openvino', 'nibabel', 'scipy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_a_library_for_which_there_is_no_memory_is_no_fault_of_maescan(monkeypatch, capsys):
    def lacks(_):
        raise ImportError("libtorch.so: failed to map segment from shared object")

    monkeypatch.setattr(cli, "_command", lacks)
    assert cli._run([]) == 2 and "the system gives no more memory (see" in capsys.readouterr().err
