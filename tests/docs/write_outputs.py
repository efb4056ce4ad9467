"""Runs the commands of a page and writes what they print below them: all of it where the page has nothing yet; else the new
numbers in the lines that are there.

    python -m tests.docs.write_outputs docs/walk-web.md
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.docs.page_code import Block, blocks, commands
from tests.docs.sample_files import make_sample_files
from tests.docs.test_commands import BIN, elsewhere, mask_numbers, run, shell, write_file


def main() -> None:
    page = Path(sys.argv[1]).resolve()
    text = page.read_text("utf-8")
    with tempfile.TemporaryDirectory() as folder:
        make_sample_files(Path(folder))
        os.chdir(folder)
        os.environ["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        printed: str | None = None
        for block in blocks(page):
            if block.text.startswith("# file: "):
                write_file(block, Path(folder))
            elif block.language == "text" and printed is not None:
                text = text.replace(
                    f"```text\n{block.text}```", f"```text\n{new_output(block.text.splitlines(), printed)}```", 1
                )
            elif block.language == "console":
                text = text.replace(block.text, _console(block), 1)
            python = block.language == "python" and not block.text.startswith("# file: ")
            printed = shell([sys.executable, "-c", block.text], f"line {block.line}") if python else None
        os.chdir("/")
    page.write_text(text, "utf-8")


def _console(block: Block) -> str:
    """The block with the new output."""
    written, lines = "", block.text.splitlines(keepends=True)
    for command in commands(block):
        start = command.line - block.line
        written += "".join(lines[start : len(lines) - len(lines[start:]) + _length(lines[start:])])
        kept = elsewhere(command.text) is not None
        written += "\n".join([*command.output, ""]) if kept and command.output else ""
        written += "" if kept else new_output(command.output, run(command.text, f"line {command.line}"))
    return written


def _length(lines: Sequence[str]) -> int:
    """The lines of the command that the first one begins."""
    return next(number for number, line in enumerate(lines, 1) if not line.endswith("\\\n"))


def new_output(old: Sequence[str], printed: str) -> str:
    """The lines of an output that are on the page, with the numbers that were printed; all that was printed if none is."""
    new = [line.rstrip() for line in printed.splitlines()]
    if not any(map(str.strip, old)):
        return "\n".join([*new, ""]) if any(new) else ""
    chosen: list[str] = []
    for line in old:
        place = next((place for place, other in enumerate(new) if mask_numbers(other) == mask_numbers(line)), None)
        chosen.append(line if place is None else new[place])
        new = new if place is None else new[place + 1 :]
    return "\n".join([*chosen, ""])


if __name__ == "__main__":
    main()
