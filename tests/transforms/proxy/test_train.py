"""The small model attends only to the past of a segment, learns, is reproducible, and scales with width. Needs torch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from tamis.transforms.core.errors import RunError

torch = pytest.importorskip("torch", reason="torch is not installed")

from tamis.transforms.proxy.model import Shape, Transformer  # noqa: E402
from tamis.transforms.proxy.train import average_states, evaluate, train, unigram_entropy  # noqa: E402

torch.set_num_threads(1)  # with more, threads wait for each other when other processes run
SHAPE = Shape(vocabulary=16, width=32, layers=2, heads=2)


class Batch(NamedTuple):
    tokens: np.ndarray
    segments: np.ndarray
    positions: np.ndarray


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def batches(seed: int, number: int, noise: float = 0.0) -> list[Batch]:
    """Rows that count upwards, with a share of random tokens."""
    draw = np.random.default_rng(seed)
    rows = []
    for _ in range(number):
        tokens = (draw.integers(0, 16, (8, 1)) + np.arange(17)) % 16
        tokens = np.where(draw.random(tokens.shape) < noise, draw.integers(0, 16, tokens.shape), tokens)
        rows.append(Batch(tokens, np.ones(tokens.shape, np.int32), np.tile(np.arange(17, dtype=np.int32), (8, 1))))
    return rows


def test_it_learns_and_the_same_seed_gives_the_same_model() -> None:
    held_out = batches(9, 2)
    untrained = evaluate(Transformer(SHAPE, 0), held_out)
    assert untrained == pytest.approx(np.log(16), abs=1e-5)  # the output layer starts at zero
    losses = [evaluate(train(SHAPE, seed, batches(1, 40), [3e-4] * 40).model, held_out) for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    assert max(losses) < 0.5 * untrained


def test_a_tiny_learning_rate_ranks_clean_before_noisy_data() -> None:
    held_out = batches(9, 2)
    losses = [evaluate(train(SHAPE, 0, batches(1, 10, noise), [1e-5] * 10).model, held_out) for noise in (0.0, 0.4, 0.8)]
    assert losses == sorted(losses)
    assert losses[0] < np.log(16)


def test_a_token_attends_only_to_its_own_past() -> None:
    model = Transformer(SHAPE, 0)
    with torch.no_grad():
        model.output.weight.normal_(generator=torch.Generator().manual_seed(0))
    tokens = torch.arange(8)[None] % 16
    segments, positions = torch.tensor([[1, 1, 1, 2, 2, 2, 2, 2]]), torch.tensor([[0, 1, 2, 0, 1, 2, 3, 4]])
    before = model(tokens, segments, positions)
    for changed, same in ((5, [0, 1, 2, 3, 4]), (0, [3, 4, 5, 6, 7])):
        other = tokens.clone()
        other[0, changed] = 15
        after = model(other, segments, positions)
        assert torch.allclose(after[0, same], before[0, same], atol=1e-6)
        assert not torch.allclose(after[0, changed], before[0, changed], atol=1e-3)
    alone = model(tokens[:, 3:], segments[:, 3:], positions[:, 3:])
    assert torch.allclose(alone, before[:, 3:], atol=1e-3)  # of some hundreds, in float32


def test_only_tokens_that_follow_in_a_document_are_predicted() -> None:
    rows = batches(1, 1)[0]
    segments = rows.segments.copy()
    segments[:, 5:] = 2
    segments[:, 10:] = 0
    assert train(SHAPE, 0, [rows._replace(segments=segments)], [0.0]).predicted == 8 * (4 + 4)
    with pytest.raises(RunError, match="no token to predict"):
        evaluate(Transformer(SHAPE, 0), [rows._replace(segments=np.zeros_like(segments))])


def test_fewer_batches_than_steps_are_an_error() -> None:
    with pytest.raises(RunError, match="end after 2 of 3 steps"):
        train(SHAPE, 0, batches(1, 2), [1e-4] * 3)


def test_states_are_kept_and_averaged() -> None:
    result = train(SHAPE, 0, batches(1, 6), [1e-4] * 6, keep=(4, 6))
    last = average_states(result.model, result.states, np.array([0.0, 1.0]))
    for name, tensor in average_states(result.model, result.states, np.array([0.25, 0.75])).state_dict().items():
        old, new = (state[name].double() for state in result.states)
        assert torch.equal(tensor, (0.25 * old + 0.75 * new).float())
        assert torch.equal(last.state_dict()[name], result.model.state_dict()[name])


def test_one_step_moves_the_output_alike_at_every_width() -> None:
    """The promise of µP: a step changes the logits equally at every width."""
    moved = []
    for width in (32, 256):
        rows = batches(1, 3)
        model = train(Shape(vocabulary=16, width=width, layers=1, heads=2), 0, rows, [1e-4] * 3).model
        with torch.no_grad():
            logits = model(*(torch.as_tensor(np.asarray(v, np.int64)) for v in rows[0]))
        moved.append(float(logits.std()))
    assert 0.5 < moved[1] / moved[0] < 2


def test_a_width_that_does_not_divide_into_heads_is_refused() -> None:
    with pytest.raises(ValueError, match="does not divide"):
        Shape(vocabulary=16, width=30, heads=4)


def test_the_unigram_entropy_is_of_the_tokens_that_are_predicted() -> None:
    tokens = np.array([[9, 0, 0, 1, 0, 9, 9]])
    segments = np.array([[1, 1, 1, 1, 2, 0, 0]], np.int32)  # 0, 0 and 1 follow a token of their segment
    two_to_one = -(2 / 3) * np.log(2 / 3) - (1 / 3) * np.log(1 / 3)
    assert unigram_entropy([Batch(tokens, segments, np.zeros_like(segments))]) == pytest.approx(two_to_one)
    assert unigram_entropy(batches(0, 200)) == pytest.approx(np.log(16), abs=0.01)
    with pytest.raises(RunError, match="no token to predict"):
        unigram_entropy([Batch(tokens, np.zeros_like(segments), np.zeros_like(segments))])
