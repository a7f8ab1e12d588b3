"""The two networks as every exporter wants them: a module, and named example inputs."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from maescan.config import Preset
from maescan.export.lean import HiddenMae, LeanMae, Scores

ROWS = 2
Network = nn.Module | None
"""One of the two; None where a run has none."""


def is_lean(preset: Preset) -> bool:
    """Whether predictions of visible tokens are read by nobody, and need not be made."""
    return preset.masks.paste


def networks(
    mae: Network, classifier: Network, preset: Preset, *, hidden: bool = False
) -> Iterator[tuple[str, nn.Module, dict[str, Tensor]]]:
    """`mae` and `classifier`, those that are there, each with inputs of ROWS rows of the full grid. A judge stands in
    the classifier's place: features of tokens -> their logits. hidden: a lean MAE takes hidden_ids in the place of
    restore_ids, and answers for those tokens alone."""
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
        if hidden and is_lean(preset):
            yield "mae", HiddenMae(mae).eval(), {**given, "hidden_ids": ids[:, count:].contiguous()}
        else:
            yield "mae", (LeanMae(mae) if is_lean(preset) else mae).eval(), {**given, "restore_ids": ids.clone()}
    if classifier is not None and preset.network == "judge":
        features = torch.rand(ROWS, model.tokens, model.judge_features, generator=torch.Generator().manual_seed(0))
        yield "classifier", classifier.eval(), {"patches": features, "token_ids": ids}
    elif classifier is not None:
        yield "classifier", Scores(classifier).eval(), {"patches": patches, "token_ids": ids}
