"""Libraries warn and fail in their own words; ours are in `Scan.warnings` and in errors."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_lock = threading.Lock()
_users = 0
_stack = ExitStack()


def one_line(error: BaseException) -> str:
    """What a library said, as part of one line: printable, and not endless."""
    text = "".join(letter if letter.isprintable() else " " for letter in f"{error}")
    return " ".join(text.split())[:150] or type(error).__name__


@contextmanager
def quiet() -> Iterator[None]:
    """No Python warnings inside. `warnings.catch_warnings` alone is not safe where several threads read."""
    global _users
    with _lock:
        if _users == 0:
            _stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _stack.close()
