"""Cuts texts into windows of tokens, as many as a model reads at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tamis.transforms.rate.neural.pretrained import TOKENIZER, Place, Pretrained
from tamis.transforms.text.tokenizer import load_tokenizer_json

if TYPE_CHECKING:
    from tamis.transforms.text.segment import Texts

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Windows:
    """The w windows of n documents, in text order."""

    document: Ints
    """[w], ascending."""
    tokens: Sequence[Ints]
    """[w]: the tokens of each, special ones included."""
    judged: Floats
    """[n]: the share of the bytes of each text that its windows cover; NaN if it has no token."""

    def mean(self, values: Floats) -> Floats:
        """[n, k]: the mean of the rows of `values` [w, k] for each document, summed in their order; NaN
        without a window."""
        n = len(self.judged)
        total = np.zeros((n, values.shape[1]))
        np.add.at(total, self.document, values)
        count = np.bincount(self.document, minlength=n).astype(np.float64)
        count[count == 0] = np.nan
        return total / count[:, None]


def spans(tokens: int, size: int, places: Iterable[Place]) -> list[tuple[int, int]]:
    """First and last + 1 token of each window of a text, in order; they may overlap."""
    if tokens <= size:
        return [(0, tokens)] if tokens else []
    start = {"begin": 0, "middle": (tokens - size) // 2, "end": tokens - size}
    return [(first, first + size) for first in sorted({start[place] for place in places})]


def read_windows(texts: Texts, options: Pretrained, special: bool = True) -> Windows:
    """The windows that a model reads of n documents. Raises as `cut_windows` does."""
    tokenizer = load_tokenizer_json(str(options.folder() / TOKENIZER))
    return cut_windows(texts, tokenizer, options.max_tokens, options.windows, special)


def cut_windows(texts: Texts, tokenizer: Any, max_tokens: int, places: Sequence[Place], special: bool = True) -> Windows:
    """The windows of n documents. `tokenizer`: a `tokenizers.Tokenizer`; each window gets its special
    tokens if `special`. Raises ValueError if these leave no room."""
    before, after = special_tokens(tokenizer) if special else ([], [])
    size = max_tokens - len(before) - len(after)
    if size < 1:
        raise ValueError(f"max_tokens is {max_tokens}, of which {len(before) + len(after)} are special tokens: raise it")
    document, tokens = [], []
    judged = np.full(len(texts), np.nan)
    strings = list(texts.strings())
    for number, encoding in enumerate(tokenizer.encode_batch(strings, add_special_tokens=False)):
        ids = encoding.ids
        cut = spans(len(ids), size, places)
        if cut:
            judged[number] = _bytes(strings[number], encoding, cut) / len(strings[number].encode())
        for first, last in cut:
            document.append(number)
            tokens.append(np.array([*before, *ids[first:last], *after], np.int64))
    return Windows(np.array(document, np.int64), tokens, judged)


def special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The tokens that the tokenizer puts before and after a text."""
    encoding = tokenizer.encode("a", add_special_tokens=True)
    own = [place for place, special in enumerate(encoding.special_tokens_mask) if not special]
    return encoding.ids[: own[0]], encoding.ids[own[-1] + 1 :]


def _bytes(text: str, encoding: Any, cut: Sequence[tuple[int, int]]) -> int:
    """Bytes of a text that windows cover, each once. White space between windows counts to neither."""
    total = end = 0
    for first, last in cut:
        start = 0 if first == 0 else encoding.token_to_chars(first)[0]
        stop = len(text) if last == len(encoding.ids) else encoding.token_to_chars(last - 1)[1]
        total += len(text[max(start, end) : stop].encode())
        end = max(end, stop)
    return total
