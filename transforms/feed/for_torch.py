"""The dataset as a torch `IterableDataset`, with ranks from torch.distributed."""

from collections.abc import Iterator
from typing import Any

import torch.distributed
from torch.utils.data import IterableDataset, get_worker_info

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
