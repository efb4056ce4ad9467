"""The dataset as a torch `IterableDataset`, with ranks from torch.distributed, and a loader that has a state."""

from collections.abc import Iterator
from typing import Any

import torch.distributed
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from tamis.transforms.feed.dataset import CurriculumDataset as _CurriculumDataset
from tamis.transforms.feed.dataset import TrainingBatch


class CurriculumDataset(_CurriculumDataset, IterableDataset):
    """`tamis.transforms.feed.dataset.CurriculumDataset` for `DataLoader(dataset, batch_size=None,
    num_workers=…)`. Rank and world size default to those of torch.distributed, if it is
    initialised. torch itself refuses `shuffle=True` and samplers for an IterableDataset."""

    def __init__(self, *args: Any, **options: Any) -> None:
        if "rank" not in options and torch.distributed.is_available() and torch.distributed.is_initialized():
            options |= {"rank": torch.distributed.get_rank(), "world_size": torch.distributed.get_world_size()}
        super().__init__(*args, **options)

    def __iter__(self) -> Iterator[TrainingBatch]:
        worker = get_worker_info()
        return self.batches(worker.id, worker.num_workers) if worker else self.batches()


class PlannedLoader:
    """A loader with a state, for trainers that save that of their loader with each checkpoint, such as
    Lightning and torchtitan. Yields batches of tensors. The state fits any number of ranks and workers,
    and is that of the last batch yielded, however far the workers have read ahead."""

    def __init__(self, dataset: CurriculumDataset, workers: int = 0) -> None:
        self.dataset, self.workers = dataset, workers
        self._step = dataset.steps - len(dataset)  # finished steps, at first those before where the dataset begins

    def __len__(self) -> int:
        """Steps of the whole run, where it is resumed, too: trainers count from its beginning."""
        return self.dataset.steps

    def __iter__(self) -> Iterator[TrainingBatch]:
        for batch in DataLoader(self.dataset, batch_size=None, num_workers=self.workers):
            self._step = batch.step + 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        return self.dataset.state_dict(self._step)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.dataset.load_state_dict(state)
        self._step = state["step"]
