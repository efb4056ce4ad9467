"""A DataLoader with workers yields the same batches as the plain iterator, and cannot shuffle them. Needs torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.transforms.core.errors import RunError
from tamis.transforms.feed.dataset import CurriculumDataset as Plain
from tamis.transforms.feed.dataset import in_order
from tests.transforms.feed.releases import release

torch = pytest.importorskip("torch", reason="torch is not installed")
data = torch.utils.data

DOCUMENTS = [[f"{shard}.{number} " + "né " * (number % 7) for number in range(60)] for shard in range(3)]


@pytest.fixture
def run(tmp_path: Path) -> str:
    return release(tmp_path, DOCUMENTS)


def torch_dataset(run, **options):
    from tamis.transforms.feed.for_torch import CurriculumDataset

    return CurriculumDataset(run, "bytes", 16, 8, **options)


@pytest.mark.parametrize("context", ["fork", "spawn"])
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_loader_of_any_number_of_workers_yields_the_planned_order(run, workers, context):
    expected = list(Plain(run, "bytes", 16, 8, rank=1, world_size=2))
    dataset = torch_dataset(run, rank=1, world_size=2)
    assert isinstance(dataset, data.IterableDataset)
    loader = data.DataLoader(
        dataset, batch_size=None, num_workers=workers, multiprocessing_context=context if workers else None
    )
    batches = list(in_order(loader))
    assert len(batches) == len(expected)
    for one, other in zip(batches, expected, strict=True):
        assert one.tokens.dtype == torch.int64
        assert (one.tokens.numpy() == other.tokens).all()
        assert (one.segments.numpy() == other.segments).all()
        assert one[3:] == other[3:]


def test_the_state_of_a_loader_with_workers_takes_the_finished_steps(run):
    loader = data.DataLoader(torch_dataset(run), batch_size=None, num_workers=2)
    batches = iter(loader)
    steps = [next(batches) for _ in range(5)][-1].step + 1
    del batches
    with pytest.raises(RunError, match="pass the finished steps"):
        loader.dataset.state_dict()
    state = loader.dataset.state_dict(steps)
    later = torch_dataset(run, rank=3, world_size=4)
    later.load_state_dict(torch.load(save(state, run), weights_only=True))
    assert next(in_order(data.DataLoader(later, batch_size=None, num_workers=3), steps)).step == 5


def save(state, run):
    torch.save(state, Path(run, "state.pt"))
    return Path(run, "state.pt")


def test_no_loader_shuffles_it(run):
    dataset = torch_dataset(run)
    with pytest.raises(ValueError, match="shuffle"):
        data.DataLoader(dataset, batch_size=None, shuffle=True)
    with pytest.raises(ValueError, match="sampler"):
        data.DataLoader(dataset, batch_size=None, sampler=data.SequentialSampler(range(3)))
    with pytest.raises(RunError, match="planned order"):
        dataset.shuffle()
    with pytest.raises(RunError, match="sampler"):
        data.Subset(dataset, [2, 1])[0]
    mixed = data.DataLoader(dataset, batch_size=None)
    swapped = [batch for pair in zip(*[iter(mixed)] * 2, strict=False) for batch in reversed(pair)]
    with pytest.raises(RunError, match="step 1 in place of step 0"):
        list(in_order(swapped))


def test_ranks_come_from_torch_distributed(run, tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        assert (torch_dataset(run).rank, torch_dataset(run).world_size) == (0, 1)
        assert torch_dataset(run, rank=1, world_size=2).rank == 1
    finally:
        torch.distributed.destroy_process_group()
