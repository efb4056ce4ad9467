"""Measures what every shipped rater costs a core: microseconds a document, and MB of text a second.

    python -m tests.bench.rater_costs [FILE…] [--seconds=N] [--documents=N]

The files are those of `tests.bench.editors`. Times are CPU seconds of this process, the least of several passes; words are cut
once for all raters, which is the first row. Models are made here: fastText of 256 numbers and the models of `tamis rate train`
are trained on some of the documents with random labels, and transformers have random weights; they cost what real ones of their
size do. Of transformers, only `--documents` are rated.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from safetensors.numpy import save_file

from tamis.pipelines.rater_training.train_fasttext import POSITIVE
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.core.rater import Rater
from tamis.transforms.rate.trained.linear_training import train_linear
from tamis.transforms.rate.trained.model_file import Description, Kind, TrainedModel, write_model
from tamis.transforms.rate.trained.pooled_training import PooledTransformer
from tamis.transforms.rate.trained.word_rows import LENGTHS, vocabulary_of, word_keys
from tamis.transforms.text.segment import segment, unsegmented
from tests.bench.editors import documents, least
from tests.bench.plain_loop import save_bert
from tests.transforms.rate.neural.random_models import trained_tokenizer

SAMPLE = 500
"""Documents that models are trained on."""

EXAMPLES = 20
"""Targets of embeddings."""

TRANSFORMERS = ("bert", "bert_like")


def main(arguments: Sequence[str] = sys.argv[1:]) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--seconds", type=float, default=2, help="CPU seconds that each measurement takes at least")
    parser.add_argument("--documents", type=int, default=100, help="documents that transformers rate")
    options = parser.parse_args(arguments)
    batches = list(documents(options.files))
    whole = pa.Table.from_batches(batches)
    print(f"{whole.num_rows:,} documents, {size_of(whole):.1f} MB of text; transformers: {options.documents:,}\n")
    print(f"{'rater':<16} {'µs/document':>12} {'MB/s':>8}")
    with tempfile.TemporaryDirectory(prefix="tamis-bench-") as folder:
        recipe = every_rater(Path(folder), whole["text"].slice(0, SAMPLE).to_pylist())
        (seconds,) = least(options.seconds, lambda: [segment(batch["text"]) for batch in batches].clear())
        show("(words, lines)", seconds, whole)
        for rater in recipe.raters:
            rated = (
                [whole.slice(0, options.documents).combine_chunks().to_batches()[0]] if rater.name in TRANSFORMERS else batches
            )
            show(rater.name, cost(rater, rated, options.seconds), pa.Table.from_batches(rated))


def show(name: str, seconds: float, table: pa.Table) -> None:
    """Prints a row."""
    print(f"{name:<16} {seconds / table.num_rows * 1e6:12,.1f} {size_of(table) / seconds:8,.2f}", flush=True)


def size_of(table: pa.Table) -> float:
    """MB of text."""
    return float(pc.sum(pc.binary_length(table["text"])).as_py()) / 1e6


def cost(rater: Rater[Any], batches: Sequence[pa.RecordBatch], seconds: float) -> float:
    """CPU seconds in which it rates the batches."""
    rater.setup()
    cut: Any = unsegmented if rater.raw else segment
    texts = [cut(batch["text"]).with_columns({need: batch[need] for need in rater.needs}) for batch in batches]
    (least_seconds,) = least(seconds, lambda: [rater.rate(each) for each in texts].clear())
    return least_seconds


def every_rater(folder: Path, texts: Sequence[str]) -> Recipe:
    """A recipe with every shipped rater, whose models are made in a folder."""
    words = sorted({word.lower() for text in texts for word in text.split() if word.isalpha()})[::20]
    (folder / "words.txt").write_text("\n".join(words))
    (folder / "hosts.txt").write_text("\n".join(f"{word}.com" for word in words if word.isascii()))
    (folder / "robots.csv").write_text("host,agents\n" + "".join(f"{word}.org,GPTBot\n" for word in words if word.isascii()))
    lines = [json.dumps({"question": text[:200], "answer": text[200:300]}) for text in texts if len(text) > 300]
    (folder / "items.jsonl").write_text("\n".join(lines))
    (folder / "examples.jsonl").write_text("\n".join(lines[1:EXAMPLES]))
    bert = save_bert(folder / "bert", texts, 512, 384, 6)
    examples = {"targets": str(folder / "examples.jsonl"), "fields": ["answer"]}
    sections: Mapping[str, Any] = {
        "rate": {
            **{name: {} for name in ("tokens", "gopher", "repetition", "c4", "fineweb", "compression", "language")},
            "fasttext": [{"name": "fasttext", "model": save_fasttext(folder / "fasttext.bin", texts), "label": POSITIVE}],
            "trained": [trained(folder, "linear", texts), trained(folder, "pooled", texts)],
            "classifier": [{"name": "bert", "model": bert}],
            "embedding": [
                {"name": "static", "model": save_static(folder / "static", texts), **examples},
                {"name": "bert_like", "model": bert, **examples},
            ],
            "word_lists": [{"name": "listed", "lists": str(folder / "words.txt")}],
        },
        "url_lists": {"deny": {"hosts": {"path": str(folder / "hosts.txt")}}},
        "consent": {"robots": str(folder / "robots.csv"), "agents": ["GPTBot"]},
        "decontaminate": {
            "benchmarks": [{"name": "items", "path": str(folder / "items.jsonl"), "fields": ["question", "answer"]}]
        },
    }  # fmt: skip
    return Recipe.model_validate(sections)


def save_fasttext(path: Path, texts: Sequence[str]) -> str:
    """A model with the settings of `tamis rate train`, but fewer n-grams."""
    import fasttext_new

    lines = path.with_suffix(".txt")
    lines.write_text(
        "".join(f"{(POSITIVE, '__label__other')[row % 2]} {' '.join(text.split())}\n" for row, text in enumerate(texts))
    )
    model = fasttext_new.train_supervised(
        str(lines), dim=256, wordNgrams=3, epoch=1, minCount=5, bucket=100_000, thread=1, verbose=0
    )
    model.save_model(str(path))
    return str(path)


def trained(folder: Path, kind: Kind, texts: Sequence[str]) -> dict[str, str]:
    """A rater by a model of `tamis rate train`."""
    cut = segment(pa.array(texts, pa.large_string()))
    keys, first = word_keys(cut), cut.word_first
    vocabulary = vocabulary_of(keys, first, 5, 50_000)
    if kind == "linear":
        tensors = dict(train_linear(keys, first, np.arange(len(texts)) % 2 * 1.0, np.ones(len(texts))))
    else:
        tensors = dict(PooledTransformer(len(vocabulary) + LENGTHS).tensors())
    described = Description(kind=kind, positive="every other text", documents=len(texts))
    model = str(folder / f"{kind}.safetensors")
    write_model(model, TrainedModel(described, tensors | {"vocabulary": vocabulary}))
    return {"name": kind, "model": model}


def save_static(folder: Path, texts: Sequence[str]) -> str:
    """A static embedding of 256 numbers for each of 30,000 word pieces at most."""
    folder.mkdir()
    words = trained_tokenizer(texts, 30_000)
    vectors = np.random.default_rng(0).normal(size=(words.get_vocab_size(), 256)).astype(np.float32)
    save_file({"embeddings": vectors}, folder / "model.safetensors")
    words.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text("{}")
    return str(folder)


if __name__ == "__main__":
    main()
