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
    made = _activated(copy.deepcopy(module)).to(dtype)
    return (made if narrow else Cast(made, dtype)).eval()


class Activated(nn.Module):
    """A linear map with GELU behind it, which cuBLAS reckons before it stores, in the tanh form: within 5e-4 of the
    other, a quarter of what rounding to float16 costs. On a CPU it is the other."""

    fused = staticmethod(torch._addmm_activation)  # noqa: SLF001 - torch has no other name for it

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.fused(self.bias, x.flatten(0, -2), self.weight.t(), use_gelu=True)
        return made.reshape(*x.shape[:-1], -1)


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


def _activated(module: nn.Module) -> nn.Module:
    for child in module.modules():
        if isinstance(getattr(child, "act", None), nn.GELU):
            child.fc1, child.act = Activated(child.fc1), nn.Identity()
    return module
