"""ONNX models with onnxruntime: to prove the interchange, and for machines that have nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.config.types import Json
from maescan.machine import cpu_name
from maescan.method.engine import Floats, Ids


class OnnxEngine:
    """The two models of an engine folder, on the CPU."""

    target, batch = "onnx", 8

    def __init__(self, folder: Path, values: Json, *, device: str, threads: int | None, preset: Preset) -> None:
        import onnxruntime

        self.precision, self.version = values["precision"], f"onnxruntime {onnxruntime.__version__}"
        self.name, self.device_name = f"{self.target}-{self.precision}", cpu_name()
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads or 0
        self._mae, self._classifier = (
            onnxruntime.InferenceSession(folder / f"{name}.onnx", settings, providers=["CPUExecutionProvider"])
            if (folder / f"{name}.onnx").exists()
            else None
            for name in ("mae", "classifier")
        )

    def reconstruct(self, visible: Floats, token_ids: Ids, keep_ids: Ids, restore_ids: Ids) -> Floats:
        """visible [N, K, P*P], token_ids [N, T], keep_ids [N, K], restore_ids [N, T] -> predictions [N, T, P*P]."""
        return self._run(self._mae, visible, token_ids, keep_ids, restore_ids)

    def classify(self, tokens: Floats, token_ids: Ids) -> Floats:
        """tokens [B, T, P*P], token_ids [B, T] -> probability [B] of abnormal."""
        return self._run(self._classifier, tokens, token_ids)

    def _run(self, session: Any, *arrays: Floats | Ids) -> NDArray[np.float32]:
        names = [port.name for port in session.get_inputs()]
        result: NDArray[np.float32] = session.run(None, dict(zip(names, arrays, strict=True)))[0]
        return result

    def close(self) -> None:
        self._mae = self._classifier = None
