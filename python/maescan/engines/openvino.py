"""OpenVINO: the default on CPUs. Loads no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.engines.device import cpu_name

HINT = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}
"""Arithmetic of what is not quantised."""


class OpenVinoEngine:
    """The two models of an engine folder, compiled for this CPU."""

    target, batch = "openvino", 8

    def __init__(
        self, folder: Path, values: dict[str, Any], *, device: str, threads: int | None, preset: Any
    ) -> None:
        import openvino

        self.precision, self.version = values["precision"], f"openvino {openvino.__version__}"
        self.name, self.device_name = f"{self.target}-{self.precision}", cpu_name()
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": HINT[self.precision], "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        core = openvino.Core()
        self._mae, self._classifier = (
            core.compile_model(folder / f"{name}.xml", "CPU", settings) if (folder / f"{name}.xml").exists() else None
            for name in ("mae", "classifier")
        )

    def reconstruct(self, visible: Any, token_ids: Any, keep_ids: Any, restore_ids: Any) -> NDArray[np.float32]:
        """visible [N, K, P*P], token_ids [N, T], keep_ids [N, K], restore_ids [N, T] -> predictions [N, T, P*P]."""
        assert self._mae is not None
        result: NDArray[np.float32] = self._mae([visible, token_ids, keep_ids, restore_ids])[0]
        return result

    def classify(self, tokens: Any, token_ids: Any) -> NDArray[np.float32]:
        """tokens [B, T, P*P], token_ids [B, T] -> probability [B] of abnormal."""
        assert self._classifier is not None
        result: NDArray[np.float32] = self._classifier([tokens, token_ids])[0]
        return result

    def close(self) -> None:
        self._mae = self._classifier = None
