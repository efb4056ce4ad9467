"""A small seeded corpus with planted exact and near duplicates, several sources and some junk; every text is generated."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

Record = dict[str, object]

SOURCES = {"web": 0.6, "books": 0.25, "code": 0.15}
_STOP = ("the", "be", "to", "of", "and", "that", "have", "with")
_SYLLABLES = [first + vowel + last for first in (*"bdklmpr", "st") for vowel in "aeiou" for last in ("", "n", "r")]


def corpus(size: int, seed: int = 0, sentences: tuple[int, int] = (4, 40)) -> list[Record]:
    """`size` records: about a tenth exact copies, a tenth near copies (Jaccard above 0.8), a twentieth junk.

    Ids are unique; `trap` in the metadata says what was planted: plain, exact, near or junk.
    """
    draw = random.Random(seed)
    lexicon = ["".join(draw.choices(_SYLLABLES, k=draw.randint(1, 4))) for _ in range(4000)]
    records: list[Record] = []
    plain: list[str] = []
    for number in range(size):
        roll = draw.random()
        if roll < 0.1 and plain:
            trap, text = "exact", draw.choice(plain)
        elif roll < 0.2 and plain:
            trap, text = "near", _touched(draw.choice(plain), draw)
        elif roll < 0.25:
            trap, text = "junk", " ".join(draw.choices(("zz", "#", "...", "42"), k=draw.randint(1, 60)))
        else:
            trap, text = "plain", _prose(draw, lexicon, draw.randint(*sentences))
            plain.append(text)
        source = draw.choices(list(SOURCES), list(SOURCES.values()))[0]
        url = f"https://{source}.example/{number}"
        records.append({"id": f"doc-{number:06d}", "text": text, "source": source, "url": url, "trap": trap})
    return records


def _prose(draw: random.Random, lexicon: list[str], sentences: int) -> str:
    """Paragraphs of one quality: the better, the more common words and the more varied words in it."""
    common, variety = draw.uniform(0.05, 0.5), draw.randint(40, len(lexicon))
    words = draw.sample(lexicon, variety)
    said = []
    for _ in range(sentences):
        line = [draw.choice(_STOP) if draw.random() < common else draw.choice(words) for _ in range(draw.randint(5, 18))]
        said.append(" ".join(line).capitalize() + draw.choice(".....?!"))
    return "".join(sentence + ("\n" if draw.random() < 0.2 else " ") for sentence in said).strip()


def _touched(text: str, draw: random.Random) -> str:
    """The text with one word in a hundred replaced (one at least) and letters in capitals, which no shingle sees."""
    words = text.split(" ")
    for _ in range(max(1, len(words) // 100)):
        words[draw.randrange(len(words))] = "changed"
    return " ".join(words).replace("a", "A") if draw.random() < 0.5 else " ".join(words)


def dealt(records: Sequence[Record], files: int, seed: int) -> list[list[Record]]:
    """The records shuffled and cut into `files` uneven pieces."""
    draw = random.Random(seed)
    mixed = draw.sample(list(records), len(records))
    cuts = sorted(draw.randrange(len(mixed)) for _ in range(files - 1))
    return [mixed[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(mixed)], strict=True)]


def save(folder: Path, pieces: Sequence[Sequence[Record]], kind: str = "jsonl") -> Path:
    """Writes each piece as one file of `kind` (jsonl, jsonl.gz, jsonl.zst, parquet) into `folder`, which it returns."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, piece in enumerate(pieces):
        _WRITE[kind](folder / f"piece-{number:02d}.{kind}", piece)
    return folder


def _lines(records: Sequence[Record]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def _parquet(path: Path, records: Sequence[Record]) -> None:
    names = list(dict.fromkeys(name for record in records for name in record))
    table = pa.table({name: [record.get(name) for record in records] for name in names})
    pq.write_table(table, path, compression="zstd", row_group_size=max(1, len(records) // 3))


_WRITE: dict[str, Callable[[Path, Sequence[Record]], object]] = {
    "jsonl": lambda path, records: path.write_bytes(_lines(records)),
    "jsonl.gz": lambda path, records: path.write_bytes(gzip.compress(_lines(records), mtime=0)),
    "jsonl.zst": lambda path, records: path.write_bytes(zstandard.compress(_lines(records))),
    "parquet": _parquet,
}
