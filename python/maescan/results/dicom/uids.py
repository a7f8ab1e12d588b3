"""UIDs that depend on what an object says, and on nothing else: the same result twice is one object in an archive."""

from __future__ import annotations

import uuid

SPACE = uuid.UUID("6f1ff1ab-9a5e-5c0e-9d0c-0d0a3b1d7c55")
"""Of all UIDs made here."""
WRITER = "2"
"""To be raised whenever the objects come to be written otherwise: other bytes need other UIDs."""


def make_uid(*parts: str) -> str:
    """ "2.25." and the UUIDv5 of the parts as a number."""
    return f"2.25.{uuid.uuid5(SPACE, chr(0).join((WRITER, *parts))).int}"
