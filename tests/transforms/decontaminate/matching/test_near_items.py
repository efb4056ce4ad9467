"""Of the items of other splits, those alone are dropped that are an item of the benchmark."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tamis.transforms.decontaminate.contamination_rater import Decontaminate
from tamis.transforms.decontaminate.matching.candidates import propose
from tamis.transforms.decontaminate.matching.index import load_or_build
from tamis.transforms.decontaminate.probe.planted_outcomes import DROPPED, outcomes
from tamis.transforms.text.segment import segment

SAME = {
    "mmluval-69": ("1349", "How can several different proteins be produced from the same gene?"),
    "mmluval-129": ("672", "How many chromosomes do all human somatic cells contain?"),
    "mmluval-137": ("501", "The two principal contractile proteins found in skeletal muscle are:"),
    "mmluval-143": ("610", "The creatine kinase reaction is:"),
    "mmluval-147": ("532", "The main factors determining success in sport are:"),
    "mmluval-149": ("1389", "Characteristic X rays, appearing as sharp lines on a continuous background"),
    "mmluval-150": ("1424", "Two students perform an experiment in which they drop a ball from rest"),
    "mmluval-152": ("1419", "A grating spectrometer can just barely resolve two wavelengths"),
    "mmluval-814": ("7785", "With which of the following statements would both Thomas Hobbes and John Locke"),
    "mmluval-1385": ("13023", "Vicarious liability is most likely to be an issue when a psychologist"),
    "mmluval-1414": ("12966", "Dr. Pavel Petrovich, a licensed psychologist, has been seeing a client"),
    "mmluval-1428": ("13099", "Which definition best describes media convergence?"),
}
"""Items of MMLU's validation split that are in its test split, too, with the same choices: what a reader called so of all
that were dropped or reviewed."""


@pytest.mark.slow
def test_of_near_items_those_alone_are_dropped_that_are_the_same(shared: Path) -> None:
    files = {"gsm8k": "gsm8k_test.jsonl", "mmlu": "mmlu_test.jsonl.zst"}
    listed = [{"name": name, "path": str(shared / "benchmarks" / file)} for name, file in files.items()]
    options = Decontaminate.model_validate({"benchmarks": listed})
    index = load_or_build(options)
    near = [json.loads(line) for line in (shared / "near_benchmarks" / "near.jsonl").read_text("utf-8").splitlines()]
    texts = pa.array([row["text"] for row in near], pa.large_string())
    found = outcomes(propose(segment(texts), index), np.full(len(near), -1), index, options)
    dropped = {near[k]["id"]: near[k]["text"] for k in np.flatnonzero(found.severity == DROPPED)}
    matches = {near[k]["id"]: re.search(r"mmlu (\d+)", found.detail[k]) for k in np.flatnonzero(found.severity == DROPPED)}
    assert dropped.keys() == SAME.keys()
    for name, (item, begins) in SAME.items():
        match = matches[name]
        assert match is not None
        assert match[1] == item
        assert dropped[name].startswith(begins)
