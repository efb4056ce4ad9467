"""Steps whose number of sequences follows the plan read the same order, whole and resumed, and change where the plan says."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.transforms.core.errors import RunError
from tamis.transforms.curriculum.training_plan import BatchHint as PlannedHint
from tamis.transforms.feed.dataset import CurriculumDataset
from tamis.transforms.feed.step_sizes import BatchHint, followed, step_sizes
from tests.transforms.feed.releases import release, write_plan

CHANGES = st.lists(st.tuples(st.integers(1, 200), st.integers(1, 20)), max_size=6).map(
    lambda changes: [(0, 8), *sorted(changes, key=lambda change: change[0])]
)


@given(CHANGES, st.integers(0, 300), st.integers(0, 40))
def test_steps_are_those_of_a_loop(changes: list[tuple[int, int]], sequences: int, resume: int) -> None:
    """From the start, and from any step on."""
    firsts, first = [], 0
    for _ in range(resume + 1 + sequences):
        firsts.append(first)
        first += [size for at, size in changes if at <= first][-1]
    whole = step_sizes(changes, 0, 0)
    resumed = step_sizes(changes, resume, firsts[resume])
    for step in range(len(firsts) - 1):
        assert whole.at(step) == (firsts[step], firsts[step + 1] - firsts[step])
        assert step < resume or resumed.at(step) == whole.at(step)
    steps = sum(first < sequences for first in firsts)
    assert whole.steps(sequences) == steps
    assert resumed.steps(sequences) == max(steps, resume)


def test_a_hint_drops_the_size_holds_it_and_ramps_it_up() -> None:
    """100 tokens a sequence; 16 sequences become 8, hold, then grow by 4."""
    hint = BatchHint(token=1000, factor=0.5, stable_tokens=2000, ramp_tokens=1000)
    assert followed([hint], 16, 4, 100, lambda sequence: 100.0 * sequence) == [(0, 16), (10, 8), (35, 12), (40, 16)]


def test_the_next_hint_ends_the_one_before() -> None:
    hints = [BatchHint(1000, 0.5, 2000, 1000), BatchHint(3200, 0.25, 500, 0)]
    changes = followed(hints, 16, 4, 100, lambda sequence: 100.0 * sequence)
    assert changes == [(0, 16), (10, 8), (32, 4), (37, 8), (37, 12), (37, 16)]
    assert [step_sizes(changes, 0, 0).at(step)[1] for step in range(10)] == [16, 8, 8, 4, 4, 16, 16, 16, 16, 16]


def test_a_hint_rounds_to_the_increment_and_leaves_one() -> None:
    def sizes(factor: float, increment: int) -> int:
        return followed([BatchHint(0, factor, 100, 0)], 16, increment, 100, float)[1][1]

    assert [sizes(0.5, 16), sizes(0.5, 4), sizes(0.4, 4), sizes(0.01, 4), sizes(1.0, 4)] == [16, 8, 8, 4, 16]


TEXTS = [["word " * (number % 9 + 1) for number in range(25)] for _ in range(3)]


@settings(max_examples=5, deadline=None)
@given(st.data())
def test_a_loader_that_follows_the_plan_reads_its_order_and_resumes_exactly(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = release(Path(folder), TEXTS)
        total = CurriculumDataset(run, "bytes", 16, 8).corpus.tokens
        places = st.integers(0, total // 3)
        hints = [
            PlannedHint(
                token=at * total // 3, phase="", factor=0.25, stable_tokens=data.draw(places), ramp_tokens=data.draw(places)
            )
            for at in (1, 2)
        ]
        write_plan(run, hints=hints)
        packing = data.draw(st.sampled_from(["cut", "best_fit"]))

        def dataset(rank: int = 0, ranks: int = 1) -> CurriculumDataset:
            return CurriculumDataset(run, "bytes", 16, 24, rank=rank, world_size=ranks, batch_increment=4, packing=packing)

        whole = dataset()
        batches = list(whole)
        assert len(batches) == whole.steps == len(whole)
        plain = CurriculumDataset(run, "bytes", 16, 8, packing=packing)
        order = np.concatenate([batch.tokens for batch in plain])
        read = np.concatenate([batch.tokens for batch in batches])
        assert (read[: len(order)] == order[: len(read)]).all()
        for batch in batches:
            begun = [hint for hint in hints if hint.token <= batch.first_token]
            if not begun:
                assert len(batch.tokens) == 24
            elif batch.first_token < begun[-1].token + begun[-1].stable_tokens - 1:
                assert len(batch.tokens) == 8
        step = data.draw(st.integers(1, len(batches)))
        state = whole.state_dict(step)
        later = []
        for rank in range(2):
            other = dataset(rank, 2)
            other.load_state_dict(state)
            assert len(other) == len(batches) - step
            later.append(list(other.batches()))
        for one, two, batch in zip(*later, batches[step:], strict=True):
            assert (np.concatenate([one.tokens, two.tokens]) == batch.tokens).all()
            assert one[3:] == two[3:] == batch[3:]


def test_what_cannot_be_followed_is_refused(tmp_path: Path) -> None:
    run = release(tmp_path, TEXTS)
    with pytest.raises(RunError, match="has no batch_hints to follow"):
        CurriculumDataset(run, "bytes", 16, 8, batch_increment=4)
    with pytest.raises(RunError, match="cannot change 8 sequences by 3 on 1 ranks"):
        CurriculumDataset(run, "bytes", 16, 8, batch_increment=3)
    with pytest.raises(RunError, match="cannot change 8 sequences by 2 on 4 ranks"):
        CurriculumDataset(run, "bytes", 16, 8, batch_increment=2, world_size=4)
