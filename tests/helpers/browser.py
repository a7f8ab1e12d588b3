"""A headless Chromium that clicks, types and takes pictures: its DevTools protocol over two pipes."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--mute-audio"),
    *("--disable-dev-shm-usage", "--disable-background-networking", "--remote-debugging-pipe"),
)


class Browser:
    """One page. messages: what was written to its console, errors and what its policy refused included; requests:
    the addresses that it asked for."""

    def __init__(self, width: int = 1400, height: int = 900):
        assert BROWSER is not None
        self._profile = tempfile.mkdtemp(prefix="maescan-browser-")
        read, self._to = os.pipe()
        self._from, write = os.pipe()
        script = f'exec 3<&{read} 4>&{write}; exec "$0" "$@"'
        command = ["bash", "-c", script, BROWSER, *OPTIONS, f"--user-data-dir={self._profile}", "about:blank"]
        self._process = subprocess.Popen(
            command,
            pass_fds=(read, write),
            env=os.environ | {"TMPDIR": self._profile},  # what it leaves behind goes with its profile
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        self._numbers, self._rest, self._session = itertools.count(1), b"", None
        self._events: list[dict[str, Any]] = []
        self.messages: list[str] = []
        self.requests: list[str] = []
        target = next(t for t in self._send("Target.getTargets")["targetInfos"] if t["type"] == "page")
        found = self._send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._send(f"{domain}.enable")
        self.resize(width, height)

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """The window, as of a phone where it is narrow."""
        self._send(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._send("Emulation.setEmulatedMedia", features=[scheme])

    def on_paper(self) -> None:
        """As it is printed by somebody who likes a dark screen."""
        self.run("dispatchEvent(new Event('beforeprint'))")
        scheme = {"name": "prefers-color-scheme", "value": "dark"}
        self._send("Emulation.setEmulatedMedia", media="print", features=[scheme])

    def open(self, path: Path, fragment: str = "") -> None:
        """Loads a file and waits until all of it is there."""
        for address in ("about:blank", path.as_uri() + fragment):  # a fragment alone would load nothing anew
            self._events.clear()
            self._send("Page.navigate", url=address)
            self._wait("Page.loadEventFired")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        found = self._send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def click(self, selector: str, number: int = 0) -> None:
        """The middle of an element, which is scrolled into sight."""
        script = f"document.querySelectorAll({json.dumps(selector)})[{number}]"
        self.run(f"{script}.scrollIntoView({{block: 'center'}})")
        x, y = self.run(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({script}.getBoundingClientRect())")
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            pressed = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            self._send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **pressed)

    def press(self, *keys: str) -> None:
        """Keys, one after the other."""
        for key in keys:
            text = {"text": key} if len(key) == 1 else {}
            self._send("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
            self._send("Input.dispatchKeyEvent", type="keyUp", key=key)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """A PNG of the window, or of the whole page."""
        found = self._send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def close(self) -> None:
        """Ends the browser."""
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)
        shutil.rmtree(self._profile, ignore_errors=True)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, method: str, **values: Any) -> Any:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": values}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _wait(self, event: str) -> None:
        while not any(found["method"] == event for found in self._events):
            self._next()

    def _next(self) -> dict[str, Any]:
        """One message; events are remembered."""
        until = time.monotonic() + 60
        while b"\0" not in self._rest:
            assert select.select([self._from], [], [], max(0, until - time.monotonic()))[0], "the browser is silent"
            part = os.read(self._from, 1 << 20)
            assert part, "the browser ended"
            self._rest += part
        raw, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(raw)
        if "method" in message:
            self._events.append(message)
            self._remember(message["method"], message["params"])
        return message

    def _remember(self, method: str, values: dict[str, Any]) -> None:
        if method == "Log.entryAdded":
            self.messages.append(values["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.messages.append(str(values["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled":
            self.messages.append(str([each.get("value") for each in values["args"]]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])
