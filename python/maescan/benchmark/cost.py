"""What a slice costs, by formula: matrix operations of the models (a multiply-add is two), weights, bytes moved."""

from __future__ import annotations

from collections.abc import Iterator

from maescan.config import Preset

PICTURES = 9
"""What the judge sees of a slice."""


def transformer(sequence: int, dim: int, depth: int, mlp_ratio: float) -> int:
    """Operations of `depth` blocks over one sequence: projections, (4 + 2 * mlp_ratio) * dim^2 a token, and
    attention's two products of sequence * dim per token."""
    return int(depth * 2 * sequence * dim * ((4 + 2 * mlp_ratio) * dim + 2 * sequence))


def mae(preset: Preset, tokens: int | None = None) -> int:
    """Operations of one pass of the MAE over one slice of `tokens` tokens (default: the full grid)."""
    m, tokens = preset.model, tokens or preset.model.tokens
    visible = preset.masks.visible(tokens)
    embed = 2 * visible * m.patch_pixels * m.encoder_dim
    encoder = transformer(visible + 1, m.encoder_dim, m.encoder_depth, m.mlp_ratio)
    bridge = 2 * (visible + 1) * m.encoder_dim * m.decoder_dim
    decoder = transformer(tokens + 1, m.decoder_dim, m.decoder_depth, m.mlp_ratio)
    return embed + encoder + bridge + decoder + 2 * (tokens + 1) * m.decoder_dim * m.patch_pixels


def classifier(preset: Preset, tokens: int | None = None) -> int:
    """Operations of the classifier over one slice of `tokens` tokens (default: the full grid)."""
    m, tokens = preset.model, tokens or preset.model.tokens
    embed = 2 * tokens * m.patch_pixels * m.encoder_dim
    return embed + transformer(tokens + 1, m.encoder_dim, m.encoder_depth, m.mlp_ratio) + 2 * m.encoder_dim * 2


def judge(preset: Preset, tokens: int | None = None) -> int:
    """Operations of the judge over one slice of `tokens` tokens (default: the full grid)."""
    dim, tokens = preset.judge.dim, tokens or preset.model.tokens
    return 2 * sum(weights * pixels for weights, pixels in _convolutions(preset)) + 2 * tokens * dim * (2 * dim + 1)


def slice_operations(preset: Preset, tokens: int | None = None) -> int:
    """Operations of scoring one slice: all passes of the MAE, and what judges them where the measure uses it."""
    behind = {"classifier": classifier, "judge": judge}.get(preset.measure)
    return preset.masks.passes * mae(preset, tokens) + (behind(preset, tokens) if behind else 0)


def engine_operations(preset: Preset, tokens: int | None = None) -> int:
    """`slice_operations` without what the exported networks leave out because nobody reads it (export/lean.py)."""
    m, tokens, spared = preset.model, tokens or preset.model.tokens, 0.0
    wide = 2 * m.decoder_dim**2
    if preset.masks.paste:
        unread = preset.masks.visible(tokens) + 1
        answers = (1 + 2 * m.mlp_ratio) * wide + 4 * (tokens + 1) * m.decoder_dim + 2 * m.decoder_dim * m.patch_pixels
        spared += preset.masks.passes * ((tokens + 1 - unread) * 3 * wide + unread * answers)
    if preset.measure == "classifier":
        spared += (tokens + 1) * 2 * m.mlp_ratio * m.encoder_dim**2
    return slice_operations(preset, tokens) - int(spared)


def mae_weights(preset: Preset) -> int:
    """Weights of the MAE's matrix products, biases and norms left out (under 1 % of them)."""
    m = preset.model
    per_square = 4 + 2 * m.mlp_ratio
    blocks = m.encoder_depth * per_square * m.encoder_dim**2 + m.decoder_depth * per_square * m.decoder_dim**2
    return int(blocks) + m.encoder_dim * (m.patch_pixels + m.decoder_dim) + m.decoder_dim * m.patch_pixels


def classifier_weights(preset: Preset) -> int:
    """Weights of the classifier's matrix products, likewise."""
    m = preset.model
    return int(m.encoder_depth * (4 + 2 * m.mlp_ratio) * m.encoder_dim**2) + m.encoder_dim * (m.patch_pixels + 2)


def judge_weights(preset: Preset) -> int:
    """Weights of the judge's convolutions and products, likewise."""
    return sum(weights for weights, _ in _convolutions(preset)) + preset.judge.dim * (2 * preset.judge.dim + 1)


def _convolutions(preset: Preset) -> Iterator[tuple[int, int]]:
    """(weights, pixels that they are used at) of each convolution of the judge, which see the whole slice."""
    side, given = preset.model.image_size, PICTURES
    for number, (stride, width) in enumerate(preset.judge.stages(preset.model.patch_size)):
        side //= stride
        yield 9 * given * width, side**2
        if number:
            yield from ((9 * width**2, side**2), (stride**2 * given * width, side**2))
        given = width
    for _ in range(2 * preset.judge.depth):
        yield 9 * given**2, side**2


def activations(sequence: int, dim: int, depth: int, mlp_ratio: float) -> int:
    """Values that the matrix products of `depth` blocks read and write: a token's projections, attention and MLP take
    and give (4 + 4 + 2 + 2 * (1 + mlp_ratio)) * dim."""
    return int(depth * sequence * dim * (12 + 2 * mlp_ratio))


def judge_activations(preset: Preset) -> int:
    """Values that the judge's convolutions read and write."""
    side, given, values = preset.model.image_size, PICTURES, 0
    for number, (stride, width) in enumerate(preset.judge.stages(preset.model.patch_size)):
        before, side = side, side // stride
        values += before**2 * given * (2 if number else 1) + side**2 * width * (4 if number else 1)
        given = width
    return values + 4 * preset.judge.depth * side**2 * given


def slice_bytes(preset: Preset, batch: int, size: float, tokens: int | None = None) -> float:
    """Bytes that scoring a slice moves where no product keeps its input or output in a cache: weights once per batch
    of `batch` slices, activations once in and once out, all of `size` bytes; pixels around the models are fp32.
    """
    m, tokens = preset.model, tokens or preset.model.tokens
    visible, passes = preset.masks.visible(tokens), preset.masks.passes
    one_pass = activations(visible + 1, m.encoder_dim, m.encoder_depth, m.mlp_ratio)
    one_pass += activations(tokens + 1, m.decoder_dim, m.decoder_depth, m.mlp_ratio)
    values, weights = passes * one_pass, mae_weights(preset)
    pixels = (passes * (visible + tokens) + 2 * tokens) * m.patch_pixels
    if preset.measure == "classifier":
        values += activations(tokens + 1, m.encoder_dim, m.encoder_depth, m.mlp_ratio)
        weights += classifier_weights(preset)
    if preset.measure == "judge":
        values += judge_activations(preset)
        weights += judge_weights(preset)
    return size * (values + weights / batch) + 4 * 2 * pixels
