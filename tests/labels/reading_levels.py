"""Prints how well raters order the three reading levels of OneStopEnglish, by cross-validation over articles.

    python -m tests.labels.reading_levels [CORPORA]

CORPORA is the folder of the documents, ../shared/data by default: 189 articles, each elementary, intermediate and advanced.

The files of the corpus give the level away. Intermediate texts begin with that word and have lost every character beyond
ASCII, quotation marks and ligatures among them; and the longer of two versions is the harder one in 98 % of the pairs.
So all texts lose these characters, and the versions of an article are cut to the words of its shortest.
Taking length out of the scores by regression instead cannot show much: the true level itself, without what length explains,
orders only 86 % of the articles.
"""

from __future__ import annotations

import io
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import zstandard
from scipy.stats import spearmanr

from tamis.pipelines.rater_training.labelled_texts import LabelledTexts
from tamis.pipelines.rater_training.train_rater import Training, train_rater
from tamis.transforms.text.hashing import hash_texts
from tests.labels.held_out_sources import scores_of

SHARED: Final = Path(__file__).resolve().parents[3] / "shared" / "data"
LEVELS: Final = {"Ele-Txt": 0.0, "Int-Txt": 0.5, "Adv-Txt": 1.0}
FOLDS: Final = 5
HELD_OUT: Final = 0.02
"""Share of the articles of the other folds that a training measures itself on, which nobody reads here."""

KINDS: Final = {
    "fastText": Training(kind="fasttext", held_out=HELD_OUT, buckets=200_000),
    "fastText, 50 epochs": Training(kind="fasttext", held_out=HELD_OUT, buckets=200_000, dimension=32, epochs=50),
    "pooled": Training(kind="pooled", held_out=HELD_OUT),
    "pooled, another seed": Training(kind="pooled", held_out=HELD_OUT, seed=1),
    "linear": Training(kind="linear", held_out=HELD_OUT),
}


@dataclass(frozen=True)
class Ordering:
    """Spearman's ρ of scores and levels; the share of articles whose three versions are in order; CPU seconds."""

    spearman: float
    ordered: float
    seconds: float


def levels(shared: Path) -> LabelledTexts:
    """The 567 texts, without what gives their level away."""
    packed = (shared / "readability/onestopenglish.jsonl.zst").read_bytes()
    lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(packed), "utf-8").read().split("\n")
    rows = [json.loads(line) for line in lines if line.strip()]
    articles = [row["id"].rpartition("-")[0] for row in rows]
    texts = [_plain(row["text"]) for row in rows]
    words = [[match.end() for match in re.finditer(r"\S+", text)] for text in texts]
    least = {name: min(len(ends) for ends, own in zip(words, articles, strict=True) if own == name) for name in articles}
    cut = [text[: ends[least[name] - 1]] for text, ends, name in zip(texts, words, articles, strict=True)]
    target = np.array([LEVELS[row["level"]] for row in rows])
    return LabelledTexts(
        pa.array(cut, pa.large_string()), articles, ["onestopenglish"] * len(rows), [None] * len(rows), target,
        (0.0, 1.0, 2.0),
    )  # fmt: skip


def ordering(texts: LabelledTexts, training: Training) -> Ordering:
    """How a rater of this kind orders the texts of articles that it was not trained on."""
    fold = np.argsort(np.argsort(hash_texts(pa.array(sorted(set(texts.group)), pa.large_string())))) % FOLDS
    of = fold[np.unique(texts.group, return_inverse=True)[1]]
    scores = np.empty(len(of))
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(FOLDS):
            model = f"{folder}/{number}.{'bin' if training.kind == 'fasttext' else 'safetensors'}"
            train_rater(texts.take(np.flatnonzero(of != number)), training, model, "metadata.article")
            scores[of == number] = scores_of(texts.take(np.flatnonzero(of == number)).text, model)
    seconds = time.process_time() - started
    three = scores[np.lexsort((texts.target, texts.group))].reshape(-1, len(LEVELS))
    ordered = float((np.diff(three, axis=1) > 0).all(axis=1).mean())
    return Ordering(float(spearmanr(scores, texts.target).statistic), ordered, seconds)


def table(shared: Path) -> Iterator[str]:
    """The rows of a page."""
    yield "| `--kind` | Spearman's ρ | articles in order | CPU seconds |"
    yield "|---|---|---|---|"
    for name, training in KINDS.items():
        found = ordering(levels(shared), training)
        yield f"| {name} | {found.spearman:.3f} | {found.ordered:.1%} | {found.seconds:.0f} |"


def _plain(text: str) -> str:
    ascii_text = re.sub(r"^\s*Intermediate\s", "", text.lstrip("\ufeff")).encode("ascii", "ignore").decode()
    return re.sub(r"ffi|ffl|fi|fl|ff|['\"`-]", "", ascii_text)


if __name__ == "__main__":
    for line in table(Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED):
        print(line, flush=True)
