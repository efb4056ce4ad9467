"""Shows sampled documents with their texts, as `tamis sample`: paged and coloured in a terminal."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.text import Text

from tamis.pipelines.cli.diff import marked, split_lines
from tamis.pipelines.cli.explain import head, signal_lines
from tamis.pipelines.formatting import signal_value
from tamis.pipelines.lookup.document_sample import Sample
from tamis.transforms.provenance.changes import Piece
from tamis.transforms.select.rule_blocks import THRESHOLDS

_SHOWN = 1200
"""Characters of an unchanged stretch of text; of a longer one, its beginning and its end are shown."""

_STYLES = {"keep": "bold green", "drop": "bold red", "review": "bold yellow"}


def print_sample(sample: Sample, full: bool) -> None:
    """Prints the documents, in a pager if this is a terminal. `full`: their whole texts."""
    console = Console(highlight=False)
    lines = sample_lines(sample, full, console.is_terminal and not console.no_color)
    if not console.is_terminal:
        for line in lines:
            console.print(line, soft_wrap=True)
        return
    os.environ.setdefault("LESS", "FRX")  # colours, and no pager for what fits on the screen
    with console.pager(styles=not console.no_color):
        for line in lines:
            console.print(line)


def sample_lines(sample: Sample, full: bool, colour: bool) -> Iterator[Text]:
    """The documents one after the other: what decided, the values of signals, the text."""
    shown = len(sample.documents)
    yield Text(f"{shown:,} of {sample.matching:,} matching document{'' if sample.matching == 1 else 's'}", "dim")
    for number, document in enumerate(sample.documents, 1):
        yield Text("")
        yield Text(f"── {number} of {shown} ".ljust(72, "─"), "dim")
        name, decided, *rest = head(document)
        yield Text(name, "bold")
        yield Text(decided, _STYLES[document["decision"]])
        if near := document.get("near"):
            yield Text(_near(near, document["signals"]), "yellow")
        for line in rest:
            yield Text(line)
        yield from _signals(document, sample.signals)
        yield Text("")
        yield from _text_lines([Piece(**piece) for piece in document["diff"]], full, colour)


def _signals(document: Mapping[str, Any], named: Iterable[str]) -> Iterator[Text]:
    """The signals that fail their limits or that were asked for, a line each; the others with limits in
    one."""
    failed = [rule["signal"] for rule in document["failed"]]
    lined = [name for name in dict.fromkeys([*failed, *named]) if name in document["signals"]]
    for name, line in zip(lined, signal_lines(document, lined), strict=True):
        yield Text(line, "red" if name in failed else "")
    others = [name for name in document["signals"] if name in document["thresholds"] and name not in lined]
    if others:
        yield Text("  " + ", ".join(f"{name} {signal_value(document['signals'][name])}" for name in others), "dim")


def _near(near: Mapping[str, Any], signals: Mapping[str, Any]) -> str:
    value, limit = float(signals[near["signal"]]), near["value"]
    side = "at" if value == limit else f"{near['distance']:.2%} {'below' if value < limit else 'above'}" if limit else "near"
    section = "" if near["section"] == THRESHOLDS else f" ({near['section']})"
    return f"{near['signal']} {value:.6g} is {side} {near['side']} {limit:.15g}{section}"


def _text_lines(pieces: Iterable[Piece], full: bool, colour: bool) -> Iterator[Text]:
    for line in split_lines([piece if full else _shortened(piece) for piece in pieces]):
        yield Text.assemble(*(marked(piece, colour) for piece in line))


def _shortened(piece: Piece) -> Piece:
    hidden = len(piece.text) - _SHOWN
    if piece.kind != "same" or hidden <= _SHOWN // 2:
        return piece
    half = _SHOWN // 2
    return replace(piece, text=f"{piece.text[:half]} [… {hidden:,} characters …] {piece.text[-half:]}")
