"""Inputs of five makes, in which the beginning does not tell what follows."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Record = dict[str, str]

_WORDS = np.array(
    [f"{a}{b}{c}" for a in "bcdfglmnprst" for b in ("a", "en", "ir", "o", "ul") for c in ("k", "ma", "nd", "ster", "y")]
)
_STOP = np.array(["the", "of", "and", "to", "that", "with", "have", "be"])
_SOURCES = ("books", "forum", "news", "shop", "wiki")
_SHORT = (0.05, 0.6, 0.15, 0.4, 0.25)
"""The share of each source's texts that have fewer than 50 words."""


def records(size: int, seed: int, skewed: bool = False) -> Iterator[Record]:
    """About `size` bytes of text, one source after the other. 8 % of the texts are copies of an earlier one, far away."""
    draw = np.random.default_rng(seed)
    kept: list[str] = []
    for source, short in zip(_SOURCES, _SHORT, strict=True):
        written = 0
        while written < size // len(_SOURCES):
            if kept and draw.random() < 0.08:
                text = kept[draw.integers(len(kept))]
            else:
                words = draw.integers(8, 45) if draw.random() < short else draw.integers(60, 180)
                if skewed and draw.random() < 0.02:
                    words = min(int(2000 * (1 + draw.pareto(1.1))), 60_000)
                text = " ".join(np.where(draw.random(words) < 0.3, draw.choice(_STOP, words), draw.choice(_WORDS, words)))
                if len(text) < 2000:
                    kept.append(text)
            written += len(text)
            yield {"id": f"{source}-{draw.integers(1 << 62)}", "source": source, "text": text}


def small_files(folder: Path, size: int) -> None:
    """A file for every few records, some in folders."""
    pages = list(records(size, 1))
    first, number = 0, 0
    while first < len(pages):
        path = folder / pages[first]["source"] / f"{number:05d}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(page) + "\n" for page in pages[first : first + 5 + number % 20]))
        first, number = first + 5 + number % 20, number + 1


def one_gzip(folder: Path, size: int) -> None:
    with gzip.open(folder / "all.jsonl.gz", "wt", compresslevel=3) as file:
        file.writelines(json.dumps(page) + "\n" for page in records(size, 2))


def sorted_parquet(folder: Path, size: int) -> None:
    table = pa.Table.from_pylist(list(records(size, 3)))
    pq.write_table(table, folder / "all.parquet", row_group_size=len(table) // 7)


def warc(folder: Path, size: int) -> None:
    """Two files of pages, each page compressed by itself."""
    pages = list(records(size, 4))
    for number, half in enumerate((pages[: len(pages) // 3], pages[len(pages) // 3 :])):
        with open(folder / f"crawl-{number}.warc.gz", "wb") as file:
            for page in half:
                body = f"<html><head><title>{page['source']}</title></head><body><p>{page['text']}</p></body></html>"
                block = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{body}".encode()
                head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:{page['id']}>\r\n"
                record = f"{head}Content-Length: {len(block)}\r\n\r\n".encode() + block + b"\r\n\r\n"
                file.write(gzip.compress(record, 1, mtime=0))


def skewed_lengths(folder: Path, size: int) -> None:
    """A few texts have most of the bytes."""
    (folder / "all.jsonl").write_text("".join(json.dumps(page) + "\n" for page in records(size, 5, skewed=True)))


MAKES: dict[str, Callable[[Path, int], None]] = {
    make.__name__: make for make in (small_files, one_gzip, sorted_parquet, warc, skewed_lengths)
}
