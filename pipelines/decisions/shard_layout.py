"""The layout of the corpus: the number of shards of each phase, and the shard of each document."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from tamis.pipelines.decisions.epoch_copies import emitted_copies
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.progress import Progress
from tamis.transforms.beam.exchange import PartState

PhaseSizes = Mapping[int, tuple[int, int, int]]
"""Bytes of text, tokens and documents by phase."""

SHARD_DOCUMENTS = 500_000
"""At most in one shard: of very short documents, ids and numbers take more memory than text."""


@dataclass(frozen=True)
class Layout:
    """Shards, tokens and name of each phase. A destination numbers the shards of all phases."""

    shards: tuple[int, ...]
    tokens: tuple[int, ...]
    names: tuple[str, ...]
    suffix: str

    def destination(self, phase: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Shard of each document. Equal ranges of place are shards of equal tokens."""
        size = np.array(self.shards, np.int64)[phase]
        in_phase = np.clip(np.ceil(place * size).astype(np.int64) - 1, 0, size - 1)
        return np.concatenate([[0], np.cumsum(self.shards)])[phase] + in_phase

    def path(self, destination: int) -> str:
        """Path of a shard in the folder of its release."""
        first = 0
        for name, size in zip(self.names, self.shards, strict=True):
            if destination < first + size:
                return f"data/{name}/shard-{destination - first:05d}.{self.suffix}"
            first += size
        raise IndexError(f"shard {destination} of {first}")


def emitted_sizes(part_state: PartState, recipe: Recipe) -> PhaseSizes:
    """What a part emits, by phase."""
    sums = [("bytes", "sum"), ("tokens", "sum"), ("tokens", "count")]
    rows = emitted_copies(part_state, recipe).group_by("phase").aggregate(sums).to_pylist()
    return {row["phase"]: (row["bytes_sum"], row["tokens_sum"], row["tokens_count"]) for row in rows}


def plan_layout(sizes: Iterable[PhaseSizes], recipe: Recipe, run: str, finished_shards: int) -> Layout:
    """The layout of the run, from the sizes of all parts."""
    phases = recipe.curriculum.effective_phases
    text_bytes, tokens, documents = Counter[int](), Counter[int](), Counter[int]()
    parts = 0
    for part in sizes:
        parts += 1
        for phase, (phase_bytes, phase_tokens, phase_documents) in part.items():
            text_bytes[phase] += phase_bytes
            tokens[phase] += phase_tokens
            documents[phase] += phase_documents

    def shards_of(phase: int) -> int:
        by_bytes = math.ceil(text_bytes[phase] / recipe.output.shard_bytes)
        return max(1, by_bytes, math.ceil(documents[phase] / SHARD_DOCUMENTS))

    # A phase whose documents are all empty has no bytes, yet a shard.
    shards = tuple(shards_of(phase) if phase in text_bytes else 0 for phase in range(len(phases)))
    Progress(run, "decide").expect(parts)
    Progress(run, "emit").expect(sum(shards) - finished_shards)
    names = tuple(phase.name for phase in phases)
    return Layout(shards, tuple(tokens[phase] for phase in range(len(phases))), names, recipe.output.format)
