from __future__ import annotations

import json
import stat
import time
from pathlib import Path

import pytest

from maescan.errors import BundleError, DataError
from maescan.files import umask
from maescan.scoring import alerts
from maescan.scoring.alerts import passed_on, run_command
from maescan.scoring.options import AlertOptions

ALERT = {"scan": "a.nii", "alert": "yes", "score": 1.0}


def test_a_command_gets_each_alert_on_its_standard_input(tmp_path):
    told = []
    options = AlertOptions(on_alert=f"cat >> {tmp_path / 'got'}")
    with passed_on(lambda name, facts: told.append(name), options) as tell:
        for name, facts in [
            ("found", {"scans": 3}),
            ("scored", ALERT),
            ("scored", {**ALERT, "alert": "no"}),
            ("scored", {**ALERT, "alert": None}),
            ("changed", {"scan": "b.nii", "reason": "the scans have changed"}),
        ]:
            tell(name, facts)
    got = [json.loads(line) for line in (tmp_path / "got").read_text().splitlines()]
    assert [event["event"] for event in got] == ["scored", "changed"] and got[0]["scan"] == "a.nii"
    assert told == ["found", "scored", "scored", "scored", "changed"]


def test_a_command_that_fails_is_told_and_the_others_are_not_lost(tmp_path, capsys):
    told = []
    options = AlertOptions(on_alert=f"cat >> {tmp_path / 'got'}; echo no mail server >&2; exit 3")
    with passed_on(lambda name, facts: told.append((name, facts)), options) as tell:
        for scan in ("a.nii", "b.nii"):
            tell("scored", {**ALERT, "scan": scan})
    failed = [facts for name, facts in told if name == "alert_failed"]
    assert [facts["scan"] for facts in failed] == ["a.nii", "b.nii"]
    assert failed[0]["reason"] == "exit 3: no mail server" and (tmp_path / "got").read_text().count("\n") == 2
    assert "a.nii: --on-alert failed: exit 3" in capsys.readouterr().err


def test_of_no_scan_none_is_named(tmp_path, capsys):
    with passed_on(lambda name, facts: None, AlertOptions(on_alert="exit 3")) as tell:
        tell("unusual", {"alerts": 8})
    assert capsys.readouterr().err == "--on-alert failed: exit 3\n"


@pytest.mark.slow
def test_a_command_that_hangs_ends_with_all_it_started(tmp_path):
    reason = run_command(f"sleep 300 & echo $! > {tmp_path / 'pid'}; wait", "{}", limit_s=3)
    assert reason == "took over 3 s"
    stat = Path("/proc") / (tmp_path / "pid").read_text().strip() / "stat"
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.05)


def test_a_command_that_reads_nothing_is_none_that_fails():
    assert run_command("true", "x" * 1_000_000) == ""


def test_the_log_has_all_events_and_is_put_aside_when_large(tmp_path, monkeypatch):
    monkeypatch.setattr(alerts, "LOG_BYTES", 400)
    with passed_on(lambda name, facts: None, AlertOptions(log=tmp_path / "log")) as tell:
        for index in range(10):
            tell("scored", {**ALERT, "scan": f"{index}.nii"})
    lines = [json.loads(line) for file in sorted(tmp_path.iterdir()) for line in file.read_text().splitlines()]
    assert len(list(tmp_path.iterdir())) > 1 and {"time", "event", "scan", "score", "alert"} == set(lines[0])
    assert json.loads((tmp_path / "log").read_text().splitlines()[-1])["scan"] == "9.nii"


def test_a_log_is_its_users_alone_unless_it_was_opened(tmp_path, monkeypatch):
    """It names scans, and file names name patients."""
    monkeypatch.setattr(alerts, "LOG_BYTES", 400)
    for mode in (0o600, 0o640):
        log = tmp_path / f"log{mode}"
        if mode != 0o600:
            log.touch(mode)
            log.chmod(mode)
        with passed_on(lambda name, facts: None, AlertOptions(log=log)) as tell:
            for _ in range(10):
                tell("scored", ALERT)
        assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob(f"{log.name}*")} == {mode}
        assert len(list(tmp_path.glob(f"{log.name}*"))) > 1


def test_a_log_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot write"), passed_on(print, AlertOptions(log=tmp_path / "no" / "log")):
        pass


def test_what_ended_a_run_stands_in_its_log(tmp_path):
    log, refusal = tmp_path / "log", BundleError("is damaged", path="bundle", remedy="export again")
    with pytest.raises(BundleError), passed_on(lambda name, facts: None, AlertOptions(log=log)):
        raise refusal
    (line,) = map(json.loads, log.read_text().splitlines())
    assert line.pop("time") and line == {"event": "refused", "reason": "bundle: is damaged (export again)"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without /dev/full")
def test_a_full_disk_costs_the_log_and_no_scan(capsys):
    with passed_on(lambda name, facts: None, AlertOptions(log=Path("/dev/full"))) as tell:
        for _ in range(3):
            tell("scored", ALERT)
    assert capsys.readouterr().err.count("/dev/full: events cannot be logged: [Errno 28]") == 1


@pytest.mark.parametrize("folder", [".", "/", ".."])
def test_a_folder_is_no_log(folder):
    with pytest.raises(DataError, match="is a folder"), passed_on(print, AlertOptions(log=Path(folder))):
        pass


@pytest.mark.parametrize("name", ["log", "log.1"])
def test_a_log_never_takes_the_place_of_a_file_that_is_none(tmp_path, name):
    """Neither appended to nor put aside: it may be a scan."""
    for content in (b"\x5c\x01\x00\x00" * 99, b"a line\n", b'{"time": 1}\n', b"[]\n"):
        (tmp_path / name).write_bytes(content)
        with (
            pytest.raises(DataError, match=f"{name}: exists already, and is no log of maescan's"),
            passed_on(print, AlertOptions(log=tmp_path / "log")),
        ):
            pass
        assert (tmp_path / name).read_bytes() == content


def test_a_log_goes_on(tmp_path):
    for _ in range(2):
        with passed_on(lambda name, facts: None, AlertOptions(log=tmp_path / "log")) as tell:
            tell("found", {"scans": 1})
    assert len((tmp_path / "log").read_text().splitlines()) == 2


def test_what_a_command_leaves_in_the_background_is_not_waited_for():
    start = time.monotonic()
    assert run_command("sleep 30 & echo done >&2; exit 0", "{}") == "" and time.monotonic() - start < 20


def test_a_log_that_was_put_aside_by_another_program_goes_on_under_its_name(tmp_path):
    log, aside = tmp_path / "events", tmp_path / "events-20270101"
    with passed_on(lambda name, facts: None, AlertOptions(log=log)) as tell:
        tell("found", {"scans": 1})
        log.rename(aside)
        tell("found", {"scans": 2})
        log.rename(tmp_path / "second")
        log.touch()  # as logrotate's `create` does
        tell("found", {"scans": 3})
    counts = [json.loads(file.read_text())["scans"] for file in (aside, tmp_path / "second", log)]
    assert counts == [1, 2, 3]


def test_a_log_that_cannot_be_opened_anew_for_a_moment_goes_on(tmp_path, monkeypatch):
    """Its folder may be root's: then logrotate alone, which comes a moment later, makes the next one."""
    log = tmp_path / "events"
    log.touch()
    log.chmod(0o640)
    with passed_on(lambda name, facts: None, AlertOptions(log=log)) as tell:
        log.rename(tmp_path / "aside")
        tell("found", {"scans": 1})
        assert stat.S_IMODE(log.stat().st_mode) == 0o640 & ~umask()  # as it was made with beforehand
        log.rename(tmp_path / "aside")
        with monkeypatch.context() as root:
            root.setattr(alerts._Private, "_open", lambda _: (tmp_path / "not" / "there").open())
            tell("found", {"scans": 2})
        log.touch()
        tell("found", {"scans": 3})
    assert json.loads(log.read_text())["scans"] == 3


def test_a_file_of_others_in_the_place_of_a_log_is_left_alone(tmp_path, capsys):
    log = tmp_path / "events"
    with passed_on(lambda name, facts: None, AlertOptions(log=log)) as tell:
        log.rename(tmp_path / "aside")
        log.write_text("dear to somebody")
        tell("found", {"scans": 2})
    assert log.read_text() == "dear to somebody" and "is no log of maescan's" in capsys.readouterr().err
