"""dolma: its Gopher and C4 taggers, and its deduper. It has no rules of FineWeb, and words at white space."""

from __future__ import annotations

import gzip
import json
import shutil
import tempfile
from pathlib import Path

from dolma import deduper
from dolma.core.data_types import Document
from dolma.core.registry import TaggerRegistry
from measure import Task, main, megabytes, texts

_scratch = tempfile.TemporaryDirectory()


def rules(corpus: Path) -> Task:
    taggers = [TaggerRegistry.get(name)() for name in ("gopher_v1", "c4_v2")]
    documents = [Document(source="", id="", version="", text=text) for text in texts(corpus)]

    def run() -> None:
        for document in documents:
            for tagger in taggers:
                tagger.predict(document)

    return Task(megabytes(corpus), run)


def paragraphs(corpus: Path) -> Task:
    """Paragraphs between blank lines that its Bloom filter has seen. It works on files: reads gzip, writes spans."""
    folder = Path(_scratch.name)
    shutil.copytree(corpus / "jsonl", folder / "documents")
    config = {
        "documents": [f"{folder}/documents/*.gz"],
        "work_dir": {"input": f"{folder}/in", "output": f"{folder}/out"},
        "dedupe": {
            "name": "repeats",
            "paragraphs": {"attribute_name": "repeats", "paragraph_separator": "\n\n"},
            "skip_empty": True,
            "min_length": 0,
            "min_words": 0,
        },
        "bloom_filter": {
            "file": f"{folder}/bloom.bin",
            "read_only": False,
            "size_in_bytes": 0,
            "estimated_doc_count": 1_000_000,
            "desired_false_positive_rate": 1e-6,
        },
        "processes": 1,
        "compression": {"input": None, "output": None},
        "is_s3_volume": False,
    }

    def run() -> dict[str, object]:
        deduper(config)
        return {"cut": sum(map(_spans, sorted((folder / "attributes").rglob("*.gz"))))}

    return Task(megabytes(corpus), run, once=True)


def _spans(attributes: Path) -> int:
    with gzip.open(attributes, "rb") as lines:
        return sum(len(json.loads(line)["attributes"]["repeats"]) for line in lines)


main("dolma", {"rules": rules, "paragraphs": paragraphs})
