"""Makes the corpora of docs/orders.md, each with a quality of its own kind and a small vocabulary.

    python -m tests.bench.orders FOLDER

From ../shared/data. FOLDER/pages/run: crawled pages, rated by a fastText classifier of Wikipedia (the passages of BoolQ)
against other crawled pages. FOLDER/mixed/run: pages, mails, news and Wikipedia, rated by rules. Each has its tokenizer.json.
The bytes are always the same.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tamis.transforms.rate.fasttext import dclm
from tests.bench.corpus import SHARED

PAGES: Final = "web/weborganizer-0[12].jsonl.zst"
OTHER_PAGES: Final = "web/weborganizer-00.jsonl.zst"
"""Those the classifier knows, which are rated and trained on by nobody."""
MIXED: Final = ("web/weborganizer-03.jsonl.zst", "quality/enron1.jsonl.zst", "readability/onestopenglish.jsonl.zst")
WIKIPEDIA: Final = "quality/wikitext2_*.txt"
LEVEL: Final = "Adv-Txt"
VOCABULARY: Final = 1024


def main() -> None:
    """Reads the command line and makes the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    pages, mixed = folder / "pages", folder / "mixed"
    for part in (pages, mixed):
        part.mkdir(parents=True, exist_ok=True)
    classifier(pages / "wiki.bin")
    mixture(mixed / "texts.jsonl")
    for part, recipe in ((pages, pages_recipe(pages / "wiki.bin")), (mixed, mixed_recipe(mixed / "texts.jsonl"))):
        (part / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        start = "from tamis.pipelines.cli.main import main; main()"
        subprocess.run([sys.executable, "-c", start, "run", part / "recipe.yaml", "-o", part / "run"], check=True)
        vocabulary(part / "run", part / "tokenizer.json")


def classifier(target: Path) -> None:
    """Trains on passages of Wikipedia, and on as long pieces of crawled pages, three at most of a page."""
    import fasttext_new

    chance = random.Random(0)
    asked = (json.loads(line)["query"] for line in (SHARED / "benchmarks/boolq.jsonl").open())
    wiki = sorted({_line(query.split("Passage:")[1].split("Question:")[0]) for query in asked})
    sizes = [len(passage) for passage in wiki]
    crawl: list[str] = []
    for row in _rows(OTHER_PAGES):
        pieces = [piece for piece in _pieces(_line(row["text"]), sizes, chance) if len(piece) > 100]
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


def mixture(target: Path) -> None:
    """Pages, mails, news (each article as the original, not simplified) and sections of Wikipedia, as one source."""
    with target.open("w") as file:
        for name in MIXED:
            for number, row in enumerate(_rows(name)):
                if row.get("level", LEVEL) == LEVEL:
                    print(json.dumps({"id": f"{name}-{number}", "text": row["text"]}), file=file)
        for path in sorted(SHARED.glob(WIKIPEDIA)):
            for number, section in enumerate(re.split(r"\n (?:= )+[^=\n]+(?: =)+ \n", path.read_text())):
                print(json.dumps({"id": f"{path.name}-{number}", "text": section}), file=file)


def pages_recipe(model: Path) -> dict[str, Any]:
    """English pages with the probability of Wikipedia as their quality."""
    rater = {"name": "wiki", "model": str(model), "label": "__label__wiki", "normalisation": "kaiyuan"}
    return _recipe(str(SHARED / PAGES), {"fasttext": [rater]}, [{"signal": "wiki.probability", "range": [0, 1]}])


def mixed_recipe(texts: Path) -> dict[str, Any]:
    """English texts with the mean of four rules as their quality."""
    rules = {
        "gopher.stop_words": [0, 8],
        "gopher.alphabetic_words": [0.5, 1],
        "fineweb.line_punctuation": [0, 1],
        "repetition.top_2gram_chars": [0, 0.2],
    }
    signals = [{"signal": name, "range": bounds} for name, bounds in rules.items()]
    return _recipe(str(texts), {"repetition": {}, "fineweb": {}}, signals)


def _recipe(texts: str, rate: dict[str, Any], quality: list[dict[str, Any]]) -> dict[str, Any]:
    """English texts of fifty words and more, each once."""
    return {
        "input": {"paths": [texts], "fields": {"text": "text", "id": "id"}},
        "rate": {**rate, "gopher": {}, "language": {}},
        "thresholds": {"gopher.word_count": {"min": 50, "max": 100_000}, "language.label": {"one_of": ["en"]}},
        "dedup": {"exact": True, "minhash": {}},
        "quality": quality,
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


def _rows(name: str) -> Iterator[dict[str, Any]]:
    for row in pa.input_stream(str(SHARED / name), compression="zstd").read().splitlines():
        yield json.loads(row)


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
