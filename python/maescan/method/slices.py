"""What holds slices: an array, or rows of a file that are read when asked for."""

from __future__ import annotations

from typing import Any, Protocol


class SliceStore(Protocol):
    """Slices [N, H, W]; rows are read as they are taken."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W)."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...
