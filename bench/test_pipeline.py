"""A folder of scans through the whole pipeline, with an engine that costs nothing: what all else costs.

python -m pytest bench/test_pipeline.py --benchmark-only
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from busy import no_bundle
from maescan.config import preset
from maescan.datasets.phantom import write_phantom
from maescan.scoring.options import ScoreOptions
from maescan.scoring.pipeline import score_folder


class Free:
    """Predicts zeros."""

    name, batch = "free", 8

    def reconstruct(self, visible: Any, token_ids: Any, keep_ids: Any, restore_ids: Any) -> Any:
        return np.zeros((len(visible), restore_ids.shape[1], visible.shape[2]), np.float32)

    def classify(self, tokens: Any, token_ids: Any) -> Any:
        return tokens.mean(axis=(1, 2))


@pytest.mark.parametrize("name", ["tiny", "tiny-fg", "brats"])
def test_folder(benchmark: Any, name: str, tmp_path: Path) -> None:
    chosen = preset(name)
    if chosen.tokens.method != "all":
        chosen = chosen.replace(tokens__buckets=(16, 32, 48, 64))
    write_phantom(tmp_path / "scans", healthy=8, lesions=0, seed=0)
    bundle = no_bundle(chosen)
    options = ScoreOptions(force=True, pictures=0)
    run = lambda: score_folder([tmp_path / "scans" / "healthy"], bundle, Free(), tmp_path / "out", options)  # noqa: E731
    assert len(benchmark.pedantic(run, rounds=5, warmup_rounds=1).scored) == 8
