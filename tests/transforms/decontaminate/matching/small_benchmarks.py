"""Benchmarks of a few items, and what is found of them in texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from tamis.transforms.decontaminate.benchmarks import Benchmark
from tamis.transforms.decontaminate.contamination_rater import Decontaminate
from tamis.transforms.decontaminate.matching.candidate_records import Candidates, unpack
from tamis.transforms.decontaminate.matching.candidates import propose
from tamis.transforms.decontaminate.matching.index import Index, build
from tamis.transforms.decontaminate.matching.run_evidence import Evidence, RunCounts, evidence
from tamis.transforms.decontaminate.matching.verdicts import find
from tamis.transforms.decontaminate.record import CLASSES
from tamis.transforms.text.segment import segment
from tamis.transforms.text.words import DEFAULT_WORDS, Words


def benchmark(folder: Path, items: Sequence[Mapping[str, object] | str], name: str = "b") -> Benchmark:
    """One of these items: their question, or their fields."""
    rows = [{"question": item} if isinstance(item, str) else item for item in items]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fields = dict.fromkeys(field for row in rows for field in row)
    return Benchmark.model_validate({"name": name, "path": str(folder / f"{name}.jsonl"), **{field: field for field in fields}})


SECTION = Decontaminate.model_validate({"benchmarks": [{"name": "b", "path": "b", "question": "q"}]})


def index_of(folder: Path, items: Sequence[Mapping[str, object] | str], words: Words = DEFAULT_WORDS) -> Index:
    return build(Decontaminate(benchmarks=[benchmark(folder, items)]), words)


def candidates_of(texts: Sequence[str], index: Index) -> Candidates:
    return unpack(propose(segment(pa.array(texts, pa.large_string())), index), index)


def scores(texts: Sequence[str], index: Index, **options: Any) -> list[dict[str, tuple[str, float]]]:
    """Of each text by item: class and score, by the documents of these texts."""
    section = Decontaminate.model_validate(SECTION.model_dump() | options)
    candidates = candidates_of(texts, index)
    found: list[dict[str, tuple[str, float]]] = [{} for _ in texts]
    matches = find(candidates, index, evidence(index, RunCounts.of(candidates, index, section), section), section)
    for k in range(len(matches.item)):
        item = index.labels[int(matches.item[k])].as_py()
        found[int(matches.document[k])][item] = CLASSES[matches.kind[k]], float(matches.score[k])
    return found


def evidence_of_none(index: Index) -> Evidence:
    """That of a run before any document is seen."""
    return evidence(index, RunCounts.none(), SECTION)
