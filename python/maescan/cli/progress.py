"""What commands show while they work, on stderr: see `maescan.progress`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from maescan import progress
from maescan.progress import Update

Step = Callable[[int, float, float, float | None], None]
"""Called with the steps done, the mean loss, the learning rate and the AUROC of validation where there is one."""


def shown(what: str, quiet: bool = False, unit: str = "scans") -> contextlib.AbstractContextManager[Update]:
    """A function to be called with (done, in all); a bar where it writes to a terminal, else lines."""
    return progress.shown(what, quiet, unit)


def training_bar(quiet: bool = False) -> Callable[[str, int], contextlib.AbstractContextManager[Step]] | None:
    """What `train` shows its phases with: steps, loss, rate and time left; None where nobody looks."""
    return None if quiet else _phase


@contextlib.contextmanager
def _phase(name: str, steps: int) -> Iterator[Step]:
    with progress.shown(name, unit="steps", keep=True) as update:

        def show(step: int, loss: float, lr: float, auroc: float | None) -> None:
            judged = "" if auroc is None else f" val {auroc:.3f}"
            update(step, steps, f"loss {loss:.4f} lr {lr:.1e}{judged}")

        yield show
