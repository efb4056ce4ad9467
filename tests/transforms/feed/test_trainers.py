"""Trainers read the tokens of a run in their planned order, whole and resumed on another number of ranks.
Tests of trainers that are not installed are skipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tamis.transforms.feed.dataset import CurriculumDataset
from tamis.transforms.feed.export import export
from tests.transforms.feed.releases import release

torch = pytest.importorskip("torch", reason="torch is not installed")

pytestmark = pytest.mark.slow  # each trainer takes seconds to import

TEXTS = [[f"{shard}.{number} né\n" * (number % 5) for number in range(40)] for shard in range(5)]
LENGTH = 16
BATCH = 8


@pytest.fixture
def run(tmp_path: Path) -> str:
    return release(tmp_path / "run", TEXTS)


@pytest.fixture
def steps(run: str) -> np.ndarray:
    """The planned order: (steps, sequences of all ranks, tokens)."""
    return np.stack([batch.tokens for batch in CurriculumDataset(run, "bytes", LENGTH, BATCH)])


# --- transformers --------------------------------------------------------------------------------------------------------


class Recorder(torch.nn.Module):
    """A model of one weight that keeps the tokens it is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[np.ndarray] = []

    def forward(self, input_ids, labels, position_ids):
        self.seen.append(input_ids.numpy())
        return {"loss": self.weight * (labels >= 0).sum()}


def train(
    run: str, folder: Path, rank: int, ranks: int, resume: str | bool = False, batch: int = BATCH, **arguments
) -> np.ndarray:
    """What one rank sees: (micro-batches, sequences, tokens)."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from tamis.transforms.feed.for_torch import CurriculumDataset as TorchDataset
    from tamis.transforms.feed.for_transformers import PlannedTrainer

    options = {"use_cpu": True, "report_to": "none", "disable_tqdm": True, "save_steps": 3, "logging_strategy": "no"}
    model = Recorder()
    dataset = TorchDataset(run, "bytes", LENGTH, batch, rank=rank, world_size=ranks)
    PlannedTrainer(model, transformers.TrainingArguments(str(folder), **options | arguments), dataset).train(resume)
    return np.stack(model.seen)


def test_transformers(run, steps, tmp_path):
    whole = [train(run, tmp_path / "out", rank, 2, dataloader_num_workers=rank) for rank in range(2)]
    assert (np.concatenate(whole, axis=1) == steps).all()


def test_transformers_resumes_on_another_number_of_ranks(run, steps, tmp_path):
    """Two optimizer steps of two micro-batches on two ranks; then four ranks, which need no accumulation; then two again."""
    both = [train(run, tmp_path / "a", rank, 2, gradient_accumulation_steps=2, max_steps=2, save_steps=2) for rank in (1, 0)]
    assert (np.concatenate(both[::-1], axis=1) == steps[:4]).all()
    four = [
        train(run, tmp_path / f"b{rank}", rank, 4, str(tmp_path / "a" / "checkpoint-2"), 2 * BATCH, max_steps=5)
        for rank in range(4)
    ]
    assert (np.concatenate(four, axis=1) == steps[4:10].reshape(3, 2 * BATCH, LENGTH)).all()
    options = {"gradient_accumulation_steps": 2, "save_strategy": "no"}
    rest = [train(run, tmp_path / "b0", rank, 2, resume=True, **options) for rank in range(2)]
    assert (np.concatenate(rest, axis=1) == steps[10 : len(steps) // 2 * 2]).all()


# --- Megatron ------------------------------------------------------------------------------------------------------------


def megatron(run: str, folder: Path, samples: int | None, planned: bool = True):
    """The dataset that Megatron builds of an export, for `samples` sequences, or one pass."""
    pytest.importorskip("megatron.core.datasets.gpt_dataset", reason="megatron-core is not installed")
    from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
    from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig

    from tamis.transforms.feed.for_megatron import PlannedGPTDataset

    if not folder.exists():
        export(run, "megatron", str(folder), "bytes")
    config = GPTDatasetConfig(
        random_seed=1,
        sequence_length=LENGTH,
        blend=([str(folder / "corpus")], None),
        split="1,0,0",
        tokenizer=ByteVocabulary(),
        reset_position_ids=False,
        reset_attention_mask=False,
        eod_mask_loss=False,
    )
    kind = PlannedGPTDataset if planned else GPTDataset
    return BlendedMegatronDatasetBuilder(kind, [samples, None, None], lambda: True, config).build()[0]


class ByteVocabulary:
    """What Megatron asks of a tokenizer."""

    vocab_size = 258
    eod = 256
    pad = 257
    unique_identifiers = {"class": "bytes"}  # noqa: RUF012


def test_megatron(run, steps, tmp_path):
    dataset = megatron(run, tmp_path / "out", None)
    stream = np.frombuffer((tmp_path / "out" / "corpus.bin").read_bytes(), "<u2")
    assert len(dataset) == (len(stream) - 1) // LENGTH
    samples = np.stack([dataset[number]["tokens"].numpy() for number in range(len(dataset))])
    assert (samples == steps.reshape(-1, LENGTH)[: len(samples)]).all()
    labels = np.stack([dataset[number]["labels"].numpy() for number in range(len(dataset))])
    assert (labels.ravel() == stream[1 : labels.size + 1]).all()
    assert (dataset.document_index == np.arange(200)).all()
    assert (dataset.shuffle_index == np.arange(len(samples))).all()


def test_the_class_of_megatron_shuffles(run, steps, tmp_path):
    """Which is why we have our own."""
    dataset = megatron(run, tmp_path / "out", None, planned=False)
    samples = np.stack([dataset[number]["tokens"].numpy() for number in range(len(dataset))])
    assert (samples != steps.reshape(-1, LENGTH)[: len(samples)]).any(axis=1).mean() > 0.5


def test_megatron_goes_on_where_a_pass_ends(run, tmp_path):
    one = megatron(run, tmp_path / "out", None)
    dataset = megatron(run, tmp_path / "out", 2 * len(one))
    stream = np.frombuffer((tmp_path / "out" / "corpus.bin").read_bytes(), "<u2")
    samples = np.concatenate([dataset[number]["tokens"].numpy() for number in range(2 * len(one))])
    assert (samples == np.tile(stream, 2)[: len(samples)]).all()
