"""Measures the extractors of web pages: what they find of the article that a person marked, and their time.

    python -m tests.bench.extraction articles.jsonl.zst

Each line is an object with the fields `html` and `articleBody`, as in Scrapinghub's article extraction benchmark. Precision and
recall compare the words with their numbers, page by page; F1 is the mean of the pages. `fallback` is what a page gives if its
extractor finds nothing.
"""

from __future__ import annotations

import io
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import zstandard
from resiliparse.parse.html import HTMLTree

from tamis.transforms.read.web.extractors import extract, visible_text


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text.lower()))


def scores(text: str, article: str) -> tuple[float, float, float]:
    """Precision, recall and F1 of the words of a text."""
    found, wanted = words(text), words(article)
    common = (found & wanted).total()
    precision, recall = common / max(1, found.total()), common / max(1, wanted.total())
    return precision, recall, 2 * precision * recall / max(1e-9, precision + recall)


def fallback(page: bytes) -> str:
    return visible_text(HTMLTree.parse(page.decode("utf-8", "replace")))


EXTRACTORS: dict[str, Callable[[bytes], str]] = {
    "resiliparse": lambda page: extract(page, "utf-8", "resiliparse")[0],
    "trafilatura": lambda page: extract(page, "utf-8", "trafilatura")[0],
    "fallback": fallback,
}


def main() -> None:
    with zstandard.ZstdDecompressor().stream_reader(Path(sys.argv[1]).read_bytes()) as stream:
        rows = [json.loads(line) for line in io.TextIOWrapper(stream, "utf-8")]
    pages = [(row["html"].encode("utf-8", "replace"), row["articleBody"]) for row in rows]
    for name, run in EXTRACTORS.items():
        run(b"<p>imports and caches</p>")
        begin = time.process_time()
        texts = [run(page) for page, _ in pages]
        milliseconds = (time.process_time() - begin) / len(pages) * 1000
        columns = zip(*(scores(text, article) for text, (_, article) in zip(texts, pages, strict=True)), strict=True)
        precision, recall, f1 = (sum(column) / len(pages) for column in columns)
        print(f"{name:12} F1 {f1:.3f}  precision {precision:.3f}  recall {recall:.3f}  {milliseconds:5.1f} ms a page")


if __name__ == "__main__":
    main()
