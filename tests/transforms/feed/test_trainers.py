"""Trainers read the tokens of a run in their planned order, whole and resumed on another number of ranks.
Tests of trainers that are not installed are skipped."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from tamis.transforms.curriculum.training_plan import BatchHint
from tamis.transforms.feed.dataset import CurriculumDataset
from tamis.transforms.feed.export import export
from tests.transforms.feed.releases import release, write_plan

torch = pytest.importorskip("torch", reason="torch is not installed")
stateful = pytest.importorskip("torch.distributed.checkpoint.stateful")

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


DISTRIBUTED = """
import sys
from pathlib import Path
import numpy as np
import torch
from tests.transforms.feed.test_trainers import train
torch.distributed.init_process_group("gloo")
rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
seen = train(sys.argv[1], Path(sys.argv[2]), rank, ranks, max_steps=6)
np.save(f"{sys.argv[2]}/{rank}.npy", seen)
"""


def test_transformers_in_two_processes_then_in_one(run, steps, tmp_path):
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    (tmp_path / "program.py").write_text(DISTRIBUTED)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", tmp_path / "program.py"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, run, tmp_path], check=True, env=environment, timeout=120)
    whole = [np.load(tmp_path / f"{rank}.npy") for rank in range(2)]
    assert (np.concatenate(whole, axis=1) == steps[:6]).all()
    assert (train(run, tmp_path, 0, 1, resume=True) == steps[6:]).all()


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


# --- loaders with a state, Lightning --------------------------------------------------------------------------------------


def planned_loader(run: str, rank: int, ranks: int, workers: int = 0):
    from tamis.transforms.feed.for_torch import CurriculumDataset as TorchDataset
    from tamis.transforms.feed.for_torch import PlannedLoader

    return PlannedLoader(TorchDataset(run, "bytes", LENGTH, BATCH, rank=rank, world_size=ranks), workers)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_resumes_on_another_number_of_ranks_where_it_stopped(run, steps, workers):
    loader = planned_loader(run, 0, 2, workers)
    assert isinstance(loader, stateful.Stateful)  # what torchtitan's checkpoints ask for
    assert len(loader) == len(steps)
    batches = iter(loader)
    first = [next(batches).tokens.numpy() for _ in range(5)]
    assert (np.stack(first) == steps[:5, : BATCH // 2]).all()
    state = loader.state_dict()
    rest = []
    for rank in range(4):
        later = planned_loader(run, rank, 4, workers)
        later.load_state_dict(state)
        assert later.state_dict() == state
        assert len(later) == len(steps)
        rest.append(np.stack([batch.tokens.numpy() for batch in later]))
    assert (np.concatenate(rest, axis=1) == steps[5:]).all()


def test_a_loader_that_follows_the_plan_resumes_on_another_number_of_ranks(run):
    from tamis.transforms.feed.for_torch import CurriculumDataset as TorchDataset
    from tamis.transforms.feed.for_torch import PlannedLoader

    write_plan(run, hints=[BatchHint(token=300, phase="best", factor=0.5, stable_tokens=100, ramp_tokens=0)])
    options = {"tokenizer": "bytes", "sequence_length": LENGTH, "batch_size": BATCH, "batch_increment": 4}
    planned = [batch.tokens for batch in CurriculumDataset(run, **options)]
    assert {len(tokens) for tokens in planned} == {BATCH, BATCH // 2}

    def loaders(ranks: int) -> list[PlannedLoader]:
        return [PlannedLoader(TorchDataset(run, rank=rank, world_size=ranks, **options)) for rank in range(ranks)]

    two, four = loaders(2), loaders(4)
    steps = list(islice(zip(*two, strict=True), len(planned) // 2))
    for loader in four:
        loader.load_state_dict(two[0].state_dict())
    steps += zip(*four, strict=True)
    for step, tokens in zip(steps, planned, strict=True):
        assert (np.concatenate([batch.tokens for batch in step]) == tokens).all()


def lightning_sees(run: str, rank: int, ranks: int, folder: Path, checkpoint: Path | None = None) -> np.ndarray:
    """What one rank sees, (steps, sequences, tokens); it leaves the checkpoint `folder`/step=5.ckpt."""
    lightning = pytest.importorskip("lightning", reason="lightning is not installed")

    class Model(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.recorder = Recorder()

        def training_step(self, batch):
            return self.recorder(batch.tokens, batch.tokens, batch.positions)["loss"]

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    model = Model()
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    keep = lightning.pytorch.callbacks.ModelCheckpoint(folder, "{step}", every_n_train_steps=5, save_top_k=-1)
    trainer = lightning.Trainer(accelerator="cpu", devices=1, max_epochs=1, callbacks=[keep], **quiet)
    trainer.fit(model, planned_loader(run, rank, ranks), ckpt_path=checkpoint)
    return np.stack(model.recorder.seen)


def test_lightning(run, steps, tmp_path):
    whole = [lightning_sees(run, rank, 2, tmp_path) for rank in range(2)]
    assert (np.concatenate(whole, axis=1) == steps).all()


def test_lightning_resumes_on_another_number_of_ranks(run, steps, tmp_path):
    lightning_sees(run, 0, 2, tmp_path)
    rest = [lightning_sees(run, rank, 4, tmp_path / "later", tmp_path / "step=5.ckpt") for rank in range(4)]
    assert (np.concatenate(rest, axis=1) == steps[5:]).all()


# --- streaming and litdata ---------------------------------------------------------------------------------------------


def streaming_steps(streaming, documents: int, nodes: int, workers: int, drop: int, canonical: int) -> list[list[int]]:
    """The numbers of the documents that the ranks of all nodes, two each, take together in each step of 4 a rank."""
    parts = streaming.base.partition.get_partitions("relaxed", documents, canonical, nodes, 2, workers, 4, drop)
    return parts.transpose(3, 2, 0, 1, 4).reshape(-1, nodes * 2 * 4).tolist()


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("workers", [1, 2])
def test_streaming_takes_the_documents_of_each_step_in_the_planned_order(nodes, workers):
    """By the reader's own partition; inside a step the ranks deal the documents out by turns."""
    streaming = pytest.importorskip("streaming", reason="mosaicml-streaming is not installed")
    size = nodes * 2 * 4
    whole = streaming_steps(streaming, 192, nodes, workers, 0, 1)
    assert [sorted(step) for step in whole] == np.arange(192).reshape(-1, size).tolist()
    resumed = streaming_steps(streaming, 192, 3 - nodes, workers, 64, 1)
    assert [sorted(step) for step in resumed] == np.arange(64, 192).reshape(-1, (3 - nodes) * 2 * 4).tolist()


def test_streaming_needs_one_canonical_node():
    """By default each of two nodes reads a half of the run."""
    streaming = pytest.importorskip("streaming", reason="mosaicml-streaming is not installed")
    first = streaming_steps(streaming, 192, 2, 1, 0, 2)[0]
    assert sorted(first) == [*range(8), *range(96, 104)]


def litdata_loader(folder: Path, rank: int, ranks: int, state: dict | None = None):
    litdata = pytest.importorskip("litdata", reason="litdata is not installed")
    from litdata.utilities.env import _DistributedEnv

    dataset = litdata.StreamingDataset(str(folder), shuffle=False)
    dataset.distributed_env = _DistributedEnv(ranks, rank, 1)
    loader = litdata.StreamingDataLoader(dataset, batch_size=BATCH // ranks)
    if state is not None:
        loader.load_state_dict(state)
    return loader


def test_litdata_gives_each_rank_a_stretch_of_its_own(tmp_path):
    """Which is why its ranks begin with the state of a single one."""
    export(release(tmp_path / "run", TEXTS), "litdata", str(tmp_path / "out"))
    firsts = [next(iter(litdata_loader(tmp_path / "out", rank, 2)))["id"][0] for rank in range(2)]
    assert firsts == ["doc-0", "doc-100"]


def test_litdata_keeps_the_order_from_the_state_of_a_single_rank(tmp_path):
    """Two ranks for three steps, then four."""
    export(release(tmp_path / "run", TEXTS), "litdata", str(tmp_path / "out"))
    one = litdata_loader(tmp_path / "out", 0, 1)
    next(iter(one))
    state = one.state_dict()
    state["num_samples_yielded"] = state["dataset"]["num_samples_yielded"] = state["dataset"]["sample_in_epoch"] = 0
    two = [litdata_loader(tmp_path / "out", rank, 2, state) for rank in range(2)]
    steps = list(islice(zip(*two, strict=True), 3))
    four = [litdata_loader(tmp_path / "out", rank, 4, two[0].state_dict()) for rank in range(4)]
    steps += zip(*four, strict=True)
    assert [id for step in steps for batch in step for id in batch["id"]] == [f"doc-{number}" for number in range(200)]
