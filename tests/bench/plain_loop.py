"""Compares the rater `classifier` with the plain loop of transformers: batches of 32 in input order, padded to their longest.

    python -m tests.bench.plain_loop [FILE…] [--documents=N] [--tokens=N] [--width=N] [--layers=N] [--passes=N]
                                     [--precision=float32|bfloat16|int8] [--steps=N]

The model is a BERT with word pieces of these texts. Its weights are random, or after so many steps on other texts tell how well
zlib compresses a text: what a lower precision does to scores shows where scores say something. The loop computes in float32,
both on one core, by turns; times are CPU seconds of this process, with the tokenizer. The files are those of
`tests.bench.editors`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import pyarrow as pa
from scipy.stats import spearmanr

from tamis.transforms.rate.neural.classifier import Classifier, ClassifierRater
from tamis.transforms.text.segment import unsegmented
from tests.bench.editors import documents
from tests.transforms.rate.neural.random_models import save_classifier, trained_tokenizer

ROWS = 32

BERTS: Final = 0.02
"""Standard deviation of the first weights of BERT."""

STEP_ROWS, STEP_TOKENS, STEP_SIZE = 16, 160, 5e-4
"""Texts of a step of training, how much of each is read, and AdamW's learning rate."""


def main(arguments: Sequence[str] = sys.argv[1:]) -> None:
    """Prints the times of each pass, and the greatest difference of a score."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--documents", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=512, help="most tokens of a text")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--precision", default="float32", help="of the classifier")
    parser.add_argument("--steps", type=int, default=0, help="steps of training")
    options = parser.parse_args(arguments)
    every = chain.from_iterable(batch["text"].to_pylist() for batch in documents(options.files))
    texts, other = (list(islice(every, count)) for count in (options.documents, options.steps * STEP_ROWS))
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="tamis-bench-") as folder:
        model = save_bert(Path(folder) / "bert", texts, options.tokens, options.width, options.layers)
        plain = PlainLoop(model, options.tokens)
        if other:
            plain.learn(other)
            plain.network.save_pretrained(model)
        rater = ClassifierRater(
            Classifier(name="bert", model=model, max_tokens=options.tokens, precision=options.precision, decimals=7)
        )
        rater.setup()
        size = sum(len(text.encode()) for text in texts) / 1e6
        print(
            f"{len(texts):,} documents, {size:.1f} MB; at most {options.tokens:,} tokens; BERT {options.layers}x{options.width}"
        )
        ratios = []
        for number in range(options.passes):
            theirs, expected = timed(lambda: plain.scores(texts))
            ours, scores = timed(lambda: rater.rate(unsegmented(pa.array(texts, pa.large_string()))).column(0).to_numpy())
            ratios.append(theirs / ours)
            cost = f"{ours / len(texts) * 1e6:,.0f} µs/document, {size / ours:.2f} MB/s"
            print(
                f"pass {number + 1}: plain loop {theirs:.2f} s, classifier {ours:.2f} s ({cost}): {theirs / ours:.2f} × as fast"
            )
        difference = np.abs(scores - expected).max()
        print(f"median {median(ratios):.2f}; greatest difference {difference:.1e}, scores' sd {expected.std():.1e}", end="; ")
        print(f"Spearman's correlation {spearmanr(scores, expected).statistic:.4f}")


def save_bert(folder: Path, texts: Sequence[str], tokens: int, width: int, layers: int) -> str:
    """A BERT with random weights that reads so many tokens."""
    shape = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 32,
        "intermediate_size": 4 * width,
    }
    words = trained_tokenizer(texts, 8000)
    vocabulary = words.get_vocab_size()
    return save_classifier(
        folder, words, num_labels=1, initializer_range=BERTS, max_position_embeddings=tokens, vocab_size=vocabulary, **shape
    )


class PlainLoop:
    """What people write without a rater."""

    def __init__(self, model: str, tokens: int) -> None:
        from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

        self.tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=f"{model}/tokenizer.json", pad_token="[PAD]", model_max_length=tokens
        )
        self.network = AutoModelForSequenceClassification.from_pretrained(model).eval()

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """[n]"""
        import torch

        scores = []
        with torch.no_grad():
            for first in range(0, len(texts), ROWS):
                batch = self.tokenizer(
                    list(texts[first : first + ROWS]), padding="longest", truncation=True, return_tensors="pt"
                )
                output = self.network(batch["input_ids"], attention_mask=batch["attention_mask"])
                scores.append(output.logits[:, 0])
        return np.asarray(torch.cat(scores).numpy())

    def learn(self, texts: Sequence[str]) -> None:
        """One pass over texts, which learns the share of bytes that zlib leaves of each, standardised."""
        import torch

        heads = [text.encode()[:2000] for text in texts]
        shares = np.array([len(zlib.compress(head)) / len(head) for head in heads])
        wanted = torch.from_numpy(((shares - shares.mean()) / shares.std()).astype(np.float32))
        step = torch.optim.AdamW(self.network.parameters(), lr=STEP_SIZE)
        torch.manual_seed(1)  # of dropout
        self.network.train()
        for first in range(0, len(texts), STEP_ROWS):
            rows = slice(first, first + STEP_ROWS)
            batch = self.tokenizer(
                list(texts[rows]), padding="longest", truncation=True, max_length=STEP_TOKENS, return_tensors="pt"
            )
            output = self.network(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, 0]
            step.zero_grad()
            torch.nn.functional.mse_loss(output, wanted[rows]).backward()
            step.step()
        self.network.eval()


def timed(compute: Any) -> tuple[float, Any]:
    """CPU seconds, and the result."""
    begun = time.process_time()
    result = compute()
    return time.process_time() - begun, result


if __name__ == "__main__":
    main()
