"""Makes the files that the commands of the documentation find around them: a small crawl, the data of
the walks, a benchmark, a tokenizer."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tests.docs.own_data import make_own_data
from tests.pipelines.corpus import Record, corpus, dealt, save

DOCUMENTS = 3000

_COPIES = 12
"""Documents of the crawl that hold a question of the benchmark."""


def make_sample_files(folder: Path) -> None:
    """Fills `folder`, the same bytes each time."""
    make_own_data(folder)
    records = corpus(DOCUMENTS, seed=2)
    questions = _questions(records)
    for record, question in zip(random.Random(3).sample(records, _COPIES), questions, strict=False):
        record["text"] = f"{record['text']}\n{question}"
    for number, record in enumerate(records):
        record["license"] = "cc-by-4.0" if number % 3 else "cc0-1.0"
        record["synthetic"] = number % 10 == 0
        del record["trap"]
    save(folder / "crawl", dealt(records, 3, seed=1), "jsonl.zst")
    _write_lists(folder, [str(record["url"]) for record in records])
    (folder / "new").mkdir()
    later = [{**record, "id": f"new-{number:06d}"} for number, record in enumerate(corpus(300, seed=5))]
    save(folder / "new", [later], "jsonl.zst")
    (folder / "new" / "piece-00.jsonl.zst").rename(folder / "new" / "piece-03.jsonl.zst")
    (folder / "benchmarks").mkdir()
    items = [{"question": question, "answer": str(number)} for number, question in enumerate(questions)]
    (folder / "benchmarks" / "gsm8k_test.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    _train_tokenizer(folder / "tokenizer.json", [str(record["text"]) for record in records[:200]])
    (folder / "schedule.csv").write_text("0,0\n10000,3e-3\n800000,3e-3\n1000000,3e-4\n")
    (folder / "checkpoints").mkdir()
    for number in range(6):
        weights = {"layer.weight": np.full((2, 2), number, np.float32)}
        save_file(weights, folder / "checkpoints" / f"{number}.safetensors")


def _write_lists(folder: Path, urls: Sequence[str]) -> None:
    """Lists of addresses and words, and a table of what hosts disallow, that take a few documents."""
    (folder / "blacklists" / "adult").mkdir(parents=True)
    (folder / "blacklists" / "gambling").mkdir()
    (folder / "words").mkdir()
    texts = {
        "blacklists/adult/domains": "bad.example.com\n",
        "blacklists/adult/urls": "".join(f"{url.removeprefix('https://')}\n" for url in urls[:40]),
        "blacklists/gambling/domains": "casino.example.com\n",
        "hosts.txt": "0.0.0.0 ads.example.com\n",
        "allow.txt": f"{urls[1]}\n",
        "strict.txt": "groupxyz\n",
        "hard.txt": "xyzzy\n",
        "soft.txt": "live\ncam\n",
        "robots.csv": f"host,path,agents\n{urls[50].split('/')[2]},/5,GPTBot\n",
        "words/bad-en.txt": "damn\nson of a gun\n",
        "words/bad-ja.txt": "毒\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _questions(records: Sequence[Record]) -> list[str]:
    """Twenty texts of 24 words that nothing else in the crawl holds."""
    draw = random.Random(4)
    words = sorted({word for record in records[:50] for word in str(record["text"]).split()})
    return [" ".join(draw.sample(words, 24)) for _ in range(20)]


def _train_tokenizer(path: Path, texts: Sequence[str]) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<|end|>"], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(path))
