"""The progress bar of training."""

from __future__ import annotations

import sys
from typing import Any


class Bar:
    """Phase, steps, loss, rate and time left on stderr; nothing where that is not a terminal."""

    def __init__(self, name: str, total: int, *, quiet: bool) -> None:
        self.bar: Any = None if quiet or not sys.stderr.isatty() else _rich()
        self.task = self.bar.add_task(name, total=total, text="") if self.bar else None

    def __enter__(self) -> Bar:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def show(self, step: int, loss: float, lr: float, auroc: float | None) -> None:
        """What is done so far, of all epochs."""
        if self.bar:
            judged = "" if auroc is None else f" val {auroc:.3f}"
            self.bar.update(self.task, completed=step, text=f"loss {loss:.4f} lr {lr:.1e}{judged}")


def _rich() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), "{task.fields[text]}")
    texts = [TextColumn(c) if isinstance(c, str) else c for c in columns]
    return Progress(*texts, TimeRemainingColumn(), console=Console(stderr=True))
