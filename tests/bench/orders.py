"""Makes the corpus of docs/orders.md: crawled pages with a quality, and a vocabulary for a small model.

    python -m tests.bench.orders FOLDER

From ../shared/data: a fastText classifier of Wikipedia (the passages of BoolQ) against crawled pages rates other crawled
pages; `tamis run` cleans them into FOLDER/run; FOLDER/tokenizer.json is learnt from the result. The bytes are always the same.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tamis.transforms.rate.fasttext import dclm
from tests.bench.corpus import SHARED

PAGES: Final = "weborganizer-0[12].jsonl.zst"
OTHER_PAGES: Final = "weborganizer-00.jsonl.zst"
"""Those the classifier knows, which are rated and trained on by nobody."""
VOCABULARY: Final = 1024


def main() -> None:
    """Reads the command line and makes the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    classifier(folder / "wiki.bin")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe(folder / "wiki.bin")))
    run = folder / "run"
    subprocess.run(
        [sys.executable, "-c", "from tamis.pipelines.cli.main import main; main()", "run", folder / "recipe.yaml", "-o", run],
        check=True,
    )
    vocabulary(run, folder / "tokenizer.json")


def classifier(target: Path) -> None:
    """Trains on passages of Wikipedia, and on as long pieces of crawled pages, three at most of a page."""
    import fasttext_new

    chance = random.Random(0)
    asked = (json.loads(line)["query"] for line in (SHARED / "benchmarks/boolq.jsonl").open())
    wiki = sorted({_line(query.split("Passage:")[1].split("Question:")[0]) for query in asked})
    sizes = [len(passage) for passage in wiki]
    crawl: list[str] = []
    for row in pa.input_stream(str(SHARED / "web" / OTHER_PAGES), compression="zstd").read().splitlines():
        pieces = [piece for piece in _pieces(_line(json.loads(row)["text"]), sizes, chance) if len(piece) > 100]
        crawl += chance.sample(pieces, min(3, len(pieces)))
    rows = [f"__label__wiki {text}" for text in wiki] + [f"__label__crawl {text}" for text in crawl]
    chance.shuffle(rows)
    cut = len(rows) * 9 // 10
    seen, unseen = (target.with_suffix(end) for end in (".train", ".test"))
    seen.write_text("\n".join(rows[:cut]) + "\n")
    unseen.write_text("\n".join(rows[cut:]) + "\n")
    model = fasttext_new.train_supervised(
        str(seen), thread=1, epoch=5, lr=0.3, wordNgrams=2, dim=16, bucket=200_000, minCount=3, verbose=0
    )
    print(f"of {len(rows) - cut} passages not trained on {model.test(str(unseen))[1]:.1%} are told apart")
    model.save_model(str(target))


def recipe(model: Path) -> dict[str, object]:
    """English pages of fifty words and more, each once, with the probability of Wikipedia as their quality."""
    return {
        "input": {"paths": [str(SHARED / "web" / PAGES)], "fields": {"text": "text", "id": "id", "url": "url"}},
        "rate": {
            "fasttext": [{"name": "wiki", "model": str(model), "label": "__label__wiki", "normalisation": "kaiyuan"}],
            "gopher": {},
            "language": {},
        },
        "thresholds": {"gopher.word_count": {"min": 50, "max": 100_000}, "language.label": {"one_of": ["en"]}},
        "dedup": {"exact": True, "minhash": {}},
        "quality": [{"signal": "wiki.probability", "weight": 1, "range": [0, 1]}],
        "curriculum": {"order": "ascending"},
    }


def vocabulary(run: Path, target: Path) -> None:
    """Pairs of bytes, the most frequent first, as few as a small softmax likes."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    texts = pa.concat_tables(
        [pq.read_table(shard, columns=["text"]) for shard in sorted((run / "latest" / "data").rglob("*.parquet"))]
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts["text"].to_pylist(), trainer)
    tokenizer.save(str(target))


def _line(text: str) -> str:
    return dclm(text).lower()


def _pieces(text: str, sizes: list[int], chance: random.Random) -> Iterator[str]:
    at = 0
    while at < len(text):
        size = chance.choice(sizes)
        yield text[at : at + size]
        at += size


if __name__ == "__main__":
    main()
