"""How scores, shares and counts are written: as decimals that two different ones do not have in common."""

from __future__ import annotations

import math

LEAST, MOST, DIGITS = 6, 12, 4


def decimal(value: float, least: int = LEAST, digits: int = DIGITS) -> str:
    """`least` decimals, and up to twelve where these would leave fewer than `digits` of the value, or of what it
    lacks to 1: a judge's scores of scans that it does not know lie close to 1, squared errors close to 0, and their
    order is what counts. The same text for the same value."""
    small = min(abs(value), abs(1 - value)) or 1.0
    if not math.isfinite(small):
        return str(value)
    return f"{value:.{min(MOST, max(least, digits - 1 - math.floor(math.log10(small))))}f}"


def short(value: float) -> str:
    """For people: four decimals, more where these would say 0 or 1 of what is not."""
    return decimal(value, 4, 2)


def rounded(value: float, sign: str = "") -> str:
    """Three decimals, and up to nine where these would say 0, 1 or -1 of what is not. sign: "+" writes it always."""
    ends = (0.0, 1.0, -1.0)
    exact = min(abs(value - end) for end in ends) < 1e-9  # what is left of sums
    digits = next((n for n in range(3, 10) if exact or round(value, n) not in ends), 9)
    return f"{round(value, digits) + 0.0:{sign}.{digits}f}"


def counted(number: int, one: str, several: str | None = None) -> str:
    """So many of something; several: what more than one are called, where that is not `one` with an s behind it.

    >>> counted(1, "healthy scan"), counted(0, "slice"), counted(2, "axis", "axes")
    ('1 healthy scan', '0 slices', '2 axes')
    """
    return f"{number} {one if number == 1 else several or f'{one}s'}"
