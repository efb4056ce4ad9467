"""Checks that every rater and editor must pass, for the tests of a package that provides one.

from tamis.testing import check_rater

def test_my_rater() -> None:
    check_rater(MyRater(MyOptions()))
"""

from __future__ import annotations

import itertools
import math
import pickle
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import pyarrow as pa

from tamis.transforms.core.component import METADATA
from tamis.transforms.core.editor import Editor
from tamis.transforms.core.rater import RECORDS, Direction, Kind, Rater
from tamis.transforms.edit.apply import apply, record
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

_Run = Callable[[Any, Sequence[str], Mapping[str, pa.Array]], list[list[Any]]]

_WORDS = """the of and to a in is that for it was on are as with they be at one have this from or had by not but what all
were when Überraschung naïve 3.14 2026 user@example.org #tag … ... - • — “quoted” (aside) terms of use JavaScript { }
汉字 かな العربية हिन्दी ไทย 한국어 Ещё 🙂"""


def check_rater(rater: Rater[Any], examples: Mapping[str, Sequence[Any]] | None = None, documents: int = 1000) -> None:
    """Raises AssertionError, saying what is wrong, unless a rater keeps its contract.

    - It declares its signals in full, and returns one row for each document and one column of the
      declared type for each signal.
    - `EDGES` raise nothing. A missing value is null, never NaN; all others are within the bounds of
      their signal.
    - The same text has the same value again, in another process, and among other documents:
      `documents` texts have the same values in five random splits.
    - Whatever it needs beside the text may be null. `examples` gives values of it, by name.
    """
    _check_declarations(rater, f"{rater.name}.")
    _check_values(rater, _rate, [signal.name for signal in rater.signals], examples, documents)


def check_editor(editor: Editor[Any], examples: Mapping[str, Sequence[Any]] | None = None, documents: int = 1000) -> None:
    """Raises AssertionError, saying what is wrong, unless an editor keeps its contract.

    - It declares its reasons and its own signals in full.
    - `EDGES` raise nothing; its spans are in order, do not overlap, and do not cut a character in
      two. The characters after are those before, less those removed, and those inserted.
    - The same text is edited alike again, in another process, and among other documents.
    - Whatever it needs beside the text may be null. `examples` gives values of it, by name.
    """
    assert editor.reasons, f"{editor.name}: it declares no reason"
    _check_declarations(editor, f"edit.{editor.name}.")
    names = ["text", "edits", *(signal.name for signal in editor.signals)]
    _check_values(editor, _edit, names, examples, documents)


def _check_values(
    component: Any, run: _Run, names: Sequence[str], examples: Mapping[str, Sequence[Any]] | None, documents: int
) -> None:
    component.setup()
    texts = [*EDGES, *_documents(documents)]
    needs = {need: _example_column(need, len(texts), (examples or {}).get(need)) for need in component.needs}
    expected = run(component, texts, needs)
    _assert_equal(names, texts, expected, run(component, texts, needs), "a second time")
    copy = pickle.loads(pickle.dumps(component))
    same = copy.fingerprint == component.fingerprint
    assert same, f"{component.name}: its fingerprint changes when it is sent to a worker"
    copy.setup()
    _assert_equal(names, texts, expected, run(copy, texts, needs), "by a copy that was sent to a worker")
    if needs:
        run(component, texts, {need: pa.nulls(len(texts), column.type) for need, column in needs.items()})
    for seed in range(SPLITS):
        cuts = sorted(random.Random(seed).sample(range(1, len(texts)), min(20, len(texts) - 1)))
        parts = [
            run(component, texts[start:stop], {need: column.slice(start, stop - start) for need, column in needs.items()})
            for start, stop in itertools.pairwise([0, *cuts, len(texts)])
        ]
        split = [list(itertools.chain.from_iterable(values)) for values in zip(*parts, strict=True)]
        _assert_equal(names, texts, expected, split, "among other documents")


def _check_declarations(component: Rater[Any] | Editor[Any], prefix: str) -> None:
    assert component.signals, f"{component.name}: it declares no signal"
    names = [signal.name for signal in component.signals]
    assert len(set(names)) == len(names), f"{component.name}: two signals have one name: {', '.join(names)}"
    for signal in component.signals:
        where = f"{signal.name}:"
        assert signal.name.startswith(prefix), f"{where} its name does not begin with '{prefix}'"
        assert signal.kind in get_args(Kind), f"{where} its kind '{signal.kind}' is none of {', '.join(get_args(Kind))}"
        assert signal.direction in get_args(Direction), f"{where} its direction '{signal.direction}' is unknown"
        assert signal.source, f"{where} it names no source"
        assert signal.unit, f"{where} it names no unit"
        if signal.low is not None and signal.high is not None:
            assert signal.low < signal.high, f"{where} its range is from {signal.low} to {signal.high}"
        assert not signal.has_labels or signal.direction == "none", f"{where} labels have no direction"
    same = component.fingerprint == component.fingerprint
    assert same, f"{component.name}: its fingerprint changes from call to call"


def _rate(rater: Rater[Any], texts: Sequence[str], needs: Mapping[str, pa.Array]) -> list[list[Any]]:
    """The values of each signal. The texts are a slice of a longer array, as readers give them."""
    array = pa.array(["before", *texts, "after"], pa.large_string()).slice(1, len(texts))
    cut: Any = unsegmented if rater.raw else segment
    batch = rater.rate(cut(array).with_columns(needs))
    assert batch.schema.names == [signal.name for signal in rater.signals], f"{rater.name} returned {batch.schema.names}"
    assert batch.num_rows == len(texts), f"{rater.name} returned {batch.num_rows} rows for {len(texts)} documents"
    return _values(rater, texts, batch)


def _edit(editor: Editor[Any], texts: Sequence[str], needs: Mapping[str, pa.Array]) -> list[list[Any]]:
    """The texts after the edit, what was replaced, and the values of each signal."""
    array = pa.array(["before", *texts, "after"], pa.large_string()).slice(1, len(texts))
    edited = apply(editor, unsegmented(array).with_columns(needs), array)
    edited.texts.validate(full=True)
    edits = record([edited], len(texts)).to_pylist()
    for text, after, changes in zip(texts, edited.texts.to_pylist(), edits, strict=True):
        difference = sum(len(change["inserted"]) - len(change["removed"]) for change in changes or ())
        assert len(after) == len(text) + difference, f"{editor.name} loses characters of {text[:80]!r}"
    return [edited.texts.to_pylist(), edits, *_values(editor, texts, edited.signals)]


def _values(component: Rater[Any] | Editor[Any], texts: Sequence[str], batch: pa.RecordBatch) -> list[list[Any]]:
    batch.validate(full=True)
    columns = []
    for signal in component.signals:
        column = batch[signal.name]
        assert column.type == signal.type(), f"{signal.name} is {column.type}, declared {signal.kind}"
        columns.append(column.to_pylist())
        low, high = signal.bounds
        for text, value in zip(texts, columns[-1], strict=True):
            finite = not isinstance(value, float) or math.isfinite(value)
            assert finite, f"{signal.name} of {text[:80]!r} is {value}: null means that there is no value"
            possible = value is None or signal.has_labels or signal.kind == RECORDS or low <= value <= high
            assert possible, f"{signal.name} of {text[:80]!r} is {value}, declared from {low:g} to {high:g}"
    return columns


def _assert_equal(
    names: Sequence[str], texts: Sequence[str], expected: list[list[Any]], values: list[list[Any]], when: str
) -> None:
    for name, before, after in zip(names, expected, values, strict=True):
        for text, one, other in zip(texts, before, after, strict=True):
            assert one == other, f"{name} of {text[:80]!r} is {str(one)[:400]}, but {str(other)[:400]} {when}"


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
