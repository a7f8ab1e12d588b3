"""What the path from slices to scores needs of an engine, and of the place where its arrays lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset

Floats = NDArray[np.float32]
Ids = NDArray[np.int32]
Array = Any
"""An array of a place: numpy on the host, or device memory that exports itself by DLPack."""

Answers = dict[str, Array]
"""By name, as `maescan.method.score.enqueue` describes them."""


class Engine(Protocol):
    """The two networks of a bundle. `batch`: slices per call that suit it."""

    name: str
    batch: int

    def reconstruct(self, visible: Array, token_ids: Array, keep_ids: Array, restore_ids: Array) -> Array:
        """visible [N, K, P*P], token_ids [N, T], keep_ids [N, K], restore_ids [N, T] -> predictions [N, T, P*P]."""
        ...

    def classify(self, tokens: Array, token_ids: Array) -> Array:
        """tokens [B, T, P*P], token_ids [B, T] -> probability [B] of abnormal."""
        ...

    def close(self) -> None:
        """Gives back what it holds."""
        ...


class CompiledEngine(Engine, Protocol):
    """An engine of a bundle: `version` is of the library that runs it, `device_name` of what it runs on."""

    version: str
    device_name: str


@dataclass(frozen=True)
class TokenBatch:
    """Slices whose token sets are of one size. images [B, H, W]; slice_ids [B]: the keys of their masks; ids [B, T]:
    the patches that the models see; rows [B*R, T]: the same once per pass; full: the sets are the whole grid."""

    images: Array
    slice_ids: Array
    ids: Array
    rows: Array
    full: bool

    @property
    def token_ids(self) -> Array | None:
        """`ids` as the kernels take them: None for the full grid."""
        return None if self.full else self.ids


class Place(Protocol):
    """Where a batch is scored: the host, or a GPU's memory and a stream. Its networks work on its own arrays."""

    visible_dtype: str
    """What the MAE takes: float32, or 16 bits to which patchify rounds on the way."""

    hidden: bool
    """Whether `reconstruct` takes the ids of the hidden tokens [N, T-K] in the place of restore_ids, and answers for
    these alone: [N, T-K, P*P]."""

    @property
    def stream(self) -> int | None:
        """What work is enqueued on; None: the current one of the arrays' library."""
        ...

    def buffer(self, name: str, shape: tuple[int, ...], dtype: str) -> Array | None:
        """The place's array of that name, the same in every run; None: whoever writes it makes it."""
        ...

    def at_once(self, batch: TokenBatch, keep_ids: Array, hidden_ids: Array, restore_ids: Array) -> Answers | None:
        """All answers of a batch with these masks, from one graph of the whole path; None where there is none."""
        ...

    def reconstruct(self, visible: Array, token_ids: Array, keep_ids: Array, restore_ids: Array) -> Array:
        """As Engine's, but see `hidden`; the predictions may be 16 bits wide."""
        ...

    def classify(self, tokens: Array, token_ids: Array) -> Array:
        """As Engine's."""
        ...

    def judge(self, batch: TokenBatch, predictions: Array, restore_ids: Array, preset: Preset) -> Answers:
        """Of a preset with a judge `score` [B], and `difference` [B, 1, H, W], its map. Raises ConfigError where the
        place cannot."""
        ...


@runtime_checkable
class DeviceEngine(Engine, Protocol):
    """An engine with places of its own: slices go in, answers come out, and nothing between comes to the host."""

    def score(self, batches: Sequence[TokenBatch], preset: Preset, *, maps: bool) -> list[dict[str, Floats]]:
        """The answers of `maescan.method.score.enqueue` for each batch on the host, as arrays on the host."""
        ...
