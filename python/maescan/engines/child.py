"""An engine of a bundle proved in a process of its own, under a limit of time and one of memory: whatever its file
does to the library that runs it (crash, hang, ask for all memory) ends that process."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

from msgspec import field

from maescan.engines import prove
from maescan.engines.bundle import Bundle
from maescan.errors import EngineError, MaescanError
from maescan.records import StrictRecord, decode
from maescan.scans.budget import Limits, gigabytes, set_memory

REMEDY = "do not use the engine, export it anew; or raise --limit-seconds or --limit-memory"


class Request(StrictRecord, frozen=True):
    """Which engine of which bundle (its path's bytes, in hexadecimal) to prove on which device. memory: bytes that it
    may take; 0: no limit."""

    bundle: str
    engine: str
    device: str
    trust: bool
    memory: int


class Answer(StrictRecord, frozen=True):
    """drift, or the reason and the remedy of a refusal."""

    drift: dict[str, float | None] = field(default_factory=dict)
    reason: str = ""
    remedy: str = ""


def prove_apart(bundle: Bundle, name: str, device: str, limits: Limits, *, trust: bool = False) -> dict[str, float]:
    """The drift of an engine on the golden slices. Raises EngineError and BundleError as `engines.prove`, and
    EngineError where its process ended, took longer than the limit, or took more memory."""
    path = os.fsencode(bundle.path).hex()  # which may be no UTF-8
    bytes_ = 0 if device.startswith("cuda") else limits.bytes  # a GPU's driver maps more than any limit
    given = {"bundle": path, "engine": name, "device": device, "trust": trust, "memory": bytes_}
    folder, command = (
        bundle.engine_folder(name),
        [sys.executable, "-P", "-m", "maescan.engines.child", json.dumps(given)],
    )
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        out, _ = process.communicate(timeout=limits.seconds)
    except subprocess.TimeoutExpired as error:
        reason = f"took over {limits.seconds:g} s to load and to answer"
        raise EngineError(reason, path=folder, remedy=REMEDY) from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    if process.returncode:
        reason = f"its process ended ({_told(process.returncode)}) within {gigabytes(limits.bytes)} of memory"
        raise EngineError(reason, path=folder, remedy=REMEDY)
    last = out.strip().rsplit(b"\n", 1)[-1]
    answer = decode(Answer, last, path=folder, remedy=REMEDY, error=EngineError)
    if answer.reason:
        raise EngineError(answer.reason, path=folder, remedy=answer.remedy or None)
    return {part: float("nan") if value is None else value for part, value in answer.drift.items()}


def _told(code: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"exit {code}"


def main(given: str) -> None:
    """Proves an engine and prints the Answer as the last line of JSON."""
    request = decode(Request, given, path=Path("request"), remedy="this is a call of `maescan verify` only")
    bundle = Bundle.load(Path(os.fsdecode(bytes.fromhex(request.bundle))), signed=False)
    if request.memory:
        set_memory(request.memory)
    try:
        folder, values = bundle.engine_folder(request.engine), bundle.engines()[request.engine]
        drift = prove(bundle, folder, values, request.device, trust=request.trust)
        answer: dict[str, object] = {
            "drift": {part: value if math.isfinite(value) else None for part, value in drift.items()}
        }
    except MaescanError as error:
        answer = {"reason": error.reason, "remedy": error.remedy or ""}
    except MemoryError:
        answer = {"reason": f"does not fit in {gigabytes(request.memory)} of memory", "remedy": REMEDY}
    print(f"\n{json.dumps(answer)}", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
