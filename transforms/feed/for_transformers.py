"""The `Trainer` of transformers on a run: each rank reads its own part of every step, in order."""

from pathlib import Path
from typing import Any, Final

import orjson
import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from tamis.transforms.feed.dataset import TrainingBatch
from tamis.transforms.feed.for_torch import CurriculumDataset

PLACE: Final = "curriculum.json"
"""File in a checkpoint that has the state of the dataset."""


class PlannedTrainer(Trainer):
    """A `Trainer` whose `train_dataset` is a `CurriculumDataset`, which it reads once unless
    `max_steps` says otherwise.

    accelerate would let one rank read for all, or every rank read everything. Here each reads what
    the dataset gives it, so `per_device_train_batch_size` has no effect: the dataset's `batch_size`,
    times `gradient_accumulation_steps`, is the batch of all ranks. Each checkpoint has the place in
    the order, and training resumes there on any number of ranks.
    """

    train_dataset: CurriculumDataset

    def __init__(self, model: Any, args: TrainingArguments, train_dataset: CurriculumDataset, **options: Any) -> None:
        args.ignore_data_skip = True  # the dataset resumes by itself
        if args.max_steps <= 0:
            args.max_steps = train_dataset.steps // args.gradient_accumulation_steps
        super().__init__(model, args, train_dataset=train_dataset, **options)
        self._place = _KeepPlace(train_dataset)
        self.add_callback(self._place)

    def train(self, resume_from_checkpoint: str | bool | None = None, **options: Any) -> Any:
        """Trains from the start, or from a checkpoint; True is the last one in `args.output_dir`."""
        checkpoint = resume_from_checkpoint or None
        if checkpoint is True:
            checkpoint = get_last_checkpoint(self.args.output_dir)
        if checkpoint:
            self._place.load(Path(checkpoint))
        return super().train(resume_from_checkpoint=checkpoint or resume_from_checkpoint, **options)

    def get_train_dataloader(self) -> DataLoader[dict[str, torch.Tensor]]:
        """One batch of this rank after the other; not prepared by accelerate, which would share it out again."""
        workers = self.args.dataloader_num_workers
        return DataLoader(self.train_dataset, batch_size=None, num_workers=workers, collate_fn=model_inputs)


def model_inputs(batch: TrainingBatch) -> dict[str, torch.Tensor]:
    """Inputs of a causal language model, (sequences, tokens) each; padding has no loss."""
    tokens, padding = torch.from_numpy(batch.tokens), torch.from_numpy(batch.segments == 0)
    positions = torch.from_numpy(batch.positions).long()
    return {"input_ids": tokens, "labels": tokens.masked_fill(padding, -100), "position_ids": positions}


class _KeepPlace(TrainerCallback):
    """Writes the state of the dataset into each checkpoint. Workers read ahead, so it follows from the
    steps of the trainer."""

    def __init__(self, dataset: CurriculumDataset) -> None:
        self._dataset = dataset
        self._step = self._trained = 0  # of the dataset and of the trainer, where this training began

    def load(self, checkpoint: Path) -> None:
        state = orjson.loads((checkpoint / PLACE).read_bytes())
        self._dataset.load_state_dict(state)
        self._step = state["step"]

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._trained = state.global_step

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            step = self._step + (state.global_step - self._trained) * args.gradient_accumulation_steps
            path = Path(args.output_dir, f"checkpoint-{state.global_step}", PLACE)
            path.write_bytes(orjson.dumps(self._dataset.state_dict(step)))
