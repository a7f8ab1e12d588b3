"""The networks in 16 bits with LayerNorm and softmax in fp32, written out, for backends that do as the graph says."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from maescan.export.lean import Attention

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


def mixed(module: Any, precision: str, *, narrow: bool = False) -> nn.Module:
    """A copy of `mae` or `classifier` (see `networks`); fp32 is the module itself. Inputs and outputs are fp32, or
    16 bits wide where `narrow`: what our kernels write and read, in half the memory."""
    if precision == "fp32":
        return module
    dtype = DTYPES[precision]
    if narrow:
        return _convert(copy.deepcopy(module).to(dtype), dtype).eval()
    return Cast(_convert(copy.deepcopy(module).to(dtype), dtype), dtype).eval()


def halved(module: Any, precision: str, *, narrow: bool = False) -> nn.Module:
    """A copy of `mae` or `classifier` in 16 bits, for torch, whose own LayerNorm and attention add in fp32; fp32 is
    the module itself. Inputs and outputs as `mixed`'s."""
    if precision == "fp32":
        return module
    dtype = DTYPES[precision]
    made = copy.deepcopy(module).to(dtype)
    return (made if narrow else Cast(made, dtype)).eval()


class Cast(nn.Module):
    """Its first input in `dtype`, its output in fp32."""

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module, self.dtype = module, dtype

    def forward(self, values: Tensor, *ids: Tensor) -> Tensor:
        return self.module(values.to(self.dtype), *ids).float()


class WideNorm(nn.Module):
    """LayerNorm in fp32 of 16-bit values."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.norm = norm.float()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.float()).to(x.dtype)


class WideAttention(Attention):
    """Self-attention as two products with an fp32 softmax between."""

    def product(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return ((q * self.scale) @ k.transpose(-2, -1)).float().softmax(dim=-1).to(q.dtype) @ v


def _convert(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    for name, child in module.named_children():
        if isinstance(child, nn.LayerNorm):
            setattr(module, name, WideNorm(child))
        elif hasattr(child, "qkv"):
            setattr(module, name, WideAttention(child))
        else:
            _convert(child, dtype)
    return module
