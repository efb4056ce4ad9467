"""The page of ten million documents: what it asks first is answered within two seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tamis.pipelines.view.document_list import DocumentList, Filter, Order, SignalRange
from tamis.pipelines.view.document_view import DocumentViews
from tamis.transforms.core.manifest import Manifest
from tamis.transforms.core.release import Release
from tamis.transforms.provenance import ledger
from tests.pipelines.corpus import corpus, save
from tests.pipelines.running import run, write_recipe

PARTS, ROWS = 20, 500_000


def grown(small: Release, folder: Path) -> Release:
    """A release of PARTS × ROWS documents whose columns are drawn from those of a small one; each has an id, an address and a
    number of words of its own."""
    decided, rated = ledger.decisions(small, 0), pq.read_table(small.part(0).uri("rated", "parquet"))
    (folder / "decisions").mkdir(parents=True)
    for ordinal in range(PARTS):
        draw = np.random.Generator(np.random.PCG64(ordinal))
        rows = pa.array(draw.integers(0, decided.num_rows, ROWS))
        number = pc.cast(pa.array(np.arange(ordinal * ROWS, (ordinal + 1) * ROWS)), pa.string())
        own = {
            "id": pc.binary_join_element_wise("doc", number, "-"),
            "url": pc.binary_join_element_wise("https://host.example", number, "/"),
            "gopher.word_count": pa.array(draw.integers(20, 5000, ROWS)),
        }
        paths = folder / f"decisions/part-{ordinal:05d}.parquet", Path(small.run) / f"rated/part-{ordinal}.parquet"
        for table, path in zip((decided, rated), paths, strict=True):
            chosen = table.take(rows)
            for name in own.keys() & {*chosen.column_names}:
                chosen = chosen.set_column(chosen.column_names.index(name), name, own[name])
            pq.write_table(chosen, path, compression="zstd", compression_level=1)
    names = [f"part-{ordinal}" for ordinal in range(PARTS)]
    return replace(small, folder=str(folder), manifest=cast(Manifest, {**small.manifest, "parts": names}))


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@pytest.mark.slow
def test_the_first_answers_come_within_two_seconds(tmp_path: Path) -> None:
    records = [record | {"text": str(record["text"])[:200]} for record in corpus(400, seed=5)]
    small = run(write_recipe(tmp_path), save(tmp_path / "in", [records]), tmp_path / "run").release
    release = grown(small, tmp_path / "grown")
    documents: list[DocumentList] = []
    dropped, short = Filter(decision="drop"), Filter(ranges=(SignalRange("gopher.word_count", 20, 30),))
    took = {
        "opened": seconds(lambda: documents.append(DocumentList(release))),
        "first page": seconds(lambda: documents[0].page(Filter(), Order(), 0, 50)),
        "counts of all": seconds(lambda: documents[0].counts(Filter())),
        "dropped": seconds(lambda: documents[0].page(dropped, Order(), 0, 50)),
        "counts of dropped": seconds(lambda: documents[0].counts(dropped)),
        "a range": seconds(lambda: documents[0].page(short, Order(), 0, 50)),
        "counts of a range": seconds(lambda: documents[0].counts(short)),
        "sorted": seconds(lambda: documents[0].page(Filter(), Order("gopher.word_count", True), 0, 50)),
        "a host": seconds(lambda: documents[0].page(Filter(host="host.example"), Order(), 0, 50)),
        "counts of no host": seconds(lambda: documents[0].counts(Filter(host="other.example"))),
        "by id": seconds(lambda: documents[0].page(Filter(find="doc-9999999"), Order(), 0, 50)),
        "a document": seconds(lambda: DocumentViews(documents[0]).explain(PARTS - 1, ROWS - 1)),
    }
    print({name: round(value, 2) for name, value in took.items()})
    assert [row["id"] for row in documents[0].page(Filter(find="doc-9999999"), Order(), 0, 50)] == ["doc-9999999"]
    assert sum(took[name] for name in ("opened", "first page", "counts of all")) < 2
