"""Finds the code on the pages of the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PAGES = sorted([ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").glob("*.md"), ROOT / "deploy" / "README.md"])

_FENCE = re.compile(r"^```(\w*)$(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line of the page that it begins at."""

    language: str
    text: str
    line: int


@dataclass
class Command:
    """A line of a `console` block after `$ `, with the lines below it, which are what it prints."""

    text: str
    line: int
    output: list[str] = field(default_factory=list)


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [Block(m[1], m[2].removeprefix("\n"), text.count("\n", 0, m.start()) + 2) for m in _FENCE.finditer(text)]


def commands(block: Block) -> Iterator[Command]:
    """The commands of a `console` block. A line that ends in a backslash goes on in the next one."""
    command: Command | None = None
    for number, line in enumerate(block.text.splitlines(), block.line):
        if command is not None and command.text.endswith("\\"):
            command.text = command.text[:-1] + line.strip()
        elif line.startswith("$ "):
            if command is not None:
                yield command
            command = Command(line[2:], number)
        elif command is not None:
            command.output.append(line)
        else:
            raise ValueError(f"line {number}: a console block begins with '$ '")
    if command is not None:
        yield command


def spans(page: Path) -> list[str]:
    """The inline code of a page."""
    return _SPAN.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))


def links(page: Path) -> list[str]:
    """The targets of a page's links, those to other sites left out."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
