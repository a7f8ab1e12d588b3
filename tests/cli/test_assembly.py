"""All commands, or the one that is typed."""

from __future__ import annotations

import importlib
import subprocess
import sys

from maescan.cli import assembly, conventions, overview


def test_a_command_that_is_typed_is_put_together_alone():
    for room, names in overview.ROOMS.items():
        module = importlib.import_module(f"maescan.cli.{room}")
        assert [conventions.name_of(info) for info in module.commands.registered_commands] == list(names)
    alone = assembly.app_for(["score", "--help"]).registered_commands
    assert [conventions.name_of(info) for info in alone] == ["score"]
    for typed in ([], ["--help"], ["scor"], ["--version"]):
        assert assembly.app_for(typed) is assembly.whole()
    code = "import sys; sys.argv = ['maescan', 'version']; import maescan.cli; maescan.cli.main()"
    code = f"import atexit, sys; atexit.register(lambda: print('maescan.cli.training' in sys.modules)); {code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "False" in done.stdout and done.returncode == 0, done.stdout + done.stderr
