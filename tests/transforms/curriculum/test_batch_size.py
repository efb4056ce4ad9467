"""Steps have the tokens that Megatron-LM's ramp of the batch size gives them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tamis.transforms.curriculum.batch_size import BatchSize


@st.composite
def sizes(draw: st.DrawFn) -> BatchSize:
    start, increment, increments = (draw(st.integers(1, 40)) for _ in range(3))
    ramp = (start, increment, draw(st.integers(1, 5000)))
    return BatchSize(sequences=start + increment * increments, sequence_length=draw(st.integers(1, 64)), ramp=ramp)


def one_by_one(batch: BatchSize, steps: int) -> list[int]:
    """Tokens after 0, 1, … steps, by Megatron's rule."""
    assert batch.ramp is not None
    start, increment, until = batch.ramp
    increments, read = (batch.sequences - start) // increment, [0]
    for _ in range(steps):
        share = read[-1] * increments // until
        read.append(read[-1] + (batch.sequences if read[-1] > until else start + share * increment))
    return [sequences * batch.sequence_length for sequences in read]


@given(sizes())
def test_tokens_are_those_of_stepping_one_by_one(batch: BatchSize) -> None:
    assert batch.tokens_after(np.arange(201)).tolist() == one_by_one(batch, 200)


@given(sizes(), st.integers(0, 10**6))
def test_so_many_steps_reach_the_tokens_and_one_fewer_does_not(batch: BatchSize, tokens: int) -> None:
    steps = batch.steps_for(tokens)
    assert batch.tokens_after(steps) >= tokens
    assert steps == 0 or batch.tokens_after(steps - 1) < tokens


@pytest.mark.parametrize(("sequences", "ramp"), [(1536, (16, 16, 5_859_375)), (192, (32, 32, 2_000)), (64, (8, 8, 100))])
def test_megatrons_own_calculator_agrees(sequences: int, ramp: tuple[int, int, int]) -> None:
    calculator = pytest.importorskip("megatron.core.num_microbatches_calculator", reason="megatron-core is not installed")
    made = calculator.RampupBatchsizeNumMicroBatchesCalculator(sequences, 1, 1, False, 0, *ramp)
    batch = BatchSize(sequences=sequences, sequence_length=4, ramp=ramp)
    read = [0]
    while read[-1] < 2 * ramp[2]:
        made.update(read[-1], consistency_check=True)
        read.append(read[-1] + made.get_current_global_batch_size())
    assert (batch.tokens_after(np.arange(len(read))) == 4 * np.array(read)).all()


def test_without_a_ramp_all_steps_are_alike() -> None:
    batch = BatchSize(sequences=8, sequence_length=1024)
    assert (batch.tokens, batch.steps_for(8193)) == (8192, 2)
    assert batch.tokens_after([0, 1, 100]).tolist() == [0, 8192, 819_200]


@pytest.mark.parametrize(
    ("ramp", "words"), [((64, 8, 100), "not below the full 64"), ((10, 8, 100), "an increment that divides 54")]
)
def test_a_ramp_that_does_not_fit_says_why(ramp: tuple[int, int, int], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        BatchSize(sequences=64, sequence_length=1, ramp=ramp)
