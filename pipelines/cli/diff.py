"""Shows the text of a document with what was removed, inserted and cut, as `tamis explain --diff`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.text import Text

from tamis.transforms.provenance.changes import Piece

CONTEXT = 2
"""Unchanged lines that are shown before and after a change."""

_MARKS = {"removed": ("[-", "-]", "red strike"), "cut": ("[-", "-]", "magenta strike"), "inserted": ("{+", "+}", "green")}

Line = list[Piece]


def print_diff(pieces: Sequence[Mapping[str, Any]]) -> None:
    """Prints the pieces of `explanation(…, diff=True)`, in colours if this is a terminal."""
    console = Console(highlight=False)
    for line in diff_lines([Piece(**piece) for piece in pieces], console.is_terminal):
        console.print(line, soft_wrap=True)


def diff_lines(pieces: Sequence[Piece], colour: bool) -> Iterator[Text]:
    """What each editor and step changed, then the lines that changed with a few around them. Removed
    text is struck through, or stands in [-…-] without colours, inserted text in {+…+}; behind each
    line stands why."""
    yield from _summary(pieces)
    yield Text("")
    lines = list(split_lines(pieces))
    changed = [number for number, line in enumerate(lines) if any(piece.kind != "same" for piece in line)]
    shown = {near for number in changed for near in range(number - CONTEXT, number + CONTEXT + 1)}
    hidden = 0
    for number, line in enumerate(lines):
        if number in shown:
            if hidden:
                yield _hidden(hidden)
            hidden = 0
            yield _line(line, colour)
        else:
            hidden += 1
    if hidden:
        yield _hidden(hidden)


def _summary(pieces: Sequence[Piece]) -> Iterator[Text]:
    counts: Counter[tuple[str, str, str]] = Counter()
    for piece in pieces:
        counts[piece.by, piece.kind, piece.reason] += len(piece.text)
    for by in dict.fromkeys(piece.by for piece in pieces if piece.kind != "same"):
        for kind in dict.fromkeys(piece.kind for piece in pieces if piece.by == by and piece.kind != "same"):
            reasons = {key[2]: count for key, count in counts.items() if key[:2] == (by, kind)}
            what = ", ".join(f"{reason} {count:,}" for reason, count in sorted(reasons.items(), key=lambda item: -item[1]))
            yield Text(f"{by + ': ' if by else ''}{sum(reasons.values()):,} characters {kind} ({what})")
    before = sum(len(piece.text) for piece in pieces if piece.kind != "inserted")
    after = sum(len(piece.text) for piece in pieces if piece.lasting)
    yield Text(f"{before:,} characters as it was read, {after:,} as it is")


def split_lines(pieces: Sequence[Piece]) -> Iterator[Line]:
    """The pieces of each line."""
    line: Line = []
    for piece in pieces:
        *whole, rest = piece.text.split("\n")
        for text in whole:
            yield [*line, replace(piece, text=text)]
            line = []
        if rest:
            line.append(replace(piece, text=rest))
    if line:
        yield line


def _line(line: Line, colour: bool) -> Text:
    kinds = {piece.kind for piece in line}
    head = "  " if kinds == {"same"} else "+ " if kinds == {"inserted"} else "- " if "same" not in kinds else "~ "
    text = Text(head)
    for piece in line:
        text.append(marked(piece, colour))
    changed = (piece for piece in line if piece.kind != "same")
    if why := dict.fromkeys(f"{piece.by}: {piece.reason}" if piece.by else piece.reason for piece in changed):
        text.append(f"   {'; '.join(why)}", "dim")
    return text


def marked(piece: Piece, colour: bool) -> Text:
    """A piece of one line: struck through or coloured if it changed, or in brackets without colours.
    Control characters are escaped, since they would act on a terminal."""
    before, after, style = _MARKS.get(piece.kind, ("", "", ""))
    spaces = "\t" if piece.kind != "same" else "\t\xa0\u3000"  # of what changed, each is shown for what it is
    visible = "".join(letter if letter.isprintable() or letter in spaces else repr(letter)[1:-1] for letter in piece.text)
    if not visible and piece.kind != "same":
        visible = "↵"  # a line end alone
    return Text(visible if colour or not visible else f"{before}{visible}{after}", style)


def _hidden(lines: int) -> Text:
    return Text(f"  … {lines:,} unchanged line{'' if lines == 1 else 's'}", "dim")
