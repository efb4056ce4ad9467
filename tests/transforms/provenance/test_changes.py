"""The pieces of a document give the text as it was read, and the text as it is."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.provenance.changes import Piece, changes, original_text
from tests.transforms.edit.random_editor import RandomOptions, changed, random_changes


def edits_of(text: str, editors: int) -> tuple[str, list[dict[str, Any]]]:
    """The text after some random editors, and the record of what they did."""
    record: list[dict[str, Any]] = []
    for seed in range(editors):
        made = random_changes(text, RandomOptions(seed=seed, density=0.5))
        for start, stop, new, reason in made:
            first = len(text[:start].encode())
            record.append({"editor": str(seed), "reason": reason, "start": first, "removed": text[start:stop], "inserted": new})
        text = changed(text, made)
    return text, record


@given(st.text(max_size=60), st.integers(0, 3), st.lists(st.integers(0, 80), max_size=6))
def test_pieces_give_both_texts(text: str, editors: int, bounds: list[int]) -> None:
    rated, edits = edits_of(text, editors)
    places = sorted({min(bound, len(rated)) for bound in bounds})
    spans = list(zip(places[::2], places[1::2], strict=False))
    cuts = [
        {"start": len(rated[:start].encode()), "stop": len(rated[:stop].encode()), "reason": "cut"} for start, stop in spans
    ]
    pieces = changes(rated, edits, cuts)
    final = changed(rated, [(start, stop, "", "") for start, stop in spans])
    assert original_text(rated, edits) == text
    assert "".join(piece.text for piece in pieces if piece.lasting) == final
    assert "".join(piece.text for piece in pieces if piece.kind != "inserted") == text


def test_a_text_without_changes_is_one_piece() -> None:
    assert changes("some text", [], []) == [Piece("some text")]


def test_a_replacement_an_insertion_and_a_cut() -> None:
    edits = [
        {"editor": "repair", "reason": "mojibake", "start": 0, "removed": "Ã©", "inserted": "é"},
        {"editor": "lines", "reason": "counter", "start": 6, "removed": "\n3 likes", "inserted": ""},
    ]
    assert changes("été.", edits, [{"start": 2, "stop": 3, "reason": "contamination"}]) == [
        Piece("Ã©", "removed", "repair", "mojibake"),
        Piece("é", "inserted", "repair", "mojibake"),
        Piece("t", "cut", "", "contamination"),
        Piece("é."),
        Piece("\n3 likes", "removed", "lines", "counter"),
    ]
