"""What goes up to a GPU in one copy: arrays of any sizes, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from maescan.engines.cuda import Device, DeviceArray, host_array, padded


class Staging:
    """Pinned memory and memory of a GPU, as large as what has gone up at once; larger where more does."""

    def __init__(self, cuda: Device) -> None:
        self.cuda, self._held, self._size, self._host, self._device = cuda, ExitStack(), 0, 0, 0

    def up(self, arrays: Sequence[NDArray[np.generic]], stream: int) -> list[DeviceArray]:
        """The arrays on the GPU once the stream has copied them; they stay until the next call, before which the
        stream must be done."""
        size = sum(padded(array.nbytes) for array in arrays)
        if size > self._size:
            self.close()
            self._host, self._device = self.cuda.take(self._held, size, pinned=True), self.cuda.take(self._held, size)
            self._size = size
        made, at = [], 0
        for array in arrays:
            where = array.shape, array.dtype.name
            host_array(self._host + at, *where)[...] = array
            made.append(DeviceArray(self._device + at, *where, self.cuda.number))
            at += padded(array.nbytes)
        self.cuda.copy(self._device, self._host, size, stream, up=True)
        return made

    def close(self) -> None:
        """Gives the memory back."""
        self._size = 0
        self._held.close()
