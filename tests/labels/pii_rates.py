"""Prints how much of the personal data in 430 labelled documents `pii` finds, and how much of what it finds is some.

    python -m tests.labels.pii_rates [CORPORA] [--write]

CORPORA is the folder of the documents, ../shared/data by default: 150 mails of Enron-1 and 150 web pages, drawn by a hash of
their texts, 100 each with an @, seven digits in a row or the like, 50 of the rest; and 65 more of each, 50 and 15, which
were drawn and read after the finders had been mended by the first ones. `pii.tsv` has a row for each value and no text: the
corpus, the hash of the text (`hash128`), the kind, the characters at which it starts and stops; documents without values
have one row. The reader, a language model, was shown everything that might be a value with the words around it, and not what
Tamis finds. A value is found if one of the same kind overlaps it.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pyarrow as pa

from tamis.transforms.edit.apply import apply
from tamis.transforms.edit.pii.pii_editor import Pii, PiiEditor
from tamis.transforms.read import inputs
from tamis.transforms.read.input_options import Input
from tamis.transforms.text.hashing import hash128
from tamis.transforms.text.segment import unsegmented

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
LABELS = Path(__file__).with_name("pii.tsv")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "edit.md"

CORPORA = {
    "enron1": ("150 mails", "quality/enron1.jsonl.zst"),
    "web": ("150 web pages", "web/*.zst"),
    "enron1-2": ("65 later mails", "quality/enron1.jsonl.zst"),
    "web-2": ("65 later pages", "web/*.zst"),
}
"""What the page calls the documents, and their files."""

Span = tuple[str, int, int]
"""A kind, and the characters at which a value starts and stops."""


def labelled() -> dict[tuple[str, str], list[Span]]:
    """The values of each document, which are called by corpus and hash."""
    values: dict[tuple[str, str], list[Span]] = defaultdict(list)
    with LABELS.open(newline="") as file:
        for corpus, text_hash, kind, start, stop in list(csv.reader(file, delimiter="\t"))[1:]:
            values[corpus, text_hash] += [(kind, int(start), int(stop))] if kind else []
    return values


def texts(shared: Path, corpus: str) -> Iterator[tuple[str, str]]:
    """The labelled texts of a corpus, each once, with their hashes."""
    wanted = {text_hash for name, text_hash in labelled() if name == corpus}
    options = Input(paths=(str(shared / CORPORA[corpus][1]),))
    for split in inputs.plan(options)[0]:
        for batch, _ in inputs.read(split, options):
            column = batch["text"].cast(pa.large_string())
            for row, (first, second) in enumerate(hash128(column).tolist()):
                if (text_hash := f"{first:016x}{second:016x}") in wanted:
                    wanted.remove(text_hash)
                    yield text_hash, column[row].as_py()
    assert not wanted, f"{len(wanted)} labelled texts of {corpus} are missing: other versions of the files?"


def found(text: str) -> list[Span]:
    """What the editor replaces in a text."""
    array = pa.array([text], pa.large_string())
    rows = apply(PiiEditor(Pii()), unsegmented(array), array).rows.to_pylist()
    data = text.encode()
    spans = [(row["reason"], row["start"], row["start"] + len(row["removed"].encode())) for row in rows]
    return [(kind, len(data[:start].decode()), len(data[:stop].decode())) for kind, start, stop in spans]


@cache
def rates(shared: Path) -> dict[tuple[str, str], tuple[int, int, int, int]]:
    """By corpus and kind: the labelled values, those found of them, all that is found, and what is right of it."""
    counts: Counter[tuple[str, str, str]] = Counter()
    labels = labelled()
    for corpus in CORPORA:
        for text_hash, text in texts(shared, corpus):
            gold, ours = labels[corpus, text_hash], found(text)
            for name, spans, others in (("label", gold, ours), ("found", ours, gold)):
                for kind, start, stop in spans:
                    counts[corpus, kind, name] += 1
                    counts[corpus, kind, f"{name} right"] += any(
                        kind == other and start < end and first < stop for other, first, end in others
                    )
    names = ("label", "label right", "found", "found right")
    keys = {(corpus, kind) for corpus, kind, _ in counts}
    return {key: tuple(counts[(*key, name)] for name in names) for key in sorted(keys)}  # type: ignore[misc]


def table(shared: Path) -> str:
    """The rows of the page."""
    lines = ["| documents | kind | labelled | recall | found | precision |", "|---|---|---|---|---|---|"]
    for (corpus, kind), (labels, hit, ours, right) in rates(shared).items():
        recall, precision = hit / labels if labels else 1.0, right / ours if ours else 1.0
        lines.append(f"| {CORPORA[corpus][0]} | `{kind}` | {labels} | {recall:.1%} | {ours} | {precision:.1%} |")
    return "\n".join(lines)


def main() -> None:
    """Prints the table, or writes it into the page."""
    paths = [argument for argument in sys.argv[1:] if argument != "--write"]
    shared = Path(paths[0]) if paths else SHARED
    if not shared.is_dir():
        print(f"nothing is measured: there are no documents in {shared}")
        return
    rows = table(shared)
    print(rows)
    if "--write" in sys.argv:
        page = PAGE.read_text()
        start = page.index("| documents | kind |")
        PAGE.write_text(page[:start] + rows + page[page.index("\n\n", start) :])


if __name__ == "__main__":
    main()
