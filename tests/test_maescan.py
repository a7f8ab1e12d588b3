from __future__ import annotations

import os
import subprocess
import sys


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
