"""Collects what the report shows of benchmark items: counts, scores, and items beside the documents that have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from difflib import SequenceMatcher
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa

from tamis.pipelines.contamination.benchmark_receipt import ITEM_CHARACTERS
from tamis.pipelines.contamination.contaminated_documents import by_benchmark, outcome
from tamis.pipelines.contamination.recorded_items import RecordedItems
from tamis.pipelines.run.receipts import BenchmarkItems, SampledMatch
from tamis.transforms.text.segment import segment
from tamis.transforms.text.words import Words

BINS = 40  # of the scores
AROUND = 160  # characters of the document on either side of a match


class TextPiece(TypedDict):
    """A stretch of a text. `kind`: `same` as in the other text, `differs`, or `around` the match."""

    text: str
    kind: str


class MatchExample(TypedDict):
    """An item beside a document that has it. `item_text` is empty if the benchmark could not be read when the
    release was made, and `document_text` if the document was purged."""

    id: str
    item: str
    part: str
    kind: str
    action: str
    score: float
    outcome: str
    item_text: list[TextPiece]
    document_text: list[TextPiece]


class BenchmarkSection(TypedDict):
    """What a release has met of a benchmark: `found` as `tamis contamination show` prints it, the matches by
    score with the limits, and examples."""

    found: dict[str, Any]
    edges: list[float]
    counts: list[int]
    drop: float
    review: float
    examples: list[MatchExample]


def sampled_documents(recorded: RecordedItems | None) -> set[int]:
    """The doc_refs of the documents in the sample of a record."""
    return {match.doc_ref for benchmark in (recorded.benchmarks if recorded else ()) for match in benchmark.samples}


def benchmark_sections(recorded: RecordedItems | None, texts: Mapping[int, str], words: Words) -> list[BenchmarkSection]:
    """A section for each benchmark. `texts`: of the `sampled_documents`, as they were rated."""
    if recorded is None:
        return []
    found = by_benchmark(recorded, top=0)
    sections: list[BenchmarkSection] = []
    for benchmark, each in zip(recorded.benchmarks, found, strict=True):
        edges = _edges(benchmark)
        counts, _ = np.histogram(np.clip(recorded.of(benchmark.name)["score"].to_numpy(), 0, 1), edges)
        sections.append(
            {
                "found": asdict(each),
                "edges": edges,
                "counts": counts.tolist(),
                "drop": benchmark.drop,
                "review": benchmark.review,
                "examples": [_example(match, texts[match.doc_ref], words) for match in benchmark.samples],
            }
        )
    return sections


def side_by_side(one: str, other: str, words: Words) -> tuple[list[TextPiece], list[TextPiece]]:
    """Two texts in pieces that are the same in both, or differ, word by word; marks and case do not count."""
    units = [_units(text, words) for text in (one, other)]
    keys = [[key for key, _ in each] for each in units]
    pieces: tuple[list[TextPiece], list[TextPiece]] = ([], [])
    for operation, *places in SequenceMatcher(None, keys[0], keys[1], autojunk=False).get_opcodes():
        for own, each, (start, stop) in zip(pieces, units, (places[:2], places[2:]), strict=True):
            if stop > start:
                text = "".join(unit for _, unit in each[start:stop])
                own.append({"text": text, "kind": "same" if operation == "equal" else "differs"})
    return pieces


def _units(text: str, words: Words) -> list[tuple[str, str]]:
    """(key, text) of each word with what follows it. The texts of all units are the text."""
    segmented = segment(pa.array([text], pa.large_string()), words)
    data = text.encode()
    starts, ends = segmented.word_start.tolist(), segmented.word_end.tolist()
    if not starts:
        return [("", text)] if text else []
    units: list[tuple[str, str]] = []
    for start, end, following in zip([0, *starts[1:]], ends, [*starts[1:], len(data)], strict=True):
        word = "".join(character for character in data[start:end].decode().casefold() if character.isalnum())
        whole = data[start:following].decode()
        if word or not units:
            units.append((word, whole))
        else:  # a mark goes with the word before it
            units[-1] = (units[-1][0], units[-1][1] + whole)
    return units


def _edges(benchmark: BenchmarkItems) -> list[float]:
    """Edges of equal bins from 0 to 1, the nearest of which are moved to the limits."""
    edges = np.linspace(0, 1, BINS + 1)
    for limit in {benchmark.drop, benchmark.review}:
        if 0 < limit < 1:
            edges[1 + int(np.abs(edges[1:-1] - limit).argmin())] = limit
    return [float(edge) for edge in np.unique(edges)]


def _example(match: SampledMatch, text: str, words: Words) -> MatchExample:
    before, matched, after = _document_pieces(text, match.start, match.stop)
    item_text, document_text = side_by_side(match.text, matched, words) if match.text else ([], [_piece(matched, "same")])
    around = [_piece(before, "around"), *document_text, _piece(after, "around")]
    return {
        "id": match.id,
        "item": match.item,
        "part": match.part,
        "kind": match.kind,
        "action": match.action,
        "score": match.score,
        "outcome": outcome(match.action, match.decision, match.reason),
        "item_text": item_text,
        "document_text": [piece for piece in around if piece["text"]],
    }


def _document_pieces(text: str, start: int, stop: int) -> tuple[str, str, str]:
    """The text before a match, the match and the text after it, as far as they are shown. `start`, `stop`: bytes."""
    data = text.encode()
    before, matched, after = (piece.decode() for piece in (data[:start], data[start:stop], data[stop:]))
    if len(before) > AROUND:
        before = f"…{before[-AROUND:]}"
    if len(matched) > ITEM_CHARACTERS:
        return before, f"{matched[:ITEM_CHARACTERS]}…", ""
    return before, matched, f"{after[:AROUND]}…" if len(after) > AROUND else after


def _piece(text: str, kind: str) -> TextPiece:
    return {"text": text, "kind": kind}
