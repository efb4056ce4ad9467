"""Prints how well raters that learned clean text against other text from some sources tell them apart in other sources.

    python -m tests.labels.held_out_sources [CORPORA]

CORPORA is the folder of the documents, ../shared/data by default. Clean are sections of Wikipedia (WikiText-2 with its marks of
tokens undone), PEPs, news (advanced texts of OneStopEnglish) and articles that a person marked in web pages; the others are
web pages, and mails and spam of Enron-1. 120 documents of each, their first 300 words. A rater
trains on some sources and is tested on others, first with one source of each label, then with two.
"""

from __future__ import annotations

import io
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zstandard

from tamis.pipelines.rater_training.evaluation import auc
from tamis.pipelines.rater_training.labelled_texts import LabelledTexts
from tamis.pipelines.rater_training.train_fasttext import POSITIVE
from tamis.pipelines.rater_training.train_rater import Training, train_rater
from tamis.transforms.rate.fasttext import FastText, FastTextRater
from tamis.transforms.rate.trained.model_file import read_model
from tamis.transforms.rate.trained.scoring import score_words
from tamis.transforms.text.hashing import hash_texts
from tamis.transforms.text.segment import segment

SHARED: Final = Path(__file__).resolve().parents[3] / "shared" / "data"
CLEAN: Final = ("wikipedia", "peps", "news", "articles")
OTHER: Final = ("web", "mail", "spam")
DOCUMENTS: Final = 120
WORDS: Final = 300

HALVES: Final = (
    (("peps", "web"), ("wikipedia", "mail")),
    (("wikipedia", "web"), ("peps", "mail")),
    (("peps", "mail"), ("wikipedia", "web")),
    (("wikipedia", "mail"), ("peps", "web")),
    (("peps", "news", "web"), ("wikipedia", "articles", "mail")),
    (("peps", "news", "web", "spam"), ("wikipedia", "articles", "mail")),
    (("wikipedia", "articles", "web", "spam"), ("peps", "news", "mail")),
)
"""Sources that are trained on, and those that are tested."""

KINDS: Final = {
    "linear": Training(kind="linear", held_out=0.02),
    "fastText": Training(kind="fasttext", held_out=0.02, buckets=200_000, dimension=32, epochs=50),
    "pooled": Training(kind="pooled", held_out=0.02),
}


def texts_of(shared: Path, name: str) -> list[str]:
    """The beginnings of some documents of a source, chosen by hashes of their texts."""
    long = (" ".join(text.split(" ")[:WORDS]) for text in _all(shared, name) if len(text.split()) >= 60)
    chosen = list(dict.fromkeys(long))
    order = np.argsort(hash_texts(pa.array(chosen, pa.large_string())), kind="stable")[:DOCUMENTS]
    return [chosen[place] for place in order]


def labelled(shared: Path, sources: Sequence[str]) -> LabelledTexts:
    """The documents of some sources, labelled by whether their source is clean."""
    parts = [(text, name) for name in sources for text in texts_of(shared, name)]
    source = [name for _, name in parts]
    ids = [f"{number}" for number in range(len(parts))]
    target = np.array([float(name in CLEAN) for name in source])
    text = pa.array([text for text, _ in parts], pa.large_string())
    return LabelledTexts(text, ids, source, [None] * len(parts), target, (0.0, 1.0))


def separation(shared: Path, trained: Sequence[str], tested: Sequence[str], training: Training) -> float:
    """The AUC of a rater that learned from some sources on the documents of others."""
    held = labelled(shared, tested)
    with tempfile.TemporaryDirectory() as folder:
        model = f"{folder}/model.{'bin' if training.kind == 'fasttext' else 'safetensors'}"
        train_rater(labelled(shared, trained), training, model, "id")
        return auc(scores_of(held.text, model), held.target >= 0.5)


def table(shared: Path) -> Iterator[str]:
    """The rows of a page."""
    yield "| trained on | tested on | " + " | ".join(KINDS) + " |"
    yield "|---|---|" + "---|" * len(KINDS)
    for trained, tested in HALVES:
        found = [separation(shared, trained, tested, training) for training in KINDS.values()]
        yield f"| {', '.join(trained)} | {', '.join(tested)} | " + " | ".join(f"{value:.2f}" for value in found) + " |"


@cache
def _all(shared: Path, name: str) -> list[str]:
    match name:
        case "wikipedia":
            return list(_sections(shared))
        case "peps":
            return [row["text"] for row in _rows(shared / "docs/peps.jsonl.zst")]
        case "news":
            rows = _rows(shared / "readability/onestopenglish.jsonl.zst")
            return [row["text"].lstrip("\ufeff") for row in rows if row["level"] == "Adv-Txt"]
        case "articles":
            return [row["articleBody"] for row in _rows(shared / "html/article_extraction.jsonl.zst")]
        case "web":
            return [row["text"] for row in _rows(shared / "web/weborganizer-00.jsonl.zst")]
        case _:
            label = "ham" if name == "mail" else "spam"
            return [row["text"] for row in _rows(shared / "quality/enron1.jsonl.zst") if row["label"] == label]


def _sections(shared: Path) -> Iterator[str]:
    for part in ("valid", "test"):
        text = (shared / f"quality/wikitext2_{part}.txt").read_text("utf-8")
        for section in re.split(r"\n (?:= )+[^=\n]+?(?: =)+ \n", text):
            joined = re.sub(r" @(.)@ ", r"\1", section).replace("<unk>", "")
            yield re.sub(r" ([,.;:!?)\]])", r"\1", re.sub(r"([(\[]) ", r"\1", joined)).strip()


def _rows(path: Path) -> list[dict[str, Any]]:
    lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(path.read_bytes()), "utf-8").read().split("\n")
    return [json.loads(line) for line in lines if line.strip()]


def scores_of(texts: pa.Array, model: str) -> npt.NDArray[np.float64]:
    """What a trained model says of each text."""
    segmented = segment(texts)
    if not model.endswith(".bin"):
        return score_words(segmented, read_model(model)).score
    rater = FastTextRater(FastText(name="clean", model=model, label=POSITIVE, normalisation="kaiyuan"))
    return np.asarray(rater.rate(segmented)[0].to_numpy(zero_copy_only=False))


if __name__ == "__main__":
    for line in table(Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED):
        print(line, flush=True)
