from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import maescan


def test_the_public_names_load_when_asked_for():
    code = (
        "import sys, maescan; assert not {'numpy', 'torch', 'openvino'} & set(sys.modules);"
        "assert all(getattr(maescan, name) for name in maescan.__all__); assert 'torch' not in sys.modules;"
        "assert set(maescan.__all__) <= set(dir(maescan)); maescan.nothing"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "has no attribute 'nothing'" in done.stderr and "AssertionError" not in done.stderr


def test_openvino_tells_nobody_that_it_was_imported(tmp_path):
    """OpenVINO sends an event at every import where its telemetry package can be imported."""
    spy = tmp_path / "openvino_telemetry"
    spy.mkdir()
    (spy / "__init__.py").write_text("raise SystemExit('telemetry')")
    code = "import maescan, openvino, openvino.tools.ovc; print('quiet')"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == "quiet\n", done.stderr


def test_onnx_runtime_tells_nobody_that_it_was_imported(tmp_path):
    """Its versions of 2026 keep a name of the machine and what is to be sent in the user's cache."""
    pytest.importorskip("onnxruntime")
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    code = "import maescan, onnxruntime; onnxruntime.get_device()"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_next_to_nothing_is_imported_before_main_that_takes_ctrl_c():
    """Until then Ctrl-C is the interpreter's, which shows where it was."""
    package = Path(maescan.__file__).parents[1]
    code = "import sys; sys.path.insert(0, sys.argv[1]); import maescan.cli; print(*sys.modules)"
    command = [sys.executable, "-S", "-c", code, str(package)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    heavy = {"typing", "enum", "re", "contextlib", "importlib.metadata", "argparse"}
    assert "maescan.cli" in done.stdout.split() and not heavy & set(done.stdout.split())
