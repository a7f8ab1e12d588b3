"""The folders of `evaluate` and `stress`: whose they are, and what a run replaces there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from maescan.engines.bundle import Bundle
from maescan.files import OUTPUT, kind_of, write_text
from maescan.folders import Taken, taken

EVALUATION, STRESS = "an evaluation", "a stress test"
PICTURES = ["roc.png", "slices.png"]
FILES = {
    EVALUATION: ["metrics.json", "report.md", "slices.csv", "speed.json"],
    STRESS: ["stress.json", "stress.csv", "stress.md", "stress.png"],
}


def output(out: Path, kind: str, listen: Callable[[str], None] | None = None) -> AbstractContextManager[Taken]:
    """`folders.taken` for an evaluation or a stress test. Both had one kind before: then the files tell."""
    with contextlib.suppress(OSError):
        stressed, evaluated = ((out / name).is_file() for name in ("stress.json", "metrics.json"))
        if stressed and not evaluated and kind_of(out) == EVALUATION:
            write_text(out / OUTPUT / "kind", f"{STRESS}\n")
    before = FILES[STRESS] if kind == STRESS else [*FILES[EVALUATION], *PICTURES]
    return taken(out, kind, before=before, listen=listen)


def told(bundle: Bundle, data: object) -> str:
    """What a run is of, for whoever replaces it: the bundle, and the path of the data where it has one."""
    on = f" on {data}" if isinstance(data, str | Path) else ""
    return f"bundle {bundle.path} ({bundle.hash[:12]}){on}"
