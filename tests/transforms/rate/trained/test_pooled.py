"""The kernel of the pooled transformer computes what torch computes, for each document alone."""

from __future__ import annotations

import numpy as np
import pytest

from tamis.transforms.rate.trained.pooled import CHUNK, WINDOW, pooled_scores, windows

WORDS = (0, 1, 5, CHUNK, CHUNK + 1, 500, 3 * WINDOW * CHUNK, 3 * WINDOW * CHUNK + 1, 20_000)


def documents(rows: int, seed: int = 0) -> list[np.ndarray]:
    draws = np.random.default_rng(seed)
    return [draws.integers(0, rows, words).astype(np.int32) for words in WORDS]


def joined(parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate(parts), np.concatenate([[0], np.cumsum([len(part) for part in parts])])


def test_scores_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    from tamis.transforms.rate.trained.pooled_training import PooledTransformer, padded

    torch.manual_seed(1)
    network = PooledTransformer(300)
    network.eval()
    texts = documents(300)
    with torch.no_grad():
        expected = [float(torch.sigmoid(network(torch.from_numpy(padded([text]))))) for text in texts if len(text)]
    scores = pooled_scores(*joined(texts), network.tensors())
    assert np.isnan(scores[0])
    np.testing.assert_allclose(scores[1:], expected, atol=2e-6)


def tensors(rows: int, seed: int) -> dict[str, np.ndarray]:
    """Of a network of one layer, by hand."""
    draws = np.random.default_rng(seed)
    shapes = {
        "embedding": (rows, 8), "project": (24, 16), "project_bias": (16,), "norm": (16,), "head": (16,), "head_bias": (1,),
        "layers.0.before": (16,), "layers.0.qkv": (16, 48), "layers.0.out": (16, 16), "layers.0.between": (16,),
        "layers.0.up": (16, 32), "layers.0.up_bias": (32,), "layers.0.down": (32, 16), "layers.0.down_bias": (16,),
    }  # fmt: skip
    return {name: draws.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def test_a_document_does_not_see_the_others() -> None:
    texts, model = documents(50), tensors(50, 2)
    together = pooled_scores(*joined(texts), model)
    alone = np.concatenate([pooled_scores(*joined([text]), model) for text in texts])
    np.testing.assert_array_equal(together, alone)  # bit by bit
    backwards = pooled_scores(*joined(texts[::-1]), model)
    np.testing.assert_array_equal(together, backwards[::-1])


@pytest.mark.parametrize("words", [*WORDS, 7 * 3 * WINDOW * CHUNK + 13])
def test_windows_cover_a_short_text_and_begin_middle_and_end_of_a_long_one(words: int) -> None:
    first = np.array([5, 5 + words])
    chunks, start, stop = windows(first)
    assert chunks[-1] == min(3 * WINDOW, -(-words // CHUNK))
    assert np.all(start[1:] >= stop[:-1])
    assert np.all((stop - start >= 1) & (stop - start <= CHUNK))
    if words:
        assert start[0] == 5
        assert stop[-1] == 5 + words
    if words > 3 * WINDOW * CHUNK:
        middle = (start[WINDOW] + stop[2 * WINDOW - 1]) / 2 - 5
        assert abs(middle - words / 2) <= CHUNK
