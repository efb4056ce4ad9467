"""The rater returns the probability of the fastText library for the normalised line, computed as in DCLM."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import fasttext_new
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tamis.testing import check_rater
from tamis.transforms.rate.fasttext import FastText, FastTextRater, dclm, kaiyuan
from tamis.transforms.text.segment import segment

GOOD = "the theorem explains why energy is conserved because the proof shows a symmetry {}"
BAD = "buy cheap shoes now click here for free shipping best price deal {}"


def train(path: Path, examples: dict[str, str], **settings: object) -> Path:
    lines = [f"{label} {text.format(n)}\n" for n in range(100) for label, text in examples.items()]
    (path.parent / "train.txt").write_text("".join(lines))
    source = str(path.parent / "train.txt")
    model = fasttext_new.train_supervised(source, epoch=8, dim=8, bucket=500, wordNgrams=2, thread=1, verbose=0, **settings)
    if path.suffix == ".ftz":
        model.quantize(source, qnorm=True, verbose=False)
    model.save_model(str(path))
    return path


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("two") / "quality.bin", {"__label__hq": GOOD, "__label__cc": BAD})


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    examples = {"__label__hq": GOOD, "__label__cc": BAD, "__label__code": "def return import class self print {}"}
    return train(tmp_path_factory.mktemp("three") / "quality.bin", examples)


def rated(rater: FastTextRater, texts: Sequence[str]) -> list[float | None]:
    batch = rater.rate(segment(pa.array(texts, pa.large_string())))
    batch.validate(full=True)
    return batch[rater.signals[0].name].to_pylist()


TEXTS = [
    "The theorem\nexplains",
    "buy shoes",
    "Energy is CONSERVED",
    "汉字 и кириллица",
    "\x00",
    "x" * 1_000_000,
    "deal\r\nproof",
]


def test_it_keeps_the_contract(two: Path) -> None:
    check_rater(FastTextRater(FastText(name="q", model=str(two))))


def test_two_labels_agree_with_the_library(two: Path) -> None:
    library = fasttext_new.load_model(str(two))
    rater = FastTextRater(FastText(name="dclm", model=str(two)))
    rater.setup()
    assert [signal.name for signal in rater.signals] == ["dclm.probability"]
    for text, probability in zip(TEXTS, rated(rater, TEXTS), strict=True):
        (label,), (p,) = library.predict(dclm(text))
        assert probability == pytest.approx(p if label == "__label__hq" else 1 - p, abs=1e-6)
    high, low = rated(rater, [GOOD, BAD])
    assert high > 0.5 > low


def test_both_labels_of_two_add_up_to_one(two: Path) -> None:
    good = rated(FastTextRater(FastText(name="q", model=str(two))), TEXTS)
    bad = rated(FastTextRater(FastText(name="q", model=str(two), label="__label__cc")), TEXTS)
    assert [a + b for a, b in zip(good, bad, strict=True)] == pytest.approx([1] * len(TEXTS), abs=1e-12)


def test_one_of_three_labels_agrees_with_the_library(three: Path) -> None:
    library = fasttext_new.load_model(str(three))
    for label in ("__label__hq", "__label__code"):
        rater = FastTextRater(FastText(name="q", model=str(three), label=label))
        for text, probability in zip(TEXTS, rated(rater, TEXTS), strict=True):
            labels, p = library.predict(dclm(text), k=3)
            assert probability == pytest.approx(min(1, dict(zip(labels, p, strict=True))[label]), abs=1e-6)


def test_a_quantised_model_loads(tmp_path: Path) -> None:
    model = train(tmp_path / "quality.ftz", {"__label__hq": GOOD, "__label__cc": BAD})
    high, low = rated(FastTextRater(FastText(name="q", model=str(model))), [GOOD, BAD])
    assert 1 >= high > low >= 0


def test_blank_documents_are_not_scored(two: Path) -> None:
    assert rated(FastTextRater(FastText(name="q", model=str(two))), ["", " \n\t ", "\u2028"]) == [None] * 3


def test_normalisations() -> None:
    text = " \tOne Line\nand\r\nTwo\u2028Three\rFour \n"
    assert dclm(text) == "One Line and Two Three Four"
    assert kaiyuan(text) == "one line and  two\u2028three four"


@given(st.text())
def test_normalised_texts_are_one_line_and_stable(text: str) -> None:
    for normalise in (dclm, kaiyuan):
        line = normalise(text)
        assert "\n" not in line
        assert normalise(line) == line


def test_normalisation_changes_the_score_and_the_fingerprint(two: Path) -> None:
    cased = FastTextRater(FastText(name="q", model=str(two)))
    lower = FastTextRater(FastText(name="q", model=str(two), normalisation="kaiyuan"))
    assert rated(cased, [GOOD.upper()]) != rated(lower, [GOOD.upper()])
    assert rated(cased, [GOOD]) == rated(lower, [GOOD])
    assert cased.fingerprint != lower.fingerprint


def test_the_fingerprint_follows_the_models_bytes_not_its_path(two: Path, three: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.bin").write_bytes(two.read_bytes())
    same, copy, other = (FastTextRater(FastText(name="q", model=str(p))) for p in (two, tmp_path / "copy.bin", three))
    assert same.fingerprint == copy.fingerprint != other.fingerprint
    assert pickle.loads(pickle.dumps(same)).fingerprint == same.fingerprint


def test_errors_say_what_to_do(two: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.bin: no such fastText model"):
        _ = FastTextRater(FastText(name="q", model=str(tmp_path / "nowhere.bin"))).fingerprint
    (tmp_path / "bad.bin").write_bytes(b"nonsense" * 99)
    with pytest.raises(ValueError, match=r"bad\.bin: not a usable fastText model"):
        FastTextRater(FastText(name="q", model=str(tmp_path / "bad.bin"))).setup()
    with pytest.raises(ValueError, match=r"no label '__label__hp'.*'__label__hq'"):
        FastTextRater(FastText(name="q", model=str(two), label="__label__hp")).setup()
    with pytest.raises(ValidationError):
        FastText(name="Not a column", model=str(two))
