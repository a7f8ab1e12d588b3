"""Libraries that say nothing."""

from __future__ import annotations

import logging
import warnings


def quiet_libraries() -> None:
    """pynetdicom and pydicom write names and identifiers into logs and warnings: for a process of ours, they say
    nothing."""
    for name in ("pynetdicom", "pydicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    warnings.simplefilter("ignore")
