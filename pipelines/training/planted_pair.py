"""Whether small models have seen enough: they must tell text from the same text with its words shuffled.

A model that has learned little more than how frequent tokens are ranks shuffled text like any other,
and data of any kind by luck. So models are trained on both, and nothing is ranked unless the text wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tamis.transforms.core.arrays import Floats, Ints
from tamis.transforms.core.errors import RunError
from tamis.transforms.feed.text_to_ids import Ids, Tokenizer
from tamis.transforms.proxy.agreement import interval
from tamis.transforms.proxy.shuffled_words import shuffle_words

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class ShuffledWords:
    """Encodes texts with their words shuffled."""

    tokenizer: Tokenizer
    seed: int
    name: ClassVar[None] = None

    @property
    def end(self) -> int | None:
        return self.tokenizer.end

    @property
    def vocabulary(self) -> int | None:
        return self.tokenizer.vocabulary

    def encode(self, texts: pa.Array) -> tuple[Ids, Ints]:
        return self.tokenizer.encode(shuffle_words(texts, self.seed))


def again_and_again(batches: Iterable[Any]) -> Iterator[Any]:
    """The batches without end: shuffled words may make a few tokens less than the text did."""
    while True:
        yield from batches


def check_pair(run: str, rate: float, text: Floats, shuffled: Floats, entropy: float, cure: str) -> dict[str, Any]:
    """The losses after training on the text of `run` and on its words shuffled, f64[seeds], and what
    shuffling costs. `entropy`: the loss by token frequencies alone.

    Raises RunError unless the text has a lower loss than token frequencies give, and wins: with every
    seed if there are one or two, else by more than the seeds scatter (Student's t, 95 %).
    """
    differences = shuffled - text
    cost = interval(differences, 0.9)
    wins = (cost.low if len(text) > 2 else differences.min()) > 0
    if not wins or text.mean() >= entropy:
        raise RunError(
            f"at learning rate {rate:g} the models have seen too few tokens to rank anything: after the text of {run} their "
            f"loss is {text.mean():.4f}, after the same text with its words shuffled {shuffled.mean():.4f} (differences: "
            f"{', '.join(f'{each:+.4f}' for each in differences)}), by token frequencies alone {entropy:.4f}. {cure}"
        )
    return {"run": run, "learning_rate": rate, "text": float(text.mean()), "cost": cost.mean, "seeds": differences.tolist()}
