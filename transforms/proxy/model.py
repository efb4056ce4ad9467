"""A small causal transformer whose best learning rate does not depend on its width.

Parametrised by µP for Adam (arXiv 2203.03466): matrices between layers start at 1/√fan-in and
learn at rate ÷ width, the output layer starts at zero and is divided by the width, attention is
divided by the size of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field, model_validator
from torch import nn
from torch.nn import functional as F

from tamis.transforms.core.options import Options
from tamis.transforms.proxy.agreement import WIDTH


class Shape(Options):
    """The size of the model."""

    vocabulary: int = Field(ge=2)
    width: int = Field(default=128, ge=8)
    layers: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)

    @model_validator(mode="after")
    def _heads_fill_the_width(self) -> Shape:
        if self.width % (2 * self.heads):
            raise ValueError(f"a width of {self.width} does not divide into {self.heads} heads of an even size")
        return self


class _Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.before, self.between = nn.RMSNorm(shape.width), nn.RMSNorm(shape.width)
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)
        self.up = nn.Linear(shape.width, 4 * shape.width, bias=False)
        self.down = nn.Linear(4 * shape.width, shape.width, bias=False)

    def forward(self, x: Any, cosine: Any, sine: Any, mask: Any) -> Any:
        rows, length, width = x.shape
        q, k, v = self.qkv(self.before(x)).view(rows, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(
            _rotate(q, cosine, sine), _rotate(k, cosine, sine), v, attn_mask=mask, scale=self.heads / width
        )
        x = x + self.out(mixed.transpose(1, 2).reshape(rows, length, width))
        return x + self.down(F.gelu(self.up(self.between(x))))


class Transformer(nn.Module):
    """Pre-norm, rotary positions, no biases. The same seed gives the same weights."""

    def __init__(self, shape: Shape, seed: int) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(_Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width)
        self.output = nn.Linear(shape.width, shape.vocabulary, bias=False)
        draw = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.embedding.weight.normal_(0, 1, generator=draw)
            for matrix in self.matrices():
                matrix.normal_(0, matrix.shape[1] ** -0.5, generator=draw)
            self.output.weight.zero_()

    def matrices(self) -> list[Any]:
        """The parameters whose learning rate goes as 1 / width."""
        return [parameter for block in self.blocks for parameter in block.parameters() if parameter.ndim == 2]

    def groups(self) -> list[tuple[list[Any], float]]:
        """Parameters for the optimiser, with the factor of a rate given for `WIDTH`."""
        own = {id(parameter) for parameter in self.matrices()}
        others = [parameter for parameter in self.parameters() if id(parameter) not in own]
        return [(self.matrices(), WIDTH / self.shape.width), (others, 1.0)]

    def forward(self, tokens: Any, segments: Any, positions: Any) -> Any:
        """Logits, (rows, length, vocabulary). Tokens attend to the past of their segment."""
        x = self.embedding(tokens)
        size = self.shape.width // self.shape.heads
        angle = positions[:, None, :, None] * 10000.0 ** (-torch.arange(0, size, 2, device=x.device) / size)
        past = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool, device=x.device).tril()
        mask = (past & (segments[:, :, None] == segments[:, None, :]))[:, None]
        for block in self.blocks:
            x = block(x, angle.cos(), angle.sin(), mask)
        # Scales before the output layer: the width is smaller than the vocabulary.
        return self.output(self.norm(x) * (WIDTH / self.shape.width))


def _rotate(x: Any, cosine: Any, sine: Any) -> Any:
    one, other = x.chunk(2, dim=-1)
    return torch.cat((one * cosine - other * sine, one * sine + other * cosine), dim=-1)
