from __future__ import annotations

import pytest
from typer.testing import CliRunner

from maescan.cli import app
from maescan.errors import ConfigError

pytest.importorskip("pynetdicom")


def test_anybody_may_not_send(tmp_path):
    said = CliRunner().invoke(app, ["listen", "--bundle", "b", "--out", str(tmp_path / "o"), "--host", "0.0.0.0"])
    assert isinstance(said.exception, ConfigError) and "take images from anybody" in str(said.exception)


def test_the_command_line_wins_over_the_file(tmp_path):
    (tmp_path / "listen.toml").write_text('host = "0.0.0.0"\nfrom = ["A@10.0.0.1"]\n')
    called = ["listen", "--bundle", str(tmp_path / "none"), "--out", str(tmp_path / "o"), "--config"]
    called.append(str(tmp_path / "listen.toml"))
    said = CliRunner().invoke(app, called)
    assert "anybody" not in str(said.exception) and "none" in str(said.exception)
    said = CliRunner().invoke(app, [*called, "--port", "x"])
    assert "--port x" in str(said.exception)
