"""The rater of trained models keeps the contract, and its words and file are what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.testing import check_rater
from tamis.transforms.core.errors import RunError
from tamis.transforms.rate.trained.linear_training import train_linear
from tamis.transforms.rate.trained.model_file import Description, TrainedModel, read_model, write_model
from tamis.transforms.rate.trained.trained import Trained, TrainedRater
from tamis.transforms.rate.trained.word_rows import LENGTHS, rows_of, vocabulary_of, word_keys
from tamis.transforms.text.segment import segment

TEXTS = ["the proof shows a symmetry", "buy cheap shoes now", "the theorem holds", "click here now"] * 20


def model(kind: str) -> TrainedModel:
    texts = segment(pa.array(TEXTS, pa.large_string()))
    vocabulary = vocabulary_of(word_keys(texts), texts.word_first, 5, 100)
    described = Description(kind=kind, positive="label 1", documents=len(TEXTS))  # type: ignore[arg-type]
    if kind == "linear":
        targets = np.array([1.0, 0.0] * 40)
        tensors = dict(train_linear(word_keys(texts), texts.word_first, targets, np.ones(80)))
    else:
        pytest.importorskip("torch")
        from tamis.transforms.rate.trained.pooled_training import PooledTransformer

        tensors = dict(PooledTransformer(len(vocabulary) + LENGTHS).tensors())
    return TrainedModel(described, tensors | {"vocabulary": vocabulary})


@pytest.fixture(params=["linear", "pooled"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    file = str(tmp_path / "model.safetensors")
    write_model(file, model(request.param))
    return file


def test_the_rater_keeps_the_contract(path: str) -> None:
    check_rater(TrainedRater(Trained(name="edu", model=path)))


def test_odd_texts(path: str) -> None:
    texts = ["", " \n\t ", "proof", "proof shows", "доказательство 証明 ‮", "proof " * 170_000, "!!!"]
    batch = TrainedRater(Trained(name="edu", model=path)).rate(segment(pa.array(texts, pa.large_string())))
    score, known, judged = (column.to_pylist() for column in batch.columns)
    assert score[:2] == known[:2] == judged[:2] == [None, None]
    assert all(0 <= value <= 1 for value in score[2:])
    assert known[2:5] == [1, 1, 0]
    assert judged[2] == 1
    linear = read_model(path).description.kind == "linear"
    assert judged[5] == (1 if linear else pytest.approx(96 * 64 / 170_000, rel=0.01))  # whole windows


def test_the_same_model_is_the_same_file(path: str, tmp_path: Path) -> None:
    again = str(tmp_path / "again.safetensors")
    write_model(again, read_model(path))
    assert Path(again).read_bytes() == Path(path).read_bytes()
    one, two = (TrainedRater(Trained(name="edu", model=file)).fingerprint for file in (path, again))
    assert one == two
    with Path(again).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x55")
    assert TrainedRater(Trained(name="edu", model=again)).fingerprint != one


@pytest.mark.parametrize("content", [b"", b"not a model", b"\xff" * 64])
def test_a_file_that_is_no_model_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(RunError, match=r"model\.safetensors: not a model of Tamis"):
        TrainedRater(Trained(name="edu", model=str(file))).setup()
    with pytest.raises(FileNotFoundError, match="tamis rate train"):
        TrainedRater(Trained(name="edu", model=str(tmp_path / "none.safetensors"))).fingerprint  # noqa: B018


@given(st.lists(st.text(max_size=30), min_size=1, max_size=8), st.integers(1, 3), st.integers(0, 5))
def test_rows_agree_with_a_reference(texts: list[str], least: int, most: int) -> None:
    segmented = segment(pa.array(texts, pa.large_string()))
    keys, first = word_keys(segmented), segmented.word_first
    documents = [set(keys[first[d] : first[d + 1]].tolist()) for d in range(len(texts))]
    counts = {key: sum(key in document for document in documents) for key in set().union(*documents)}
    common = sorted(counts, key=lambda key: (-counts[key], key))[:most]
    vocabulary = sorted(key for key in common if counts[key] >= least)
    assert vocabulary_of(keys, first, least, most).tolist() == vocabulary
    rows = rows_of(keys, segmented.word_chars, np.array(vocabulary, np.uint64)).tolist()
    for key, chars, row in zip(keys.tolist(), segmented.word_chars.tolist(), rows, strict=True):
        assert row == (vocabulary.index(key) if key in vocabulary else len(vocabulary) + min(chars, LENGTHS) - 1)
