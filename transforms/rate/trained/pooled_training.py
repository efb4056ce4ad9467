"""Trains the small transformer over pooled words, in torch; `pooled.py` computes the same without it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F

from tamis.transforms.rate.trained.model_file import Tensors
from tamis.transforms.rate.trained.pooled import CHUNK, EPSILON, HEADS, MEAN, windows
from tamis.transforms.runtime.adamw import AdamW
from tamis.transforms.runtime.torch_threads import one_thread

Floats = npt.NDArray[np.float64]
Rows = Sequence[npt.NDArray[np.int32]]

WORD: Final = 32
"""Size of the embedding of a word."""
WIDTH: Final = 64
LAYERS: Final = 2
BETAS: Final = (0.9, 0.999)
WEIGHT_DECAY: Final = 0.1


@dataclass(frozen=True)
class Settings:
    """How it is trained."""

    epochs: int = 20
    """At most; training ends when the loss of the documents set aside has not fallen for `patience` epochs."""
    patience: int = 3
    batch: int = 32
    learning_rate: float = 2e-3
    unknown: float = 0.3
    """Share of the words that are seen by their length alone, so that rare ones decide little."""
    seed: int = 0


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = nn.RMSNorm(WIDTH, float(EPSILON)), nn.RMSNorm(WIDTH, float(EPSILON))
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Any, live: Any) -> Any:
        n, length, _ = x.shape
        q, k, v = self.qkv(self.before(x)).view(n, length, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=live[:, None, None, :])
        x = x + self.out(mixed.transpose(1, 2).reshape(n, length, WIDTH))
        return x + self.down(F.relu(self.up(self.between(x))))


class PooledTransformer(nn.Module):
    """The network; `rows` of the embedding."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(rows, WORD)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.project = nn.Linear(3 * WORD, WIDTH)
        self.layers = nn.ModuleList(_Layer() for _ in range(LAYERS))
        self.norm = nn.RMSNorm(WIDTH, float(EPSILON))
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, rows: Any) -> Any:
        """[n] logits of `rows` [n, chunks, 64], in which −1 is no word."""
        there = (rows >= 0)[..., None]
        live = there.any(2)[..., 0]
        words = self.embedding(rows.clamp(min=0))
        mean = (words * there).sum(2) / there.sum(2).clamp(min=1) * float(MEAN)
        high = torch.where(there, words, -math.inf).amax(2)
        low = torch.where(there, words, math.inf).amin(2)
        pooled = torch.cat([mean, high, low], -1).masked_fill(~live[..., None], 0)
        x = self.project(pooled)
        for layer in self.layers:
            x = layer(x, live)
        x = (self.norm(x) * live[..., None]).sum(1) / live.sum(1, keepdim=True)
        return self.head(x)[:, 0]

    def tensors(self) -> Tensors:
        """Its parameters as `pooled_scores` takes them: matrices are [in, out]."""
        listed = {
            "embedding": self.embedding.weight,
            "project": self.project.weight.T,
            "project_bias": self.project.bias,
            "norm": self.norm.weight,
            "head": self.head.weight[0],
            "head_bias": self.head.bias,
        }
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, _Layer)
            named = {
                "before": layer.before.weight,
                "qkv": layer.qkv.weight.T,
                "out": layer.out.weight.T,
                "between": layer.between.weight,
                "up": layer.up.weight.T,
                "up_bias": layer.up.bias,
                "down": layer.down.weight.T,
                "down_bias": layer.down.bias,
            }
            listed |= {f"layers.{number}.{name}": tensor for name, tensor in named.items()}
        return {name: np.ascontiguousarray(tensor.detach().numpy(), np.float32) for name, tensor in listed.items()}


@one_thread()
def train_pooled(
    documents: Rows,
    unknown: Rows,
    rows: int,
    targets: Floats,
    weights: Floats,
    aside: npt.NDArray[np.bool_],
    settings: Settings,
) -> Tensors:
    """The tensors of a network that predicts `targets` (0 to 1) of n documents, which count by `weights`.

    `documents`: the words of each as rows of an embedding of `rows` rows, `unknown` the same as if none
    were in the vocabulary. `aside`: those that decide when training ends. One thread, so that the same
    input gives the same tensors on a machine.
    """
    draws = np.random.default_rng(settings.seed)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        network = PooledTransformer(rows)
    optimizer = AdamW([(network.parameters(), 1.0)], BETAS, WEIGHT_DECAY)
    seen, held = np.flatnonzero(~aside), np.flatnonzero(aside)
    steps = settings.epochs * math.ceil(len(seen) / settings.batch)
    step, best, best_loss, since = 0, network.tensors(), math.inf, 0
    for _ in range(settings.epochs):
        network.train()
        for chosen in _batches(draws.permutation(seen), documents, settings.batch):
            hidden = [np.where(draws.random(len(documents[k])) < settings.unknown, unknown[k], documents[k]) for k in chosen]
            rate = settings.learning_rate * min(1.0, (step + 1) / 20) * (1 - step / steps)
            loss = _loss(network, hidden, targets[chosen], weights[chosen]) / weights[chosen].sum()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step(rate)
            step += 1
        network.eval()
        with torch.no_grad():
            total = sum(
                float(_loss(network, [documents[k] for k in chosen], targets[chosen], weights[chosen]))
                for chosen in _batches(held, documents, settings.batch)
            )
        since += 1
        if total < best_loss:
            best, best_loss, since = network.tensors(), total, 0
        if since >= settings.patience and len(held):
            break
    return best if len(held) else network.tensors()


def _batches(order: npt.NDArray[np.int64], documents: Rows, size: int) -> list[npt.NDArray[np.int64]]:
    """The documents in batches of about one length, so that little is padded; the batches in the order of their first."""
    pool = 16 * size
    batches = []
    for start in range(0, len(order), pool):
        some = order[start : start + pool]
        some = some[np.argsort([len(documents[k]) for k in some], kind="stable")]
        batches += [some[k : k + size] for k in range(0, len(some), size)]
    place = {int(k): number for number, k in enumerate(order)}
    return sorted(batches, key=lambda batch: min(place[int(k)] for k in batch))


def _loss(network: PooledTransformer, documents: Rows, targets: Floats, weights: Floats) -> Any:
    logits = network(torch.from_numpy(padded(documents)))
    cost = F.binary_cross_entropy_with_logits(logits, torch.from_numpy(targets).float(), reduction="none")
    return (cost * torch.from_numpy(weights).float()).sum()


def padded(documents: Rows) -> npt.NDArray[np.int64]:
    """[n, chunks, 64]: the words that are read of each document, −1 where there is none."""
    first = np.concatenate([[0], np.cumsum([len(rows) for rows in documents])])
    chunks, start, stop = windows(first)
    words = np.concatenate(documents)
    out = np.full((len(documents), int(np.diff(chunks).max()), CHUNK), -1, np.int64)
    for d in range(len(documents)):
        for k in range(chunks[d], chunks[d + 1]):
            out[d, k - chunks[d], : stop[k] - start[k]] = words[start[k] : stop[k]]
    return out
