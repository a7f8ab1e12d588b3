"""NNCF's post-training quantisation of OpenVINO models: int8 linear maps, with ranges of training slices."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.engines.bundle import Bundle, load_arrays
from maescan.errors import DataError, typed
from maescan.machine import cpu_features
from maescan.method.engine import Array, Engine, Floats, Ids

SLICES = "quantisation.safetensors"
"""Training slices in a run folder, for the ranges of int8's activations."""

MOST = 64
"""Slices that the ranges are taken from."""

KEPT = {
    "types": ["ScaledDotProductAttention", "Softmax"],
    "patterns": [".*patch_embed.*", ".*head.*", ".*decoder_pred.*"],
}
"""What stays in bf16: attention's products gain little, the first linear maps see differences that are mostly near 0,
and the last ones speak directly to the score."""

ALPHA = 0.3
"""SmoothQuant: how much of the activations' range moves into the weights. Over eight trained models, AUROC changes by
0.003 at most; with NNCF's 0.95 it was 0.014."""


EXACT = {"avx512_vnni", "avx_vnni", "amx_int8"}
"""With one of these a CPU adds products of 8 bits exactly; others add pairs in 16 bits, which can overflow."""

Inputs = list[dict[str, NDArray[np.float32] | NDArray[np.int32]]]
"""What one network is asked, call by call, by the names of its inputs."""


def training_inputs(bundle: Bundle, engine: Engine) -> dict[str, Inputs]:
    """The inputs of `mae` and `classifier` on the bundle's training slices, one slice each, as scoring feeds them.

    They lie in the run folder: a bundle holds no slices of patients. Raises DataError where there are none.
    """
    from maescan.method.score import score_slices

    file = slices_of(bundle)
    slices, recorder = load_arrays(file), Recorder(engine)
    for image, number in zip(slices["images"][:MOST], slices["slice_ids"][:MOST], strict=True):
        score_slices(image[None], number[None], recorder, bundle.preset)
    return recorder.seen


def slices_of(bundle: Bundle) -> Path:
    """The file of training slices. Raises DataError where there is none."""
    file = None if bundle.run is None else bundle.run / SLICES
    if file is None or not file.is_file():
        remedy = f"maescan export RUN --out {typed(bundle.path)} with the run folder that it was made of; imported"
        remedy += " weights have slices with `maescan import-checkpoint --data SCANS --precision int8`"
        raise DataError(
            "there are no training slices to quantise with", path=bundle.run or bundle.path, remedy=remedy
        )
    return file


class Recorder:
    """An engine that keeps what it is given."""

    name, batch = "recorder", 1

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.seen: dict[str, Inputs] = {"mae": [], "classifier": []}

    def reconstruct(self, visible: Floats, token_ids: Ids, keep_ids: Ids, restore_ids: Ids) -> Array:
        self.seen["mae"].append(
            {"visible": visible, "token_ids": token_ids, "keep_ids": keep_ids, "restore_ids": restore_ids}
        )
        return self.engine.reconstruct(visible, token_ids, keep_ids, restore_ids)

    def classify(self, tokens: Floats, token_ids: Ids) -> Array:
        self.seen["classifier"].append({"patches": tokens, "token_ids": token_ids})
        return self.engine.classify(tokens, token_ids)

    def close(self) -> None:
        """The engine that is listened to stays open."""


def quantise(model: Any, inputs: Inputs) -> Any:
    """An OpenVINO model with int8 linear maps, their ranges those of `inputs`; on a CPU that would overflow, weights
    take 7 bits."""
    import nncf
    from nncf.quantization.advanced_parameters import OverflowFix

    exact = not EXACT.isdisjoint(cpu_features())
    with _errors_only(logging.getLogger("nncf")), contextlib.redirect_stdout(io.StringIO()):  # bars: we have our own
        return nncf.quantize(
            model,
            nncf.Dataset(inputs),
            subset_size=len(inputs),
            model_type=nncf.ModelType.TRANSFORMER,
            preset=nncf.QuantizationPreset.PERFORMANCE,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=OverflowFix.DISABLE if exact else OverflowFix.ENABLE,
                smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=ALPHA),
            ),
            ignored_scope=nncf.IgnoredScope(**KEPT, validate=False),
        )


@contextlib.contextmanager
def _errors_only(logger: logging.Logger) -> Iterator[None]:
    """`nncf.set_log_level` sets the level of each handler of its logger, the process's own among them, for good."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
