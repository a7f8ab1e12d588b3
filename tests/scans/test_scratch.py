from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from maescan.scans.scratch import folder_beside, remove_abandoned, scratch_folder


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


def test_what_a_killed_export_left_beside_goes_and_what_others_are_called_stays(tmp_path):
    script = (
        "import os, signal, sys; from pathlib import Path; from maescan.scans.scratch import folder_beside\n"
        "with folder_beside(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'bundle').mkdir()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    out, others = tmp_path / "new" / "bundle", tmp_path / "new" / ".maescan-part-mine"
    subprocess.run([sys.executable, "-c", script, str(out)])
    (left,) = out.parent.iterdir()
    assert left.name.startswith(".maescan-part-")
    others.mkdir()
    (others / "thesis.tex").write_text("dear to somebody")
    with folder_beside(out) as first, folder_beside(out) as second:  # one run at work does not disturb another
        assert first.is_dir() and second.is_dir() and not left.exists()
    assert list(out.parent.iterdir()) == [others] and (others / "thesis.tex").exists()
