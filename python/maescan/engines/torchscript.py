"""TorchScript: the fp32 reference on any machine with torch; needs none of our modules."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.machine import cpu_name


class TorchScriptEngine:
    """The two traced models of an engine folder, on a CPU or a GPU."""

    target, batch = "torchscript", 8

    def __init__(
        self, folder: Path, values: dict[str, Any], *, device: str, threads: int | None, preset: Any
    ) -> None:
        import torch

        if threads:
            torch.set_num_threads(threads)
        self.precision, self.version = values["precision"], f"torch {torch.__version__}"
        self.device, self.name = torch.device(device), f"{self.target}-{self.precision}"
        self.device_name = cpu_name() if self.device.type == "cpu" else torch.cuda.get_device_name(self.device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces the end of TorchScript; C++ programs still load it
            self._mae, self._classifier = (
                torch.jit.load(file, map_location=self.device) if file.exists() else None
                for file in (folder / "mae.pt", folder / "classifier.pt")
            )

    def reconstruct(self, visible: Any, token_ids: Any, keep_ids: Any, restore_ids: Any) -> NDArray[np.float32]:
        """visible [N, K, P*P], token_ids [N, T], keep_ids [N, K], restore_ids [N, T] -> predictions [N, T, P*P]."""
        return self._run(self._mae, visible, token_ids, keep_ids, restore_ids)

    def classify(self, tokens: Any, token_ids: Any) -> NDArray[np.float32]:
        """tokens [B, T, P*P], token_ids [B, T] -> probability [B] of abnormal."""
        return self._run(self._classifier, tokens, token_ids)

    def _run(self, model: Any, *arrays: Any) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            given = [torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in arrays]
            result: NDArray[np.float32] = model(*given).cpu().contiguous().numpy()
        return result

    def close(self) -> None:
        self._mae = self._classifier = None
