"""A small crawl of which some documents have items of a benchmark: whole, with other numbers, as a passage, as a duplicate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tests.pipelines.corpus import corpus

PASSAGE = (
    "The carillon of Mechelen has 49 bells, which were cast by Pieter Hemony of Amsterdam in 1679. Its clapper wires were "
    "replaced by Jef Denyn, who founded a school for bell players beside the tower, and whose pupils toured as far as Florida."
)
ITEMS = [
    {"question": "A baker makes 12 trays of rye rolls every morning and sells each roll for 3 dollars at the harbour market, "
     "except on 15 Sundays. How much does she earn in a leap year?"},
    {"question": "Why do copper pipes in old greenhouses turn green after several humid summers?"},
    {"question": "is the founder of the bell school a native of Amsterdam", "passage": PASSAGE},
    {"question": "Which Baltic lighthouse burned herring oil until 1911?"},
]  # fmt: skip
TEXTS = {
    "both": f"{ITEMS[0]['question']}\n{ITEMS[1]['question']}",
    "numbers": ITEMS[0]["question"].replace("12", "47").replace("3 d", "9 d").replace("15", "26"),
    "passage": PASSAGE,
    "short": ITEMS[1]["question"],
}


def documents(copies: bool = True) -> list[dict[str, str]]:
    """The documents: 40 of a crawl, one for each of `TEXTS`, of which `short` is nothing but the item, and copies
    of the passage for a deduplicator."""
    records = [{"id": str(record["id"]), "text": str(record["text"])} for record in corpus(40, seed=3)]
    hosts = dict(zip(TEXTS, records, strict=False))
    planted = [
        {"id": name, "text": f"{hosts[name]['text'] if name != 'short' else ''}\n{text}"} for name, text in TEXTS.items()
    ]
    again = [{"id": f"{name}-again", "text": f"{hosts[name]['text']}\n{TEXTS[name]}"} for name in ("passage",) if copies]
    return [*records, *planted, *again]


def write_crawl(folder: Path, records: Sequence[dict[str, str]], files: int) -> Path:
    """The records as JSON lines, dealt to so many files."""
    folder.mkdir(parents=True)
    for number in range(files):
        lines = "".join(json.dumps(record) + "\n" for record in records[number::files])
        (folder / f"piece-{number:02d}.jsonl").write_text(lines)
    return folder
