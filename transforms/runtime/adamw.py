"""AdamW for torch. The first use of `torch.optim` imports torch's compiler, which costs a process seconds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

import torch

_EPSILON: Final = 1e-8


class AdamW:
    """Adam with decoupled weight decay (arXiv 1711.05101), to the bit as `torch.optim.AdamW` on a CPU.

    `groups`: parameters, with a factor of their learning rate.
    """

    def __init__(self, groups: Iterable[tuple[Iterable[Any], float]], betas: tuple[float, float], weight_decay: float) -> None:
        self._parameters = [(parameter, scale) for group, scale in groups for parameter in group]
        self._mean = [torch.zeros_like(parameter) for parameter, _ in self._parameters]
        self._square = [torch.zeros_like(parameter) for parameter, _ in self._parameters]
        self._betas, self._decay, self._steps = betas, weight_decay, 0

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Moves the parameters by their gradients, and forgets these."""
        self._steps += 1
        first, second = self._betas
        for (parameter, scale), mean, square in zip(self._parameters, self._mean, self._square, strict=True):
            gradient, parameter.grad = parameter.grad, None
            parameter.mul_(1 - rate * scale * self._decay)
            mean.lerp_(gradient, 1 - first)
            square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
            spread = (square.sqrt() / math.sqrt(1 - second**self._steps)).add_(_EPSILON)
            parameter.addcdiv_(mean, spread, value=-rate * scale / (1 - first**self._steps))
