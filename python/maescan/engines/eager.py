"""A run folder as an engine, so that ablations need no export. Loads torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.method.engine import Floats, Ids


class TorchEngine:
    """`reconstruct` and `classify` of a run folder, with the interface of `maescan.engines`."""

    name, target, precision, batch = "torch-fp32", "torch", "fp32", 32

    def __init__(self, run: Path, preset: Preset, device: str = "cpu"):
        """Loads mae.safetensors and classifier.safetensors, or judge.safetensors, where they are there. Raises
        DataError for weights of another network."""
        from maescan.models import Classifier, Judge, MaskedAutoencoder

        self.device = device
        self.mae = self._load(MaskedAutoencoder(preset.model), run / "mae.safetensors")
        judged = preset.network == "judge"
        network = Judge(preset.model, preset.judge) if judged else Classifier(preset.model)
        self.classifier = self._load(network, run / f"{preset.network or 'classifier'}.safetensors")
        self._answer = self.classifier if judged or self.classifier is None else self.classifier.score

    def _load(self, model: Any, path: Path) -> Any:
        from maescan.models.weights import load_weights

        if not path.exists():
            return None
        load_weights(path, model)
        return model.to(self.device).eval()

    def reconstruct(self, visible: Floats, token_ids: Ids, keep_ids: Ids, restore_ids: Ids) -> Floats:
        """Predictions [N, T, P*P] of visible [N, K, P*P]."""
        return self._run(self.mae, visible, token_ids, keep_ids, restore_ids)

    def classify(self, tokens: Floats, token_ids: Ids) -> Floats:
        """Probability [B] that tokens [B, T, P*P] are of an abnormal slice; of a judge, logits [B, T] of features."""
        return self._run(self._answer, tokens, token_ids)

    def _run(self, model: Any, *arrays: Floats | Ids) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            given = [torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in arrays]
            result: NDArray[np.float32] = model(*given).float().cpu().contiguous().numpy()
        return result

    def close(self) -> None:
        self.mae = self.classifier = self._answer = None
