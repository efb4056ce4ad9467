"""Checks that every rater must pass, for the tests of a package that provides one.

from tamis.testing import check_rater

def test_my_rater() -> None:
    check_rater(MyRater(MyOptions()))
"""

from __future__ import annotations

import itertools
import math
import pickle
import random
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import pyarrow as pa

from tamis.transforms.core.component import METADATA
from tamis.transforms.core.rater import Direction, Kind, Rater
from tamis.transforms.text.segment import segment, unsegmented

EDGES: tuple[str, ...] = (
    "",
    " \n\t\n ",
    "word",
    "one line of text without a newline.",
    "汉字没有空格。第二句！\nかなも、少し。\nالعربية؟ हिन्दी में।",
    "long " * 200_000,
    "x" * 1_000_000,
    "\n\n\n",
    "a\n",
    "\r\n",
    "\x00",
    "🙂 e\u0301 \u200b\ufeff",
)
"""Texts that raters stumble over: empty, blank, one word, no newline, other scripts, a line of 1 MB."""

SPLITS = 5

_WORDS = """the of and to a in is that for it was on are as with they be at one have this from or had by not but what all
were when Überraschung naïve 3.14 2026 user@example.org #tag … ... - • — “quoted” (aside) terms of use JavaScript { }
汉字 かな العربية हिन्दी ไทย 한국어 Ещё 🙂"""


def check_rater(rater: Rater[Any], examples: Mapping[str, Sequence[Any]] | None = None, documents: int = 1000) -> None:
    """Raises AssertionError, saying what is wrong, unless a rater keeps its contract.

    - It declares its signals in full, and returns one row for each document and one column of the
      declared type for each signal.
    - `EDGES` raise nothing. A missing value is null, never NaN.
    - The same text has the same value again, in another process, and among other documents:
      `documents` texts have the same values in five random splits.
    - Whatever it needs beside the text may be null. `examples` gives values of it, by name.
    """
    _check_declarations(rater)
    rater.setup()
    texts = [*EDGES, *_documents(documents)]
    needs = {need: _example_column(need, len(texts), (examples or {}).get(need)) for need in rater.needs}
    expected = _rate(rater, texts, needs)
    _assert_equal(rater, texts, expected, _rate(rater, texts, needs), "a second time")
    copy = pickle.loads(pickle.dumps(rater))
    assert copy.fingerprint == rater.fingerprint, f"{rater.name}: its fingerprint changes when it is sent to a worker"
    copy.setup()
    _assert_equal(rater, texts, expected, _rate(copy, texts, needs), "by a copy that was sent to a worker")
    if needs:
        _rate(rater, texts, {need: pa.nulls(len(texts), column.type) for need, column in needs.items()})
    for seed in range(SPLITS):
        cuts = sorted(random.Random(seed).sample(range(1, len(texts)), min(20, len(texts) - 1)))
        parts = [
            _rate(rater, texts[start:stop], {need: column.slice(start, stop - start) for need, column in needs.items()})
            for start, stop in itertools.pairwise([0, *cuts, len(texts)])
        ]
        split = [list(itertools.chain.from_iterable(values)) for values in zip(*parts, strict=True)]
        _assert_equal(rater, texts, expected, split, "among other documents")


def _check_declarations(rater: Rater[Any]) -> None:
    assert rater.signals, f"{rater.name}: it declares no signal"
    names = [signal.name for signal in rater.signals]
    assert len(set(names)) == len(names), f"{rater.name}: two signals have one name: {', '.join(names)}"
    for signal in rater.signals:
        where = f"{signal.name}:"
        assert signal.name.startswith(f"{rater.name}."), f"{where} its name does not begin with '{rater.name}.'"
        assert signal.kind in get_args(Kind), f"{where} its kind '{signal.kind}' is none of {', '.join(get_args(Kind))}"
        assert signal.direction in get_args(Direction), f"{where} its direction '{signal.direction}' is unknown"
        assert signal.source, f"{where} it names no source"
        assert signal.unit, f"{where} it names no unit"
        if signal.low is not None and signal.high is not None:
            assert signal.low < signal.high, f"{where} its range is from {signal.low} to {signal.high}"
        assert not signal.has_labels or signal.direction == "none", f"{where} labels have no direction"
    assert rater.fingerprint == rater.fingerprint, f"{rater.name}: its fingerprint changes from call to call"


def _rate(rater: Rater[Any], texts: Sequence[str], needs: Mapping[str, pa.Array]) -> list[list[Any]]:
    """The values of each signal. The texts are a slice of a longer array, as readers give them."""
    array = pa.array(["before", *texts, "after"], pa.large_string()).slice(1, len(texts))
    cut: Any = unsegmented if rater.raw else segment
    batch = rater.rate(cut(array).with_columns(needs))
    assert batch.schema.names == [signal.name for signal in rater.signals], f"{rater.name} returned {batch.schema.names}"
    assert batch.num_rows == len(texts), f"{rater.name} returned {batch.num_rows} rows for {len(texts)} documents"
    batch.validate(full=True)
    columns = []
    for signal in rater.signals:
        column = batch[signal.name]
        assert column.type == signal.type(), f"{signal.name} is {column.type}, declared {signal.kind}"
        columns.append(column.to_pylist())
        for text, value in zip(texts, columns[-1], strict=True):
            finite = not isinstance(value, float) or math.isfinite(value)
            assert finite, f"{signal.name} of {text[:80]!r} is {value}: null means that there is no value"
    return columns


def _assert_equal(
    rater: Rater[Any], texts: Sequence[str], expected: list[list[Any]], values: list[list[Any]], when: str
) -> None:
    for signal, before, after in zip(rater.signals, expected, values, strict=True):
        for text, one, other in zip(texts, before, after, strict=True):
            assert one == other, f"{signal.name} of {text[:80]!r} is {one}, but {other} {when}"


def _documents(count: int) -> list[str]:
    """Texts of 0 to 60 words of several scripts, the same ones each time."""
    draw, words = random.Random(0), _WORDS.split()
    return ["".join(draw.choice(words) + draw.choice("    \n") for _ in range(draw.randrange(60))) for _ in range(count)]


def _example_column(need: str, rows: int, examples: Sequence[Any] | None) -> pa.Array:
    if examples is None:
        if need == "metadata":
            examples = ['{"lang":"en","score":3.5}', None, "{}"]
        elif need == "url":
            examples = ["https://example.org/page", None, "", "not a url"]
        else:
            examples = ["text", None, ""] if need.startswith(METADATA) or "." not in need else [None]
    column = pa.array(list(itertools.islice(itertools.cycle(examples), rows)))
    return column.cast(pa.string()) if pa.types.is_null(column.type) else column
