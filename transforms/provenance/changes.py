"""What happened to the text of one document: what was read, what editors replaced, what was cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

Kind = Literal["same", "removed", "inserted", "cut"]


@dataclass(frozen=True)
class Piece:
    """A stretch of a document: text that stayed, that `by` removed or inserted, or that was cut.
    `by` is the name of the editor; of a cut, empty. `reason` is the editor's, or that of the cut."""

    text: str
    kind: Kind = "same"
    by: str = ""
    reason: str = ""

    @property
    def lasting(self) -> bool:
        """Whether it is in the text as it ends."""
        return self.kind in ("same", "inserted")


def original_text(rated: str, edits: Iterable[Mapping[str, Any]]) -> str:
    """The text as it was read, from the edited one and the record of edits beside it."""
    data = rated.encode()
    for _, layer in reversed(_layers(edits)):
        pieces: list[bytes] = []
        left = shift = 0
        for edit in layer:
            removed, inserted = edit["removed"].encode(), edit["inserted"].encode()
            start = edit["start"] + shift
            pieces += [data[left:start], removed]
            left = start + len(inserted)
            shift += len(inserted) - len(removed)
        data = b"".join([*pieces, data[left:]])
    return data.decode()


def changes(rated: str, edits: Sequence[Mapping[str, Any]], cuts: Iterable[Mapping[str, Any]]) -> list[Piece]:
    """The document in pieces: those that stayed or were removed are the text as it was read; those
    that stayed or were inserted are the text as it is in the corpus."""
    pieces = [Piece(original_text(rated, edits))]
    for editor, layer in _layers(edits):
        for edit in reversed(layer):  # so that the places of the others stay what they are
            start, stop = edit["start"], edit["start"] + len(edit["removed"].encode())
            change = Piece(edit["inserted"], "inserted", editor, edit["reason"])
            pieces = list(_replaced(pieces, start, stop, "removed", change))
    for cut in sorted(cuts, key=lambda cut: -int(cut["start"])):
        pieces = list(_replaced(pieces, cut["start"], cut["stop"], "cut", Piece("", "cut", "", cut["reason"])))
    return [_merged(list(group)) for _, group in groupby(pieces, key=lambda piece: replace(piece, text=""))]


def _layers(edits: Iterable[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    return [(editor, list(layer)) for editor, layer in groupby(edits, key=lambda edit: str(edit["editor"]))]


def _replaced(pieces: Iterable[Piece], start: int, stop: int, kind: Kind, change: Piece) -> Iterator[Piece]:
    """The pieces after the bytes from `start` to `stop` of the lasting text became the text of
    `change`. What an earlier editor inserted there leaves no trace."""
    position, done = 0, False
    for piece in pieces:
        if not piece.lasting:
            yield piece
            continue
        data = piece.text.encode()
        low, high = (min(max(place - position, 0), len(data)) for place in (start, stop))
        if not done and position + len(data) < start:
            low = high = len(data)
        if data[:low]:
            yield replace(piece, text=data[:low].decode())
        if data[low:high] and piece.kind == "same":
            yield Piece(data[low:high].decode(), kind, change.by, change.reason)
        position += len(data)
        if not done and position >= stop:
            done = True
            if change.text:
                yield change
        if data[high:]:
            yield replace(piece, text=data[high:].decode())
    if not done and change.text:
        yield change


def _merged(pieces: Sequence[Piece]) -> Piece:
    return replace(pieces[0], text="".join(piece.text for piece in pieces))
