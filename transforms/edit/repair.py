"""The editor `repair`: restores damaged characters with the rules of ftfy."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from pydantic import Field

from tamis.transforms.core.editor import Editor, Edits
from tamis.transforms.core.options import Options, fingerprint

if TYPE_CHECKING:
    from tamis.transforms.text.segment import Texts


class Repair(Options):
    """Which kinds of damage to repair. Each is also the reason of its edits."""

    mojibake: bool = Field(
        True, description="UTF-8 that was read in another encoding (`cafÃ©`), and C1 controls, which are Windows-1252"
    )
    entities: bool = Field(
        True, description="HTML entities (`&amp;`, `&#8217;`), in lines without `<`: a line with one is HTML, and stays"
    )
    controls: bool = Field(True, description="control characters other than white space, and terminal escapes; removed")
    line_ends: bool = Field(True, description="carriage returns, U+0085, U+2028 and U+2029; each line ends in a newline")
    zero_width: bool = Field(
        True,
        description="byte order marks, word joiners, zero-width spaces and joiners; removed where they do nothing; joiners "
        "stay in Persian, Indic scripts and emoji, zero-width spaces in Thai, Lao, Khmer and Burmese",
    )
    soft_hyphens: bool = Field(
        True, description="places where a word may be broken (U+00AD); removed, unless a line ends there"
    )
    normal_form: bool = Field(True, description="characters in NFC: `e` with an accent after it is `é`")


class RepairEditor(Editor[Repair]):
    """Repairs Unicode line by line with the rules of ftfy 6.3 that restore what was written; those
    that change typography (quotes, widths, ligatures) are not here.

    A kernel looks at the bytes and finds the lines that a rule could change; only these are given to
    Python. Differences from `ftfy.fix_text`:
    - Line ends are replaced first, and each line is repaired alone, also in text that has only
      carriage returns.
    - An entity is decoded unless there is a `<` in its line; ftfy decodes none in the lines after
      that either. What was escaped twice is decoded until a `<` appears.
    - Zero-width characters and soft hyphens are removed; ftfy removes byte order marks only.
    - The rules run at most eight times.
    """

    name = "repair"
    VERSION = 1
    reasons = ("entities", "mojibake", "line_ends", "controls", "zero_width", "soft_hyphens", "normal_form")
    inserts = True

    @property
    def fingerprint(self) -> str:
        """Covers the version of ftfy."""
        return fingerprint([super().fingerprint, version("ftfy")])

    def edit(self, texts: Texts) -> Edits:
        import numpy as np
        import pyarrow as pa

        from tamis.transforms.edit.changes_of_text import in_bytes
        from tamis.transforms.edit.repair_rules import repaired_line
        from tamis.transforms.edit.suspect_lines import find

        rules = frozenset(name for name in self.reasons if getattr(self.options, name))
        found = find(texts.data, texts.text_start, rules)
        rows: list[tuple[int, int, int, int]] = []
        inserted: list[str] = []
        for row, left, right in zip(found.document.tolist(), found.start.tolist(), found.stop.tolist(), strict=True):
            line = texts.data[left:right].tobytes().decode()
            for first, last, change in in_bytes(line, repaired_line(line, rules)):
                rows.append((row, left + first, left + last, change.reason))
                inserted.append(change.new)
        before_newline = (texts.data[found.end_start] == 0x0D) & (texts.data[found.end_stop] == 0x0A)
        crlf = before_newline & (found.end_stop < texts.text_start[found.end_document + 1])
        inserted += np.where(crlf, "", "\n").tolist()
        reason = np.full(len(crlf), self.reasons.index("line_ends"))
        lines = np.array(rows, np.int64).reshape(-1, 4)
        every = np.concatenate([lines, np.stack([found.end_document, found.end_start, found.end_stop, reason], axis=1)])
        order = np.argsort(every[:, 1], kind="stable")
        document, start, stop, reason = (np.ascontiguousarray(column) for column in every[order].T)
        return Edits(document, start, stop, reason, pa.array(inserted, pa.large_string()).take(pa.array(order)))
