"""Libraries warn about files in their own words; ours are in `Scan.warnings` and in errors."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_lock = threading.Lock()
_users = 0
_stack = ExitStack()


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
