"""The whole path from slices to scores as one ONNX graph: the two networks as they are, and between them what our
kernels do otherwise. A GPU runs it in one go, and its builder sees all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from maescan.config import Preset
from maescan.engines import torch_judge
from maescan.engines.place import narrow_images
from maescan.export.mixed import DTYPES
from maescan.export.networks import ROWS, is_lean
from maescan.export.onnx import traced

if TYPE_CHECKING:
    from onnx import ModelProto

INPUTS = ("images", "token_ids", "keep_ids", "hidden_ids", "restore_ids")
ANSWERS = ("score", "mse", "mae", "difference", "reconstruction")


LINKS = {
    "mae": [("before/visible", "mae/visible"), ("before/rows", "mae/token_ids")],
    "after": [("before/tokens", "after/tokens"), ("mae/result", "after/predictions")],
    "classifier": [("after/by_token", "classifier/patches")],
    "verdict": [("classifier/result", "verdict/logits")],
}


def fits(preset: Preset) -> bool:
    """Whether a preset's path can be one graph: the paper's, the classifier judging the difference, or a judge's."""
    return preset.measure in ("classifier", "judge") and preset.input == "l1" and is_lean(preset)


def whole(mae: bytes, classifier: bytes, preset: Preset, precision: str, opset: int) -> bytes:
    """The graph of `mae` (which takes hidden_ids) and `classifier`, or a judge, ONNX both.

    images [B, H, W] in float16 (see `narrow_images`) or float32, token_ids [B, T], keep_ids [B*R, K], hidden_ids
    [B*R, T-K], restore_ids [B*R, T] -> score, mse, mae [B], difference [B, 1, H, W] (of a judge its map) and
    reconstruction [B, H, W], fp32.
    """
    import onnx
    from onnx.compose import add_prefix, merge_models

    model, rows = preset.model, ROWS * preset.masks.passes
    dtype = DTYPES.get(precision, torch.float32)
    up = torch.float16 if narrow_images(preset, precision) else torch.float32
    ids = torch.arange(model.tokens, dtype=torch.int32).repeat(rows, 1)
    keep = preset.masks.visible(model.tokens)
    tokens = torch.rand(ROWS, model.tokens, model.patch_pixels)
    images = torch.rand(ROWS, model.image_size, model.image_size).to(up)
    before = {"images": images, "token_ids": ids[:ROWS], "keep_ids": ids[:, :keep].contiguous()}
    after = {"tokens": tokens, "predictions": torch.rand(rows, model.tokens - keep, model.patch_pixels).to(dtype),
             "restore_ids": ids, "images": images, "token_ids": ids[:ROWS]}  # fmt: skip
    judged = preset.measure == "judge"
    answers = [name for name in ANSWERS[1:] if not (judged and name == "difference")]
    contents = {
        "before": traced(Before(preset, dtype), before, ("tokens", "visible", "rows"), opset),
        "mae": mae,
        "after": traced((AfterForJudge if judged else After)(preset), after, ("by_token", *answers), opset),
        "classifier": classifier,
    }
    if judged:
        logits = {"logits": torch.rand(ROWS, model.tokens), "token_ids": ids[:ROWS]}
        contents["verdict"] = traced(Verdict(preset), logits, ("score", "difference"), opset)
    parts = {name: add_prefix(onnx.load_from_string(made), f"{name}/") for name, made in contents.items()}
    for part in parts.values():  # as the classifier's, whose low precisions need a newer one
        part.ir_version = parts["classifier"].ir_version
        part.CopyFrom(onnx.helper.make_model(part.graph, opset_imports=parts["classifier"].opset_import,
                                             ir_version=part.ir_version))  # fmt: skip
    made = parts["before"]
    for name, links in LINKS.items():
        made = merge_models(made, parts[name], links) if name in parts else made
    return bytes(_tidied(made).SerializeToString())


class Before(nn.Module):
    """images, token_ids, keep_ids -> tokens [B, T, P*P] fp32, the visible ones [B*R, K, P*P], token_ids a row."""

    def __init__(self, preset: Preset, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.passes, self.grid, self.patch = preset.masks.passes, preset.model.grid, preset.model.patch_size

    def forward(self, images: Tensor, token_ids: Tensor, keep_ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """images [B, H, W], token_ids [B, T], keep_ids [B*R, K]."""
        split = images.reshape(-1, self.grid, self.patch, self.grid, self.patch).permute(0, 1, 3, 2, 4)
        tokens = gathered(split.reshape(-1, self.grid**2, self.patch**2), token_ids)
        rows = token_ids[:, None].expand(-1, self.passes, -1).flatten(0, 1)
        return tokens.float(), gathered(tokens, keep_ids, self.passes).to(self.dtype), rows


class After(nn.Module):
    """tokens, predictions of hidden ones, restore_ids, images, token_ids -> the difference by token [B, T, P*P], mse,
    mae, the difference and the mean reconstruction as pictures; the arithmetic of `kernels.average_difference`."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.passes, self.grid, self.patch = preset.masks.passes, preset.model.grid, preset.model.patch_size

    def forward(
        self, tokens: Tensor, predictions: Tensor, restore_ids: Tensor, images: Tensor, token_ids: Tensor
    ) -> tuple[Tensor, ...]:
        """predictions [B*R, T-K, P*P], restore_ids [B*R, T]; the others as `Before` takes and gives them."""
        predicted, hidden = self.by_pass(predictions, restore_ids)
        mean = torch.where(hidden, tokens[:, None] - predicted, torch.zeros_like(predicted)).mean(dim=1)
        picture = self.picture(mean, token_ids)
        size, pixels = mean.abs(), float((self.grid * self.patch) ** 2)
        mse, mae = mean.square().sum(dim=2).sum(dim=1) / pixels, size.sum(dim=2).sum(dim=1) / pixels
        return size, mse, mae, picture.abs()[:, None], images.float() - picture

    def by_pass(self, predictions: Tensor, restore_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions [B, R, T, P*P] in the order of tokens, and which were hidden [B, R, T, 1]."""
        count, keep = restore_ids.shape[1], restore_ids.shape[1] - predictions.shape[1]
        predicted = gathered(predictions, (restore_ids - keep).clamp(min=0)).float()
        predicted = predicted.reshape(-1, self.passes, count, predictions.shape[2])
        return predicted, (restore_ids >= keep).reshape(-1, self.passes, count)[:, :, :, None]

    def picture(self, values: Tensor, token_ids: Tensor) -> Tensor:
        """values [B, T, P*P] at their places in slices [B, H, W], and zeros elsewhere."""
        split = placed(values, token_ids, self.grid).unflatten(3, (self.patch, self.patch)).permute(0, 1, 3, 2, 4)
        return split.reshape(-1, self.grid * self.patch, self.grid * self.patch)


class AfterForJudge(After):
    """As After, with the judge's features [B, T, ModelConfig.judge_features] in the place of both differences."""

    def forward(
        self, tokens: Tensor, predictions: Tensor, restore_ids: Tensor, images: Tensor, token_ids: Tensor
    ) -> tuple[Tensor, ...]:
        """See After."""
        _, mse, mae, _, reconstruction = super().forward(tokens, predictions, restore_ids, images, token_ids)
        features = torch_judge.of_passes(tokens, *self.by_pass(predictions, restore_ids), self.patch)
        return features, mse, mae, reconstruction


class Verdict(nn.Module):
    """A judge's logits [B, T] at token_ids [B, T] -> the score [B] and the map [B, 1, H, W] of `method.judge`, in
    float32: TensorRT has no more."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.grid, self.patch = preset.model.grid, preset.model.patch_size

    def forward(self, logits: Tensor, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        """The score is the share s / (1 + s) of s, the sum of odds."""
        logits = logits.float()
        cells = placed(logits.clamp(-40, 40).sigmoid()[:, :, None], token_ids, self.grid)
        heat = torch_judge.between(cells.reshape(-1, self.grid, self.grid), self.grid, self.patch)
        return logits.clamp(max=40).logsumexp(dim=1).sigmoid(), heat[:, None]


def placed(values: Tensor, token_ids: Tensor, grid: int) -> Tensor:
    """values [B, T, D] at their places in grids [B, grid, grid, D], and zeros elsewhere."""
    at = token_ids.long() + torch.arange(token_ids.shape[0])[:, None] * grid**2
    empty = torch.zeros(token_ids.shape[0] * grid**2, values.shape[2])
    filled = empty.index_put((at.flatten(),), values.flatten(0, 1))
    return filled.reshape(-1, grid, grid, values.shape[2])


def gathered(values: Tensor, ids: Tensor, each: int = 1) -> Tensor:
    """values [N, S, D] at ids [N * each, M] -> [N * each, M, D]: whole rows of memory, which a gather of single
    numbers would need an index apiece for."""
    first = torch.arange(values.shape[0])[:, None].expand(-1, each).reshape(-1, 1) * values.shape[1]
    flat = (ids.long() + first).flatten()
    return values.flatten(0, 1)[flat].reshape(ids.shape[0], ids.shape[1], values.shape[2])


def _tidied(model: ModelProto) -> ModelProto:
    """Inputs that several parts take as one, inputs and outputs by the names of INPUTS and ANSWERS."""
    graph = model.graph
    names = {port.name: port.name.rpartition("/")[2] for port in (*graph.input, *graph.output)}
    names |= {"classifier/result": "score"} if "verdict/score" not in names else {}
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    inputs = {names[port.name]: port for port in graph.input}
    outputs = {names[port.name]: port for port in graph.output}
    for found, wanted in ((inputs, INPUTS), (outputs, ANSWERS)):
        for name in wanted:
            found[name].name = name
    kept = [inputs[name] for name in INPUTS], [outputs[name] for name in ANSWERS]
    del graph.input[:], graph.output[:]
    graph.input.extend(kept[0])
    graph.output.extend(kept[1])
    return model
