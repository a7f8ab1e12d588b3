"""Progress bars on stderr, where that is a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

Step = Callable[[int, float, float, float | None], None]
"""Called with the steps done, the mean loss, the learning rate and the AUROC of validation where there is one."""


@contextlib.contextmanager
def shown(what: str, quiet: bool = False, unit: str = "scans") -> Iterator[Callable[[int, int], None] | None]:
    """A function to be called with (done, in all), or None where nobody looks."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    count = TextColumn("{task.description}  {task.completed}/{task.total} " + unit)
    columns = (count, BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def training_bar(quiet: bool = False) -> Callable[[str, int], contextlib.AbstractContextManager[Step]] | None:
    """What `train` shows its phases with: steps, loss, rate and time left; None where nobody looks."""
    return None if quiet or not sys.stderr.isatty() else _phase_bar


@contextlib.contextmanager
def _phase_bar(name: str, steps: int) -> Iterator[Step]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    name_column, text_column = TextColumn("{task.description}"), TextColumn("{task.fields[text]}")
    columns = (name_column, BarColumn(), MofNCompleteColumn(), text_column, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=steps, text="")

        def show(step: int, loss: float, lr: float, auroc: float | None) -> None:
            judged = "" if auroc is None else f" val {auroc:.3f}"
            bar.update(task, completed=step, text=f"loss {loss:.4f} lr {lr:.1e}{judged}")

        yield show
