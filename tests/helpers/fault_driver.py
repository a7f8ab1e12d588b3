"""What faults are injected into: one operation of maescan in a process of its own, and what came of it.

Run with faults.c preloaded: `python -m helpers.fault_driver`, a JSON line a case in, one out. Readers work in the
same process: the faults are those of the output folder, which they never touch.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from helpers.scoring_stub import BUNDLE, Engine
from maescan.datasets import prepare
from maescan.datasets import readers as block_readers
from maescan.engines.bundle import Bundle, put_engine
from maescan.errors import MaescanError
from maescan.scans import search
from maescan.scoring import merge as merging
from maescan.scoring import readers, run, watch
from maescan.scoring.calibrate import calibrate
from maescan.scoring.options import ScoreOptions, WatchOptions
from maescan.scoring.pipeline import score_folder


class Inline:
    """A worker without a process."""

    def __init__(self, make: Callable[..., object], *arguments: object, limits: object):
        self._target = make(*arguments)

    def call(self, method: str, *arguments: object, path: object, stop: object = None) -> object:
        return getattr(self._target, method)(*arguments)

    def close(self) -> None: ...


def score(inputs: Path, out: Path) -> None:
    score_folder([inputs / "scans"], BUNDLE, Engine(), out, ScoreOptions(maps=True, pictures=1, workers=1))


def watched(inputs: Path, out: Path) -> None:
    stop, left = threading.Event(), [len(list((inputs / "scans").iterdir()))]

    def event(name: str, facts: object) -> None:
        left[0] -= name in ("scored", "skipped", "failed")
        if not left[0]:
            stop.set()

    options, timing = ScoreOptions(maps=True, pictures=1, workers=1), WatchOptions(settle_s=0.0, poll_s=0.01)
    watch.watch_folder(watch.Inbox(inputs / "scans", timing, stop), BUNDLE, Engine(), out, options, event)


def prepared(inputs: Path, out: Path) -> None:
    prepare(inputs / "scans", BUNDLE.preset, out, readers=block_readers.Workers(1))


def merge(inputs: Path, out: Path) -> None:
    merging.merge([inputs / "shard1", inputs / "shard2"], BUNDLE, out)


def calibrated(inputs: Path, out: Path) -> None:
    calibrate(out, [inputs / "scans"])


def engine_put(inputs: Path, out: Path) -> None:
    made = out.with_name(f"{out.name}-made")
    shutil.rmtree(made, ignore_errors=True)
    shutil.copytree(inputs / "engine", made)
    try:
        put_engine(out, "fake-fp32", made)
    except OSError as error:  # export tells of it as of any other
        raise MaescanError(str(error)) from error


OPERATIONS: dict[str, Callable[[Path, Path], None]] = {
    **{"score": score, "watch": watched, "prepare": prepared, "merge": merge},
    **{"calibrate": calibrated, "put-engine": engine_put},
}


def _opened(bundle: Path, engine: str, options: object) -> nullcontext[tuple[Bundle, Engine]]:
    return nullcontext((Bundle.load(bundle), Engine()))


def _child(case: dict[str, str], answer: int) -> None:
    """Runs a case; writes what became of it: "done", or the error's type and text."""
    try:
        OPERATIONS[case["operation"]](Path(case["inputs"]), Path(case["out"]))
        told = ["done", ""]
    except MaescanError as error:
        told = ["typed", str(error)]
    except BaseException:
        told = ["untyped", traceback.format_exc()]
    os.write(answer, json.dumps(told).encode())
    os._exit(0)


def main() -> None:
    for module in (search, readers, block_readers, watch):
        module.Worker = Inline  # type: ignore[attr-defined]
    run.opened = _opened  # type: ignore[assignment]
    for line in sys.stdin:
        case = json.loads(line)
        ours, theirs = os.pipe()
        if not (child := os.fork()):
            _child(case, theirs)
        os.close(theirs)
        with os.fdopen(ours, "rb") as stream:
            told = stream.read()
        os.waitpid(child, 0)
        print(told.decode() or json.dumps(["killed", ""]), flush=True)


if __name__ == "__main__":
    main()
