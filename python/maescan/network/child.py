"""Processes of `maescan listen`: started anew when they die, ended when it ends, whatever way it does."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from maescan.errors import ConfigError, DataError
from maescan.records import decode

Tell = Callable[[str, dict[str, object]], None]
FIRST_S, LONGEST_S = 1.0, 60.0
"""Seconds until a process that died is started anew; twice as long each time it dies at once."""
STEADY_S = 5.0
"""Seconds after which one that worked has not died at once."""
END_S = 30.0


class Child:
    """One process that runs `module`, is told `values` on its standard input, and tells events on its standard
    output. It must tell `ready` within a minute when it is first started. Its end of standard input closing, which no
    way to die prevents, ends it."""

    def __init__(self, module: str, values: Mapping[str, object], ready: str, tell: Tell):
        self._command, self._values = [sys.executable, "-P", "-m", module], json.dumps(values) + "\n"
        self._name, self._ready, self._tell = module.rpartition(".")[2], ready, tell
        self._stop, self._up = threading.Event(), threading.Event()
        self._fault = self._remedy = ""
        self._process = self._start()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait_ready(self) -> None:
        """Returns once it works. Raises ConfigError with its reason where it cannot."""
        while not self._up.wait(0.05):
            if self._fault or not self._thread.is_alive():
                self.close()
                raise ConfigError(self._fault or f"the {self._name} ended as it started", remedy=self._remedy)

    def _start(self) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, text=True, encoding="utf-8")
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.write(self._values)
            process.stdin.flush()
        return process

    def _run(self) -> None:
        """Passes on what it tells; starts it anew when it has died."""
        pause = FIRST_S
        while True:
            began = time.monotonic()
            worked = self._listen() and time.monotonic() - began > STEADY_S
            code = self._process.wait()
            self._close_pipes()
            if self._stop.is_set() or (self._fault and not self._up.is_set()):
                return
            pause = FIRST_S if worked else min(2 * pause, LONGEST_S)
            self._tell("restarted", {"process": self._name, "exit": code, "after_s": pause})
            if self._stop.wait(pause):
                return
            self._process = self._start()

    def _listen(self) -> bool:
        """Passes on its events until it ends; whether it came to work."""
        worked = False
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(DataError):
                facts = decode(dict[str, object], line, path=Path(self._name), remedy="")
                name = str(facts.pop("event", ""))
                if name == "fault":
                    self._remedy = str(facts.get("remedy") or "")
                    self._fault = str(facts.get("reason"))
                worked = worked or name == self._ready
                self._tell(name, facts)
                if name == self._ready:
                    self._up.set()
        return worked

    def _close_pipes(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def close(self) -> None:
        """Ends it: it may finish what it is at."""
        self._stop.set()
        process = self._process
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
        self._thread.join(END_S)
