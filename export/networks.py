"""The two networks as every exporter wants them: a module, and named example inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from maescan.config import Preset
from maescan.export.lean import LeanMae, Scores

ROWS = 2


def networks(mae: Any, classifier: Any, preset: Preset) -> Iterator[tuple[str, nn.Module, dict[str, Tensor]]]:
    """`mae` and `classifier`, those that are there, each with inputs of ROWS rows of the full grid. A judge stands in
    the classifier's place: features of tokens -> their logits."""
    model = preset.model
    ids = torch.arange(model.tokens, dtype=torch.int32).repeat(ROWS, 1)
    patches = torch.rand(ROWS, model.tokens, model.patch_pixels, generator=torch.Generator().manual_seed(0))
    if mae is not None:
        count = preset.masks.visible(model.tokens)
        given = {
            "visible": patches[:, :count].contiguous(),
            "token_ids": ids,
            "keep_ids": ids[:, :count].contiguous(),
        }
        lean = preset.masks.paste and preset.model.decoder_depth > 1
        yield "mae", (LeanMae(mae) if lean else mae).eval(), {**given, "restore_ids": ids.clone()}
    if classifier is not None and preset.network == "judge":
        features = torch.rand(ROWS, model.tokens, model.judge_features, generator=torch.Generator().manual_seed(0))
        yield "classifier", classifier.eval(), {"patches": features, "token_ids": ids}
    elif classifier is not None:
        yield "classifier", Scores(classifier).eval(), {"patches": patches, "token_ids": ids}
