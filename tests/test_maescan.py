from __future__ import annotations

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
