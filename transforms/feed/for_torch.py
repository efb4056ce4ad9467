"""The dataset as a torch `IterableDataset`: a copy for each worker process of a DataLoader, ranks from torch.distributed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch.distributed
from torch.utils.data import IterableDataset, get_worker_info

from tamis.transforms.feed.dataset import Batch
from tamis.transforms.feed.dataset import CurriculumDataset as _CurriculumDataset


class CurriculumDataset(_CurriculumDataset, IterableDataset):
    """As `tamis.transforms.feed.dataset.CurriculumDataset`; give it to `DataLoader(dataset, batch_size=None, num_workers=…)`.

    Rank and world size are those of torch.distributed where it is set up and they are not given. torch itself refuses
    `shuffle=True` and samplers for an IterableDataset.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        if "rank" not in options and torch.distributed.is_available() and torch.distributed.is_initialized():
            options |= {"rank": torch.distributed.get_rank(), "world_size": torch.distributed.get_world_size()}
        super().__init__(*args, **options)

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        return self._iterate(worker.id, worker.num_workers) if worker else self._iterate(0, 1)
