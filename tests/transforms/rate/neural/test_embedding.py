"""Cosines are those of a plain computation, for both kinds of model, and test splits are refused as targets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.testing import EDGES, check_rater
from tamis.transforms.core.errors import RunError
from tamis.transforms.rate.neural.embedding import Embedding, EmbeddingRater
from tamis.transforms.rate.neural.static_embedding import StaticEmbedding
from tamis.transforms.text.segment import Texts, unsegmented
from tests.transforms.rate.neural.random_models import WORDS, save_encoder, save_static, tokenizer

TARGETS = ["the proof shows numbers", "a symmetry of the proof"]
TEXTS = ["the proof shows a symmetry", "buy cheap shoes now", "", "¤ ¤", "numbers " * 100, *WORDS]


def write_targets(folder: Path, name: str = "train.jsonl") -> str:
    path = folder / name
    path.write_text("".join(json.dumps({"question": text, "answer": "now"}) + "\n" for text in TARGETS))
    return str(path)


@pytest.fixture(params=["static", "transformer"])
def rater(request: pytest.FixtureRequest, tmp_path: Path) -> EmbeddingRater:
    if request.param == "static":
        model = save_static(tmp_path / "static")
    else:
        pytest.importorskip("transformers")
        model = save_encoder(tmp_path / "encoder")
    targets = write_targets(tmp_path)
    return EmbeddingRater(Embedding(name="like", model=model, targets=targets, fields=("question",), max_tokens=64, decimals=6))


def texts_of(texts: list[str]) -> Texts:
    return unsegmented(pa.array(texts, pa.large_string()))


def plain_vector(rater: EmbeddingRater, text: str) -> np.ndarray | None:
    """The mean of the vectors of the first tokens, without those that are unknown; by torch if it is a transformer."""
    folder = Path(rater.options.model)
    if folder.name == "static":
        from safetensors.numpy import load_file

        ids = [token for token in tokenizer().encode(text, add_special_tokens=False).ids[:64] if token != 1]
        return load_file(folder / "model.safetensors")["embeddings"][ids].mean(axis=0) if ids else None
    import torch
    from transformers import AutoModel

    plain = tokenizer()
    plain.enable_truncation(64)
    if not plain.encode(text, add_special_tokens=False).ids:
        return None
    with torch.no_grad():
        states = AutoModel.from_pretrained(folder).eval()(torch.tensor([plain.encode(text).ids])).last_hidden_state
    return states[0].mean(0).numpy()


def test_cosines_are_those_of_a_plain_computation(rater: EmbeddingRater) -> None:
    targets = [plain_vector(rater, text) for text in TARGETS]
    values = rater.rate(texts_of(TEXTS)).to_pydict()
    for row, text in enumerate(TEXTS):
        vector = plain_vector(rater, text)
        if vector is None:
            assert values["like.nearest"][row] is values["like.mean"][row] is values["like.judged"][row] is None
            continue
        cosines = [vector @ target / np.linalg.norm(vector) / np.linalg.norm(target) for target in targets]
        assert values["like.nearest"][row] == pytest.approx(max(cosines), abs=1e-5)
        assert values["like.mean"][row] == pytest.approx(np.mean(cosines), abs=1e-5)
        assert 0 < values["like.judged"][row] <= 1
    assert rater.rate(texts_of(TARGETS)).to_pydict()["like.nearest"] == [1, 1]


def test_vectors_are_those_of_a_plain_computation(rater: EmbeddingRater) -> None:
    options = rater.options.model_copy(update={"vector": True})
    batch = EmbeddingRater(options).rate(texts_of(TEXTS))
    assert batch.select(rater.rate(texts_of(TEXTS)).schema.names).equals(rater.rate(texts_of(TEXTS)))
    for text, found in zip(TEXTS, batch["like.vector"].to_pylist(), strict=True):
        vector = plain_vector(rater, text)
        if vector is None:
            assert found is None
        else:
            np.testing.assert_allclose(found, vector / np.linalg.norm(vector), atol=1e-5)
    alone = EmbeddingRater(options.model_copy(update={"targets": None})).rate(texts_of(TEXTS))
    assert alone.schema.names == ["like.judged", "like.vector"]
    assert alone["like.vector"].equals(batch["like.vector"])


def test_an_embedding_without_a_use_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"name the examples .* or keep vectors with vector: true"):
        Embedding(name="like", model="m")


@pytest.mark.slow
def test_the_rater_keeps_the_contract(rater: EmbeddingRater) -> None:
    """A thousand texts have the same values in five random splits."""
    check_rater(EmbeddingRater(rater.options.model_copy(update={"decimals": 4})))


def test_odd_texts(rater: EmbeddingRater) -> None:
    values = rater.rate(texts_of(list(EDGES))).to_pydict()["like.nearest"]
    blank = [not text.strip("\x00 \n\r\t\u200b\ufeff") for text in EDGES]
    assert all(value is None for value, empty in zip(values, blank, strict=True) if empty)
    assert values[2] is not None


def test_workers_take_the_vectors_that_the_driver_saved(rater: EmbeddingRater, tmp_path: Path) -> None:
    expected = rater.rate(texts_of(TEXTS))
    rater.save_index(str(tmp_path / "index.arrow"))
    worker = rater.with_index(str(tmp_path / "index.arrow"))
    Path(rater.options.targets).unlink()
    assert worker.rate(texts_of(TEXTS)).equals(expected)


@given(st.lists(st.lists(st.integers(0, 9), max_size=12), max_size=6), st.booleans())
def test_static_vectors_agree_with_a_reference(windows: list[list[int]], mapped: bool) -> None:
    draws = np.random.default_rng(2)
    rows = draws.normal(0, 1, (4 if mapped else 10, 3)).astype(np.float32)
    row_of = draws.integers(0, 4, 10) if mapped else np.arange(10)
    weight = draws.uniform(0, 2, 10).astype(np.float32)
    row_of[3] = -1
    vectors = StaticEmbedding(rows, row_of, weight).vectors([np.array(window, np.int64) for window in windows])
    assert vectors.shape == (len(windows), 3)
    for vector, window in zip(vectors, windows, strict=True):
        known = [weight[token].astype(float) * rows[row_of[token]].astype(float) for token in window if token != 3]
        np.testing.assert_allclose(vector, np.mean(known, axis=0) if known else np.zeros(3), atol=1e-12)


@pytest.mark.parametrize("path", ["gsm8k_test.jsonl", "data/test/0.jsonl", "a/arc.test.jsonl.zst", "TEST.jsonl", "test"])
def test_a_test_split_is_refused_by_its_name(path: str) -> None:
    with pytest.raises(ValueError, match="is called a test split"):
        Embedding(name="like", model="m", targets=path)


@pytest.mark.parametrize("path", ["train.jsonl", "test_of_time/train.jsonl", "latest.jsonl", "contest/0.jsonl", "tests.jsonl"])
def test_other_names_are_not(path: str) -> None:
    Embedding(name="like", model="m", targets=path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "it has no examples"),
        ('{"a": "b"}\n', "line 1: no text in the field text: correct `fields`; it has a"),
        ('{"text": "a"}\nnot json\n', "line 2: "),
        ('{"text": 3}\n', "line 1: no text in the field text"),
        ('{"text": "¤"}\n', "the model knows no token of the examples"),
    ],
)
def test_examples_that_are_none_are_named(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(content)
    rater = EmbeddingRater(Embedding(name="like", model=save_static(tmp_path / "static"), targets=str(path)))
    with pytest.raises(ValueError, match=message):
        rater.setup()


def test_tensors_that_do_not_fit_are_named(tmp_path: Path) -> None:
    model = save_static(tmp_path / "static", {"embeddings": np.zeros((5, 2), np.float32)})
    rater = EmbeddingRater(Embedding(name="like", model=model, targets=write_targets(tmp_path), fields=("question",)))
    with pytest.raises(RunError, match="its tensors do not fit each other"):
        rater.setup()


def test_other_examples_are_another_rater(tmp_path: Path) -> None:
    model, targets = save_static(tmp_path / "static"), write_targets(tmp_path)
    options = Embedding(name="like", model=model, targets=targets, fields=("question",))
    before = EmbeddingRater(options).fingerprint
    Path(targets).write_text('{"question": "other"}\n')
    assert EmbeddingRater(options).fingerprint != before
