"""Steps of the tests that cut text, by a stable hash of the id, and the slow reference of what they do together."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Annotated, Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.beam.exchange import MapDoFn, PartState, addressed, spill_rows
from tamis.transforms.beam.step import CUTS, Documents, Kept, Step, rated_part
from tamis.transforms.core.documents import row_of
from tamis.transforms.core.options import StepOf

Span = tuple[int, int, str, str | None]
"""Bytes from and to, reason and detail."""


def noise(identifier: str, text: str) -> Iterator[Span]:
    """Every line that begins with @@, with its newline, and for one document in nine all of it."""
    place = 0
    for line in text.split("\n"):
        size = len(line.encode()) + 1
        if line.startswith("@@"):
            yield place, min(place + size, len(text.encode())), "noise", line[:6]
        place += size
    if _draw(identifier, "all").random() < 1 / 9:
        yield 0, len(text.encode()), "everything", None


def scraps(identifier: str, text: str) -> Iterator[Span]:
    """For half of the documents, spans anywhere: they overlap each other and those of `noise`, and some are empty."""
    draw = _draw(identifier, "scraps")
    places = [0, *np.cumsum([len(letter.encode()) for letter in text]).tolist()]
    for _ in range(draw.choice((0, 0, 1, 4, 30))):
        start, length = draw.randrange(len(places)), draw.choice((0, 1, 7, 60))
        stop = min(start + length, len(places) - 1)
        yield places[start], places[stop], draw.choice(("scrap", "shred")), draw.choice((None, "x", "y"))


def _draw(identifier: str, what: str) -> random.Random:
    return random.Random(f"{identifier} {what}")  # a str is hashed by SHA-512, the same everywhere


class Cut(Step):
    """Cuts what a function finds. The rows come in an order that means nothing, in two pieces."""

    cuts = True
    find: Any

    @classmethod
    def of(cls, options: Any, recipe: Any) -> Cut:
        return cls()

    def transform(self, kept: Kept, spill: str, partitions: int) -> beam.PTransform:
        return beam.ParDo(MapDoFn(partial(_found, step=self.name, find=type(self).find, kept=kept, spill=spill)))

    def decide(self, documents: Documents, results: pa.Table | None) -> None:
        pass


class CutNoise(Cut):
    name = "noise"
    find = staticmethod(noise)


class CutScraps(Cut):
    name = "scraps"
    find = staticmethod(scraps)


class CuttingRecipe(Recipe):
    """A recipe whose `drop_urls` are not dropped: documents are cut in their place, before duplicates are found."""

    drop_urls: Annotated[tuple[str, ...], StepOf(f"{__name__}:CutNoise"), StepOf(f"{__name__}:CutScraps")] = (
        "https://none.example/",
    )


def _found(part_state: PartState, step: str, find: Any, kept: Kept, spill: str) -> PartState:
    table = kept(part_state)
    ids, doc_refs = table["id"].to_pylist(), table["doc_ref"].to_pylist()
    batches = rated_part(part_state).read(row_of(table["doc_ref"].to_numpy()), ["text"])
    texts = [text for _, batch in batches for text in batch["text"].to_pylist()]
    found: list[tuple[Any, ...]] = []
    for identifier, doc_ref, text in zip(ids, doc_refs, texts, strict=True):
        found += [(doc_ref, *span) for span in find(identifier, text)]
    random.Random(step).shuffle(found)
    pieces = []
    for half in (found[::2], found[1::2]):
        batch = pa.RecordBatch.from_pylist([dict(zip(CUTS.names, row, strict=True)) for row in half], schema=CUTS)
        pieces += [piece for _, piece in spill_rows(addressed(batch, np.zeros(len(half), np.uint32)), spill)]
    return replace(part_state, results={**part_state.results, step: tuple(pieces)}) if pieces else part_state


def merged(identifier: str, text: str) -> list[Span]:
    """What both steps cut, byte by byte: the first span that covers it counts, by step, then by place, reason and detail."""
    spans = [(step, *span) for step, find in enumerate((noise, scraps)) for span in find(identifier, text)]
    spans.sort(key=lambda span: (*span[:4], span[4] is None, span[4] or ""))
    why: list[Any] = [None] * len(text.encode())
    for step, start, stop, reason, detail in reversed(spans):
        why[start:stop] = [(step, reason, detail)] * (stop - start)
    found, place = [], 0
    for label, run in groupby(why):
        length = len(list(run))
        if label is not None:
            found.append((place, place + length, label[1], label[2]))
        place += length
    return found


def left(identifier: str, text: str) -> str:
    """The text without what both steps cut."""
    data, end = text.encode(), len(text.encode())
    for start, stop, _, _ in reversed(merged(identifier, text)):
        data = data[:start] + data[stop:]
    assert len(data) <= end
    return data.decode()
