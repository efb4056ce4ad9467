"""Runs as token ids: documents with their ends, batches in any order, samples of each source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipelines.training.tokenized_corpus import DocumentSizes, make_batches, measure_documents, read_corpus, sample
from tamis.transforms.feed.text_to_ids import load_tokenizer
from tests.pipelines.training.test_compare_orders import corpus
from tests.transforms.feed.releases import release

BYTES = load_tokenizer("bytes")


def test_batches_are_the_concatenated_documents() -> None:
    one, documents = corpus(), np.array([5, 3, 3, 9, 1, 0, 7])
    batches = make_batches(one, documents, 4, 2)
    tokens = np.concatenate([np.repeat(document, one.lengths[document]) for document in documents])
    full = len(tokens) // 4 * 4
    assert {len(batch.tokens) for batch in batches[:-1]} == {2}
    assert (np.concatenate([batch.tokens.ravel() for batch in batches]) == tokens[:full]).all()
    owners = np.concatenate([np.full(one.lengths[document], index) for index, document in enumerate(documents)])[:full]
    segments, positions = (np.concatenate([getattr(batch, name) for batch in batches]) for name in ("segments", "positions"))
    for row, owner in enumerate(owners.reshape(-1, 4)):
        assert segments[row].tolist() == (owner - owner[0] + 1).tolist()
        assert positions[row].tolist() == [int((owner[:column] == owner[column]).sum()) for column in range(4)]
    assert make_batches(one, documents[:0], 4, 2) == []


def test_documents_are_read_with_an_end_each(tmp_path: Path) -> None:
    run = release(tmp_path, [["ab", "é"], ["c"]])
    documents = read_corpus(run, BYTES)
    assert documents.ids.tolist() == [97, 98, 256, *"é".encode(), 256, 99, 256]
    assert documents.lengths.tolist() == [3, 3, 2]
    assert read_corpus(run, BYTES, np.array([False, True, True])).ids.tolist() == [*"é".encode(), 256, 99, 256]
    sizes = measure_documents(run, BYTES)
    assert sizes.lengths.tolist() == [3, 3, 2]
    assert (sizes.tie_break == documents.tie_break).all()
    assert (sizes.source == documents.source).all()


@given(st.integers(1, 60), st.floats(0.01, 1), st.integers(0, 100))
def test_a_sample_has_its_share_of_each_source_and_all_copies_of_a_document(number: int, share: float, draw: int) -> None:
    rng = np.random.default_rng(draw)
    ids = rng.integers(0, number, number)  # some documents have copies
    lengths, source = rng.integers(1, 9, number)[ids], rng.integers(0, 3, number)[ids]
    documents = DocumentSizes(lengths, rng.integers(0, 1 << 63, number).astype(np.uint64)[ids], source)
    kept = sample(documents, share, draw)
    assert (kept == sample(documents, share, draw)).all()
    assert {tuple(set(kept[ids == one])) for one in ids} <= {(True,), (False,)}
    for one in np.unique(source):
        tokens, total = lengths[kept & (source == one)].sum(), lengths[source == one].sum()
        copies = [lengths[ids == each].sum() for each in np.unique(ids[source == one])]
        assert share * total <= tokens + 1e-9
        assert tokens < share * total + max(copies)
    assert not (kept & ~sample(documents, 1.0, draw)).any()


def test_samples_are_nested_and_differ_by_seed() -> None:
    documents = corpus(400)
    small, large, other = sample(documents, 0.2, 0), sample(documents, 0.5, 0), sample(documents, 0.2, 1)
    assert not (small & ~large).any()
    assert (small != other).any()
