"""One document as the page shows it: what was decided and why, its text in pieces, and what it is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from tamis.pipelines.contamination.benchmark_receipt import part_text
from tamis.pipelines.contamination.recorded_items import matches_of_document
from tamis.pipelines.formatting import signal_value
from tamis.pipelines.lookup.explanation import explained_entries, pieces_of
from tamis.pipelines.recipe.load import finished_recipe
from tamis.pipelines.report.benchmark_sections import TextPiece, side_by_side
from tamis.pipelines.view.document_list import DocumentList
from tamis.pipelines.view.marks import Mark, Verdict, label_of
from tamis.transforms.core.errors import RunError
from tamis.transforms.decontaminate.benchmarks import Item, items
from tamis.transforms.provenance import ledger
from tamis.transforms.provenance.changes import Piece
from tamis.transforms.provenance.ledger import LedgerEntry

WINDOW = 60_000
"""Characters of a text that are sent at once."""

COMPARED = 12_000
"""Characters of each text that are compared word by word, which takes the square of their number."""

_REPRESENTED = 20  # documents that a representative stands for, that are named


@dataclass(frozen=True)
class ShownPiece(Piece):
    """A piece of the text, and whether it is part of the span that a benchmark item matches."""

    matched: bool = False


class DocumentViews:
    """Opens the documents of one release, at the places that its list says."""

    def __init__(self, documents: DocumentList) -> None:
        self._documents, self._release = documents, documents.release
        self._recipe = finished_recipe(self._release.manifest)
        self._entry = lru_cache(maxsize=8)(self._read)
        self._items = lru_cache(maxsize=4)(self._read_items)

    def explain(self, part: int, row: int) -> dict[str, Any]:
        """What the release knows about a document, with the beginning of its text. Raises RunError if there is none at
        this place."""
        entry = self._entry(part, row)
        (explained,) = explained_entries(self._release, self._recipe, [entry])
        representative = explained["representative"]
        return explained | {
            "signals": {name: signal_value(value) for name, value in explained["signals"].items()},
            "part": part,
            "row": row,
            "date": entry.document["date"],
            "metadata": entry.document["metadata"],
            "contamination": matches_of_document(self._release, explained["id"]),
            "representative_place": representative and self._documents.place_of(representative),
            "represented": self._documents.represented(explained["id"], _REPRESENTED) if _stands_for_others(explained) else [],
            "text": self.text(part, row, 0),
        }

    def mark_of(self, part: int, row: int, verdict: Verdict) -> Mark:
        """The mark that a verdict on the decision about a document is."""
        decided = self._entry(part, row).decision
        decision, reason = decided["decision"], decided["reason"]
        label = label_of(verdict, decision, reason, self._recipe.rules.signals)
        return Mark(decided["id"], verdict, label, decision, reason, self._release.number)

    def text(self, part: int, row: int, first: int) -> dict[str, Any]:
        """WINDOW characters of the text from number `first`, in pieces; removed and inserted ones count like the others.
        `next`: where to go on, or None at the end."""
        entry = self._entry(part, row)
        matches = matches_of_document(self._release, entry.decision["id"])
        pieces = list(matched_pieces(pieces_of(entry), [(match["start"], match["stop"]) for match in matches]))
        characters = sum(len(piece.text) for piece in pieces)
        return {
            "pieces": [asdict(piece) for piece in window(pieces, first, WINDOW)],
            "characters": characters,
            "next": first + WINDOW if first + WINDOW < characters else None,
        }

    def beside_representative(self, part: int, row: int) -> dict[str, Any]:
        """The text and that of the document which was kept in its place, compared word by word. Raises RunError if it
        is no duplicate of another document of the release."""
        entry = self._entry(part, row)
        kept = entry.decision.get("representative") or ""
        place = self._documents.place_of(kept) if kept else None
        if place is None:
            raise RunError(f"no document of the release was kept in place of '{entry.decision['id']}'")
        return self._beside(_rated_text(entry), _rated_text(self._entry(*place)), kept)

    def beside_item(self, part: int, row: int, number: int) -> dict[str, Any]:
        """The span that match `number` of the document covers, and the benchmark item, compared word by word. Raises
        RunError if there is no such match, and if the benchmark cannot be read any more."""
        entry = self._entry(part, row)
        matches = matches_of_document(self._release, entry.decision["id"])
        if not 0 <= number < len(matches):
            raise RunError(f"the document has {len(matches)} benchmark items, and no number {number}")
        match = matches[number]
        item = self._items(match["benchmark"])[match["number"]]
        span = _rated_text(entry).encode()[match["start"] : match["stop"]].decode()
        return self._beside(span, part_text(item, match["part"]), f"{match['benchmark']} {match['item']}")

    def _beside(self, text: str, other: str, name: str) -> dict[str, Any]:
        own, others = side_by_side(text[:COMPARED], other[:COMPARED], self._recipe.words)
        own, others = _with_rest(own, text), _with_rest(others, other)
        return {"name": name, "own": own, "other": others, "is_cut": max(len(text), len(other)) > COMPARED}

    def _read(self, part: int, row: int) -> LedgerEntry:
        parts = ledger.decided_parts(self._release)
        documents = ledger.decisions(self._release, part, ["decision"]).num_rows if part in parts else 0
        if not 0 <= row < documents:
            raise RunError(f"release {self._release.number} has no document at part {part}, row {row}")
        (entry,) = ledger.entries(self._release, part, np.array([row]))
        return entry

    def _read_items(self, benchmark: str) -> Sequence[Item]:
        options = self._recipe.decontaminate
        found = [each for each in (options.benchmarks if options else ()) if each.name == benchmark]
        try:
            return items(found[0])
        except (OSError, ValueError, IndexError) as error:
            raise RunError(f"the items of '{benchmark}' cannot be read any more: {error}") from None


def matched_pieces(pieces: Iterable[Piece], spans: Iterable[tuple[int, int]]) -> Iterator[ShownPiece]:
    """The pieces, split where a span begins or ends, with what is inside of one marked. Spans are in bytes of the text as
    it was rated, which is what stayed, was inserted or was cut."""
    inside = sorted(spans)
    edges = sorted({edge for span in inside for edge in span})
    position = 0
    for piece in pieces:
        if piece.kind == "removed":
            yield ShownPiece(**asdict(piece))
            continue
        data = piece.text.encode()
        stops = [edge - position for edge in edges if 0 < edge - position < len(data)]
        for start, stop in zip([0, *stops], [*stops, len(data)], strict=True):
            matched = any(low < position + stop and position + start < high for low, high in inside)
            yield ShownPiece(**asdict(replace(piece, text=data[start:stop].decode())), matched=matched)
        position += len(data)


def window(pieces: Iterable[ShownPiece], first: int, characters: int) -> Iterator[ShownPiece]:
    """What pieces have of the `characters` from number `first` of all their texts together."""
    position = 0
    for piece in pieces:
        text = piece.text[max(first - position, 0) : max(first + characters - position, 0)]
        if text:
            yield replace(piece, text=text)
        position += len(piece.text)


def _rated_text(entry: LedgerEntry) -> str:
    return entry.document["text"] or ""


def _with_rest(pieces: list[TextPiece], text: str) -> list[TextPiece]:
    """The pieces, and what was left out of the text behind them, as far as it is shown."""
    rest = text[COMPARED:WINDOW]
    return [*pieces, {"text": rest, "kind": "around"}] if rest else pieces


def _stands_for_others(explained: Mapping[str, Any]) -> bool:
    return explained["decision"] == "keep" and (explained["copies"] or 1) > 1
