"""Computes the linear maps of a transformer's layers in 8-bit integers: four times as many products a second as in float32
on a processor with VNNI.

Each row of the input and each output of the weights is scaled so that its largest number becomes 127, as in LLM.int8()
(arXiv 2208.07339) without its outliers. Sums of products are exact, and no row depends on another.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn

from tamis.transforms.core.errors import RunError

_MOST: Final = 127.0


class Int8Linear(nn.Module):
    """A linear map with weights of one byte."""

    weight: Tensor
    """[in, out]: int8"""
    scale: Tensor
    """[out]: what one unit of `weight` is worth."""
    bias: Tensor | None
    """[out]"""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        rows, scale = _rounded(linear.weight.detach())
        self.register_buffer("weight", rows.t().contiguous())
        self.register_buffer("scale", scale[:, 0])
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    def forward(self, inputs: Tensor) -> Tensor:
        """[…, out] of […, in], both float32."""
        rows, scale = _rounded(inputs.reshape(-1, inputs.shape[-1]))
        outputs = torch._int_mm(rows, self.weight).float().mul_(scale).mul_(self.scale)
        if self.bias is not None:
            outputs.add_(self.bias)
        return outputs.view(*inputs.shape[:-1], -1)


def with_int8_layers(model: Any) -> Any:
    """The model, changed in place: linear maps inside its layers compute in int8; those behind them, such as the classifier,
    stay as they are, since they cost nothing. Raises RunError if it has none, or this processor adds up otherwise."""
    _require_exact_sums()
    layers = {layer for parts in model.modules() if isinstance(parts, nn.ModuleList) for layer in parts.modules()}
    changed = False
    for layer in layers:
        for name, part in list(layer.named_children()):
            if isinstance(part, nn.Linear):
                setattr(layer, name, Int8Linear(part))
                changed = True
    if not changed:
        raise RunError(f"{type(model).__name__} has no layers of torch.nn.Linear to compute in int8: choose another precision")
    return model


def _rounded(rows: Tensor) -> tuple[Tensor, Tensor]:
    """[n, k] int8 and [n, 1]: each row in units of a 127th of its largest number; a row of zeros stays zeros."""
    scale = rows.abs().amax(1, keepdim=True) / _MOST
    return (rows / scale.clamp_min(torch.finfo(torch.float32).tiny)).round_().to(torch.int8), scale


def _require_exact_sums() -> None:
    """Some processors without VNNI cut off sums of two large products. Raises RunError on these."""
    ones = torch.full((32, 64), int(_MOST), dtype=torch.int8)
    if not bool((torch._int_mm(ones, ones.t().contiguous()) == 64 * int(_MOST) ** 2).all()):
        raise RunError("this processor does not add up products of 8-bit integers exactly: choose the precision float32")
