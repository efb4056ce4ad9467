"""Measures whether quality matters: small models are trained on what each quality selects from web pages, and their loss is
measured on text that no rater was trained on and nobody selected.

    python -m tests.bench.quality_and_loss WORK [--tokens 250000] [--seeds 3]

Needs torch and fasttext-new, and ../shared/data. The raters learn Wikipedia and PEPs against an eighth of the pages. Of
three quarters of the pages each quality takes the best quarter by tokens, and `random` takes any quarter, which is what the
first tokens of the pages as they are would be, too. The order is uniform, and all models read equally many tokens. One
thread; WORK keeps what is finished.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import zstandard
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import tamis
from tamis.pipelines.quality.calibrate_signals import fit_calibrations, write_calibrations
from tamis.pipelines.rater_training.labelled_texts import of_files
from tamis.pipelines.rater_training.train_rater import Kind, Training, train_rater
from tamis.pipelines.training.rank_runs import ProxyTraining, torch_parts
from tamis.transforms.feed.dataset import CurriculumDataset
from tamis.transforms.proxy.agreement import interval
from tamis.transforms.proxy.train import unigram_entropy

DATA: Final = Path(__file__).resolve().parents[2].parent / "shared" / "data"

QUARTER: Final = 0.25
RULES: Final = ("gopher.stop_words", "fineweb.line_punctuation", "repetition.duplicate_5gram_chars")
LEARNED: Final = ("words.probability", "network.score")
BETTER: Final = dict.fromkeys((*RULES[:2], *LEARNED), "up") | {RULES[2]: "down"}
QUALITIES: Final[dict[str, tuple[str, ...]]] = {
    "rules": RULES,
    "fastText": LEARNED[:1],
    "pooled transformer": LEARNED[1:],
    "fusion": (*RULES, *LEARNED, *LEARNED, *LEARNED),  # the rules together weigh as much as each of the other two
}
HELD_OUT: Final = ("pages", "news", "books")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("work", type=Path)
    arguments.add_argument("--tokens", type=int, default=250_000)
    arguments.add_argument("--seeds", type=int, default=3)
    options = arguments.parse_args()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    write_texts(work)
    runs = make_runs(work)
    started = time.process_time()
    losses = train_all(work, runs, options.tokens, options.seeds)
    print("\n".join(table(losses)))
    print(f"{time.process_time() - started:.0f} CPU seconds of training")


def write_texts(work: Path) -> None:
    """The pool, what raters learn from, what models are measured on, and a tokenizer of the pool."""
    pages = [text for number in range(4) for text in _texts(_zstd(f"web/weborganizer-0{number}.jsonl.zst"), "text")]
    peps = _texts(_zstd("docs/peps.jsonl.zst"), "text")
    lambada = _texts((DATA / "benchmarks/lambada_openai.jsonl").read_text("utf-8"), "context")
    news = [row["text"] for row in _rows(_zstd("readability/onestopenglish.jsonl.zst")) if row["level"] == "Adv-Txt"]
    parts = {
        "pool": pages[::2] + pages[1::4],
        "bad": pages[3::8],
        "good": [*_wikipedia(), *peps],
        "pages": pages[7::8],
        "news": news,
        "books": lambada[::4],
    }
    for name, texts in parts.items():
        rows = [json.dumps({"id": f"{name}-{number}", "text": text, "source": name}) for number, text in enumerate(texts)]
        (work / f"{name}.jsonl").write_text("\n".join(rows) + "\n", "utf-8")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=1024, special_tokens=["<|end|>"], show_progress=False)
    tokenizer.train_from_iterator(parts["pool"][::4], trainer)
    tokenizer.save(str(work / "tokenizer.json"))


def make_runs(work: Path) -> dict[str, str]:
    """A run for each quality, and for each text that is held out: its folder by name."""
    labelled = of_files([str(work / "good.jsonl")], [str(work / "bad.jsonl")], "id", 10_000, 0)
    kinds: dict[str, tuple[Kind, int]] = {"words.bin": ("fasttext", 3), "network.safetensors": ("pooled", 6)}
    for file, (kind, epochs) in kinds.items():
        if not (work / file).exists():
            training = Training(kind=kind, epochs=epochs, dimension=64, buckets=200_000)
            result = train_rater(labelled, training, str(work / file), "id")
            print(f"{kind}: AUC {result.held_out.auc:.3f} on documents held out", flush=True)
    rate = {
        "tokens": {"tokenizer": str(work / "tokenizer.json")},
        "gopher": {},
        "repetition": {},
        "fineweb": {},
        "fasttext": [{"name": "words", "model": str(work / "words.bin"), "label": "__label__hq", "normalisation": "kaiyuan"}],
        "trained": [{"name": "network", "model": str(work / "network.safetensors")}],
    }
    raw: dict[str, Any] = {
        "input": {"paths": [str(work / "pool.jsonl")]}, "rate": rate, "thresholds": {}, "dedup": None,
        "curriculum": {"order": "uniform"},
    }  # fmt: skip
    runs = {"all": _run(work, "all", raw), "random": _run(work, "random", raw | {"select": {"top": QUARTER}})}
    calibration = str(work / "calibration.json")
    for better in ("up", "down"):
        signals = [name for name, direction in BETTER.items() if direction == better]
        file = fit_calibrations([runs["all"]], signals, "ecdf", "", better, "")
        write_calibrations(file, calibration.replace(".json", f"-{better}.json"))
    for name, signals in QUALITIES.items():
        files = {signal: calibration.replace(".json", f"-{BETTER[signal]}.json") for signal in signals}
        quality = [{"signal": each, "calibration": file, "weight": signals.count(each)} for each, file in files.items()]
        runs[name] = _run(work, name.replace(" ", "-"), raw | {"quality": quality, "select": {"top": QUARTER}})
    for name in HELD_OUT:
        plain = {"input": {"paths": [str(work / f"{name}.jsonl")]}, "rate": {"tokens": rate["tokens"]}, "dedup": None}
        runs[name] = _run(work, name, plain | {"curriculum": {"order": "uniform"}})
    return runs


def train_all(work: Path, runs: dict[str, str], tokens: int, seeds: int) -> dict[str, Any]:
    """The losses of each quality: [seeds] by the text that they were measured on."""
    options = ProxyTraining(tokenizer=str(work / "tokenizer.json"), batch_size=4, width=64, layers=3, heads=2, threads=1)
    train, evaluate, _, shape = torch_parts(options)
    shaped = (options.tokenizer, options.sequence_length, options.batch_size)
    data = {name: CurriculumDataset(run, *shaped) for name, run in runs.items()}
    steps = tokens // (options.sequence_length * options.batch_size)
    file = work / f"losses-{tokens}.json"
    losses: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    for seed in range(seeds):
        for name in ("random", *QUALITIES):
            if len(losses.get(name, {}).get("books", ())) > seed:
                continue
            if data[name].steps - 1 < steps:
                raise SystemExit(f"{name} has {data[name].steps - 1} full steps, not {steps}: lower --tokens")
            model = train(shape, seed, data[name], _rates(steps)).model
            for text in HELD_OUT:
                losses.setdefault(name, {}).setdefault(text, []).append(evaluate(model, _some(data[text])))
            file.write_text(json.dumps(losses))
            print(seed, name, {text: round(losses[name][text][-1], 4) for text in HELD_OUT}, flush=True)
    print("by token frequencies alone:", {text: round(unigram_entropy(_some(data[text])), 3) for text in HELD_OUT})
    return losses


def table(losses: dict[str, Any]) -> Iterator[str]:
    """The mean loss of each quality in nats per token, and its difference from `random` with a 95 % interval."""
    yield "| selected by | " + " | ".join(HELD_OUT) + " |"
    yield "|---" * (1 + len(HELD_OUT)) + "|"
    for name, measured in losses.items():
        cells = []
        for text in HELD_OUT:
            own, other = np.array(measured[text]), np.array(losses["random"][text])
            mean, low, high = interval(own - other)
            cells.append(f"{own.mean():.3f}" + ("" if name == "random" else f" ({mean:+.3f}, {low:+.3f} to {high:+.3f})"))
        yield f"| {name} | " + " | ".join(cells) + " |"


def _rates(steps: int) -> list[float]:
    """Learning rates for width 768: a short rise, then a line to a tenth of the peak; below 1e-4, where rankings flip."""
    return [9e-5 * min(1.0, (step + 1) / 20) * (1 - 0.9 * step / steps) for step in range(steps)]


def _some(data: CurriculumDataset) -> Iterator[Any]:
    """The first 60 batches, of 61,000 tokens, or all."""
    for number, batch in enumerate(data):
        if number == 60:
            return
        yield batch


def _run(work: Path, name: str, recipe: dict[str, Any]) -> str:
    output = work / "runs" / name
    if not (output / "manifest.json").exists():
        tamis.run(recipe, output=str(output))
    return str(output)


def _zstd(name: str) -> str:
    return io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader((DATA / name).read_bytes()), "utf-8").read()


def _rows(lines: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.split("\n") if line.strip()]


def _texts(lines: str, field: str) -> Sequence[str]:
    return [row[field] for row in _rows(lines)]


def _wikipedia() -> Iterator[str]:
    """Sections of WikiText-2 of 60 words or more, with its marks of tokens undone."""
    for part in ("valid", "test"):
        text = (DATA / f"quality/wikitext2_{part}.txt").read_text("utf-8")
        for section in re.split(r"\n (?:= )+[^=\n]+?(?: =)+ \n", text):
            if len(section.split()) >= 60:
                joined = re.sub(r" @(.)@ ", r"\1", section).replace("<unk>", "")
                yield re.sub(r" ([,.;:!?)\]])", r"\1", re.sub(r"([(\[]) ", r"\1", joined)).strip()


if __name__ == "__main__":
    main()
