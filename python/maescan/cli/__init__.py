"""The command line: parse, call one function, print. Heavy imports stay inside the commands."""

from __future__ import annotations

import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typer import Typer

    app: Typer

__all__ = ["app", "main"]

GO_ON = frozenset({"score", "train", "prepare", "ablate", "calibrate", "watch"})
"""Commands that take up what a stopped run has done."""
HELP = (["--help"], ["-h"])


def __getattr__(name: str) -> object:
    if name == "app":
        from maescan.cli.assembly import whole

        return whole()
    raise AttributeError(f"module 'maescan.cli' has no attribute '{name}'")


def main() -> None:
    """Entry point. Exit codes: those of `maescan --help`."""
    stops: list[int] = []
    _open_streams()
    try:
        _remember(stops)
        _protect_end()
        code = _run(stops)
    except KeyboardInterrupt:
        code = 130
    if stops and code in (1, 2):
        code = 130
    if code == 130:
        _say_stopped()
    sys.exit(code)


def _open_streams() -> None:
    """Standard streams that are closed lead nowhere; a file opened later would get the descriptor, and what is
    printed. Services and windowed Pythons have descriptors, or none, and no stream."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest that is free: this one
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8", errors="backslashreplace"))  # noqa: SIM115


def _remember(stops: list[int]) -> None:
    """Each Ctrl-C goes into `stops` too: an extension that is just being imported makes another error of it."""
    import signal

    def stop(number: int, _: object) -> None:
        stops.append(number)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)


def _protect_end() -> None:
    """What is done at exit is not to be stopped."""
    import atexit
    import signal

    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def _guard_streams() -> None:
    """What is printed where nothing can be written any more ends in order."""
    from maescan.progress import Errors, Output

    for name, kind in (("stdout", Output), ("stderr", Errors)):
        out = getattr(sys, name)
        if out is getattr(sys, f"__{name}__") and isinstance(out, io.TextIOWrapper):
            lines, through = out.line_buffering, out.write_through
            setattr(
                sys, name, kind(out.buffer, out.encoding, out.errors, line_buffering=lines, write_through=through)
            )


def _run(stops: list[int]) -> int | str | None:
    from maescan.errors import MaescanError, lacking, refused

    _guard_streams()
    try:
        code = _command(sys.argv[1:])
        sys.stdout.flush()
        return code
    except Exception as error:
        if stops:
            raise KeyboardInterrupt from error
        if os.environ.get("MAESCAN_DEBUG"):
            import traceback

            traceback.print_exc()
        if isinstance(error, MaescanError):
            return _say(str(error))
        if known := (isinstance(error, ImportError) and lacking(error)) or refused(error):
            return _say(str(known))
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return _say(f"{reason} (a fault of maescan: please report it with what -v shows)", 1)


def _command(typed: list[str]) -> int | str | None:
    if "_MAESCAN_COMPLETE" not in os.environ and (text := _help(typed)):
        print(text)
        return 0 if typed else 2
    from maescan.cli.assembly import app_for

    try:
        app_for(typed)(prog_name="maescan")
    except SystemExit as stop:
        return stop.code
    return 0


def _help(typed: list[str]) -> str:
    """What is said without Typer's parser; "" where more is asked for."""
    if typed in ([], *HELP):
        from maescan.cli.overview import overview

        return overview()
    if typed[1:] not in HELP:
        return ""
    from maescan.cli.assembly import help_of

    return help_of(typed[0])


def _say(text: str, code: int = 2) -> int:
    print(f"maescan: {text}", file=sys.stderr)
    return code


def _say_stopped() -> None:
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    more = "to go on" if command in GO_ON else "to start over"
    _say(f"stopped; run the same command again {more}")
