"""What a slice costs: matrix operations of the models, counted by formula (a multiply-add is two operations)."""

from __future__ import annotations

from maescan.config import Preset


def transformer(sequence: int, dim: int, depth: int, mlp_ratio: float) -> int:
    """Operations of `depth` blocks over one sequence: projections, (4 + 2 * mlp_ratio) * dim^2 a token, and
    attention's two products of sequence * dim a token."""
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


def slice_operations(preset: Preset, tokens: int | None = None) -> int:
    """Operations of scoring one slice: all passes of the MAE, and the classifier where the measure uses it."""
    judged = classifier(preset, tokens) if preset.measure == "classifier" else 0
    return preset.masks.passes * mae(preset, tokens) + judged
