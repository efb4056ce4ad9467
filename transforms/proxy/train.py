"""Trains a small model on batches in the given order: one epoch, AdamW, deterministic."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from tamis.transforms.core.errors import RunError
from tamis.transforms.proxy.model import Shape, Transformer
from tamis.transforms.runtime.adamw import AdamW

BETAS: Final = (0.9, 0.95)
CLIP: Final = 1.0

_NOTHING: Final = "the validation data have no token to predict"

StateDict = dict[str, Any]


class TokenBatch(Protocol):
    """Arrays of (rows, length): ids, segments (0: padding), positions in the segments."""

    @property
    def tokens(self) -> npt.NDArray[np.int64]: ...

    @property
    def segments(self) -> npt.NDArray[np.int32]: ...

    @property
    def positions(self) -> npt.NDArray[np.int32]: ...


class Training:
    """A model and its optimiser between two steps. A deep copy of it goes on by itself.

    `predicted` counts the tokens that the steps so far predicted."""

    def __init__(self, shape: Shape, seed: int, device: str = "cpu", weight_decay: float = 0.0) -> None:
        self.model = Transformer(shape, seed).to(device)
        self.predicted = 0
        self._optimiser = AdamW(self.model.groups(), BETAS, weight_decay)
        self._device = device

    def step(self, batch: TokenBatch, rate: float) -> None:
        """One step at this rate (for width `agreement.WIDTH`); none if the batch predicts nothing."""
        loss, number = _loss(self.model, batch, self._device)
        if number:
            (loss / number).backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
            self._optimiser.step(rate)
        self.predicted += number


class TrainingResult(NamedTuple):
    """The trained model, the number of predicted tokens, the saved states, oldest first."""

    model: Transformer
    predicted: int
    states: list[StateDict]


def train(
    shape: Shape,
    seed: int,
    batches: Iterable[TokenBatch],
    rates: Sequence[float],
    keep: Sequence[int] = (),
    device: str = "cpu",
    weight_decay: float = 0.0,
) -> TrainingResult:
    """Takes one step for each of `rates` (for width `agreement.WIDTH`); keeps the states after
    `keep`. Raises RunError if batches are fewer than rates: runs are compared at equal length."""
    training = Training(shape, seed, device, weight_decay)
    steps = 0
    states: list[StateDict] = []
    for rate, batch in zip(rates, islice(batches, len(rates)), strict=False):
        training.step(batch, rate)
        steps += 1
        if steps in keep:
            states.append({name: tensor.detach().clone() for name, tensor in training.model.state_dict().items()})
    if steps < len(rates):
        raise RunError(f"the data end after {steps} of {len(rates)} steps: runs are compared at equal tokens")
    return TrainingResult(training.model, training.predicted, states)


def average_states(model: Transformer, states: Sequence[StateDict], weights: npt.NDArray[np.float64]) -> Transformer:
    """A model of the same shape whose parameters are Σ weight × state, summed in float64."""
    mean: Mapping[str, Any] = {
        name: sum(state[name].double() * weight for state, weight in zip(states, weights.tolist(), strict=True))
        for name in states[0]
    }
    average = Transformer(model.shape, 0).to(next(model.parameters()).device)
    average.load_state_dict({name: tensor.float() for name, tensor in mean.items()})
    return average


def evaluate(model: Transformer, batches: Iterable[TokenBatch], device: str = "cpu") -> float:
    """Mean loss per predicted token, in nats. Raises RunError if there is no token to predict."""
    total, predicted = 0.0, 0
    with torch.no_grad():
        for batch in batches:
            loss, number = _loss(model, batch, device)
            total, predicted = total + float(loss), predicted + number
    if not predicted:
        raise RunError(_NOTHING)
    return total / predicted


def unigram_entropy(batches: Iterable[TokenBatch]) -> float:
    """Entropy in nats of the tokens that `evaluate` predicts: the loss of a model that knows how
    frequent each of them is, and nothing else. Raises RunError if there is no token to predict."""
    counts = np.zeros(1, np.int64)
    for batch in batches:
        found = np.bincount(batch.tokens[:, 1:][_predicted(batch.segments)], minlength=len(counts))
        found[: len(counts)] += counts
        counts = found
    if not counts.sum():
        raise RunError(_NOTHING)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _predicted(segments: Any) -> Any:
    """Which tokens but the first of each row follow another token of their segment."""
    return (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] != 0)


def _loss(model: Transformer, batch: TokenBatch, device: str) -> tuple[Any, int]:
    """(summed loss, number) of the predicted tokens."""
    tokens, segments, positions = (
        torch.as_tensor(np.asarray(values, np.int64), device=device)
        for values in (batch.tokens, batch.segments, batch.positions)
    )
    predicted = _predicted(segments)
    targets = torch.where(predicted, tokens[:, 1:], -100)
    logits = model(tokens[:, :-1], segments[:, :-1], positions[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-100, reduction="sum"), int(
        predicted.sum()
    )
