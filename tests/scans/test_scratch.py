from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from maescan.scans.scratch import remove_abandoned, scratch_folder


def test_what_a_killed_process_unpacked_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    script = (
        "import os, signal; from maescan.scans.scratch import scratch_folder\n"
        "with scratch_folder() as folder:\n"
        "    (folder / 'scan').write_text('x')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(tmp_path)})
    assert len(list(tmp_path.iterdir())) == 1
    with scratch_folder() as mine:
        assert remove_abandoned() == 1 and mine.exists()
    assert list(tmp_path.iterdir()) == []
