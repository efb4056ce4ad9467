"""Deduplication does not depend on the division into parts, and keeps the best copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tamis.transforms.beam.exchange import Gathered, PartState, addressed, spill_rows
from tamis.transforms.core.documents import row_of
from tamis.transforms.dedup.deduplicate import Deduplicate, SpanningForest, spill_shingles
from tamis.transforms.dedup.minhash import MinHash, ShortTexts, sketch
from tamis.transforms.text.hashing import hash128
from tamis.transforms.text.segment import segment
from tamis.transforms.text.words import DEFAULT_WORDS, Words
from tests.transforms.beam.beam_run import part_states_of, rows_of, run

OPTIONS = MinHash()
WORDS = np.array(
    [f"{a}{b}" for a in ("ba", "co", "di", "fu", "ge", "hy", "lo", "mi") for b in ("n", "rt", "sk", "tan", "lum", "ves")]
)


def table_of(texts: list[str]) -> pa.Table:
    """Documents of these texts, the best first."""
    text = pa.array(texts, pa.large_string())
    hashes = hash128(text)
    return pa.table(
        {
            "id": [f"d{number}" for number in range(len(texts))],
            "quality": pa.array(-np.arange(len(texts)), pa.float32()),
            "tie_break": pa.array(np.zeros(len(texts), np.uint64)),
            "text_hash_0": pa.array(hashes[:, 0]),
            "text_hash_1": pa.array(hashes[:, 1]),
            "bands": sketch(segment(text), OPTIONS),
            "text": text,
        }
    )


_HOW = "Show each step and then write the final answer on the line below ."
_MONTHS = ("Jan", "Feb", "Mar", "Apr")


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        ([f"Compute the following: {a} + {10 + a * 7 % 90} . {_HOW}" for a in range(11, 51)], 40),
        (["\n".join(f"{month} {100 + n * 37 % 900} {10 + n * 53 % 90}" for month in _MONTHS) for n in range(1, 21)], 20),
        ([f"def f(a, b):\n    c = a {x} b\n    d = c {y} a\n    return d * c\n" for x in "+/" for y in "+-"], 4),
        (["if not a then return b else return c now", "IF NOT A THEN RETURN B ELSE RETURN C NOW"], 2),
        ([f"Compute the following: 27 + 82 . {_HOW}", f"Compute\nthe following:  27 + 82 .\n\n{_HOW}"], 1),
    ],
)
def test_digits_operators_and_case_tell_texts_apart_unless_they_are_folded(tmp_path, texts, kept):
    """All of these texts fold to one, and share every band."""
    table = table_of(texts)
    assert len(set(map(tuple, table["bands"].to_pylist()))) == 1
    for fold, left in ((False, kept), (True, 1)):
        results = verdicts(table, [list(range(len(texts)))], tmp_path, MinHash(fold=fold))
        assert sum(row[0] is None for row in results.values()) == left


def planted(seed: int = 0, originals: int = 40) -> pa.Table:
    """Originals of 200 words; every third with an equal copy, every fourth with one that has four other words (J about 0.8)."""
    draw = np.random.default_rng(seed)
    texts, ids = [], []
    for number in range(originals):
        words = draw.choice(WORDS, 200)
        texts.append(" ".join(words))
        ids.append(f"original-{number:02d}")
        if number % 3 == 0:
            texts.append(" ".join(words))
            ids.append(f"equal-{number:02d}")
        if number % 4 == 0:
            changed = words.copy()
            changed[[20, 70, 120, 170]] = ["eins", "zwei", "drei", "vier"]
            texts.append(" ".join(changed))
            ids.append(f"edited-{number:02d}")
    texts += ["", "same", "same", "other"]
    ids += ["empty", "short-1", "short-2", "short-3"]
    text = pa.array(texts, pa.large_string())
    hashes = hash128(text)
    return pa.table(
        {
            "id": ids,
            "quality": pa.array(draw.random(len(ids)), pa.float32()),
            "tie_break": pa.array(draw.integers(0, 2**63, len(ids)).astype(np.uint64)),
            "text_hash_0": pa.array(hashes[:, 0]),
            "text_hash_1": pa.array(hashes[:, 1]),
            "bands": sketch(segment(text), OPTIONS),
            "text": text,
        }
    )


def rows(part_state: PartState) -> pa.RecordBatch:
    return rows_of(part_state).drop_columns(["text"])


def texts(part_state: PartState, requested: np.ndarray):
    for chunk in np.array_split(requested, 2):
        if len(chunk):
            yield chunk, rows_of(part_state)["text"].take(pa.array(chunk))


def rows_without_bands(part_state: PartState) -> pa.RecordBatch:
    return rows_of(part_state).drop_columns(["text", "bands"])


def verdicts(table, parts, folder, options=OPTIONS, partitions=3, words=DEFAULT_WORDS):
    load = rows if options is not None else rows_without_bands
    by_id = {}
    out = run(part_states_of(table, parts), lambda spill: Deduplicate(options, load, texts, spill, partitions, words), folder)
    for part_state in out:
        results = part_state.result("copies")
        ids = rows_of(part_state)["id"].to_pylist()
        for row in results.to_pylist() if results is not None else []:
            identifier = ids[int(row_of(np.array([row["doc_ref"]], np.uint64))[0])]
            by_id[identifier] = (row["duplicate_of"], row["kind"], row["jaccard"], row["copies"])
    return by_id


def test_planted_copies_are_found_and_the_best_of_them_stays(tmp_path):
    table = planted()
    quality = dict(zip(table["id"].to_pylist(), table["quality"].to_pylist(), strict=True))
    results = verdicts(table, [list(range(30)), list(range(30, len(table)))], tmp_path)
    for number in range(0, 40, 3):
        pair = {f"original-{number:02d}", f"equal-{number:02d}"}
        pair |= {f"edited-{number:02d}"} if number % 4 == 0 else set()
        keepers = [name for name in pair if results[name][0] is None]
        assert keepers == [max(pair, key=quality.__getitem__)]
        assert results[keepers[0]][3] == len(pair)
    assert {name for name in results if "short" in name} == {"short-1", "short-2"}
    assert "empty" not in results
    edited = [row for name, row in results.items() if row[1] == "near"]
    assert edited
    assert all(0.7 <= row[2] < 1 for row in edited)


EVERY_RULE = MinHash(containment=0.5, preserve=0.4, short=ShortTexts(words=150, threshold=0.6))


@pytest.mark.parametrize(("partitions", "options"), [(1, OPTIONS), (2, OPTIONS), (5, OPTIONS), (3, EVERY_RULE)])
def test_the_result_does_not_depend_on_split_or_partitions(tmp_path, partitions, options):
    table = planted(seed=4)
    order = np.random.default_rng(7).permutation(len(table)).tolist()
    one = verdicts(table, [list(range(len(table)))], tmp_path, options)
    cut = [order[:10], [], order[10:33], order[33:]]
    assert verdicts(table, cut, tmp_path, options, partitions) == one


def test_similarity_is_of_the_declared_words(tmp_path):
    """Without spaces, each text is a single white-space word, and an edited copy is another one."""
    table = planted()
    text = pc.replace_substring(table["text"], " ", "-")
    table = table.set_column(table.schema.get_field_index("text"), "text", text)
    for words, near in ((DEFAULT_WORDS, True), (Words(definition="whitespace"), False)):
        results = verdicts(table, [list(range(len(table)))], tmp_path, words=words)
        assert any(row[1] == "near" for row in results.values()) == near


def test_without_minhash_only_equal_texts_are_copies(tmp_path):
    results = verdicts(planted(), [list(range(20)), list(range(20, len(planted())))], tmp_path, options=None)
    assert {row[1] for row in results.values()} == {None, "exact"}
    assert sum(row[1] == "exact" for row in results.values()) == 15


def test_memory_does_not_hold_the_shingles_of_a_component(tmp_path):
    """A component is always in one partition, however large it is."""

    def anonymous_memory() -> int:
        (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon:"))
        return int(line.split()[1]) << 10

    draw, pieces, sets = np.random.default_rng(0), [], []
    for number in range(24):
        values = draw.integers(0, 1 << 63, 1 << 20, dtype=np.uint64)
        sets.append(values[[0, -1]])
        first = pa.array([0, 1 << 19, 1 << 19, 1 << 20])
        lists = pa.LargeListArray.from_arrays(first, pa.array(values), mask=pa.array([False, True, False]))
        batch = pa.record_batch({"doc_ref": pa.array([3 * number + row for row in range(3)], pa.uint64()), "shingles": lists})
        pieces += [piece for _, piece in spill_rows(addressed(batch, np.zeros(3)), str(tmp_path))]
    before = anonymous_memory()
    documents, (start, end, values) = spill_shingles(Gathered(0, tuple(pieces)), str(tmp_path))
    assert anonymous_memory() - before < values.nbytes // 3
    assert values.nbytes == 24 << 23
    assert (end - start).tolist() == [1 << 19, 0, 1 << 19] * 24
    order = documents["doc_ref"].to_numpy()[::3] // 3
    ends = values[np.stack([start[::3], end[2::3] - 1], axis=1)]
    assert np.array_equal(ends, np.stack(sets)[order])


def test_no_documents(tmp_path):
    assert verdicts(planted().slice(0, 0), [[], []], tmp_path) == {}


def test_partial_forests_merge_in_any_order():
    draw = np.random.default_rng(3)
    edges = draw.integers(0, 300, (400, 2)).astype(np.uint64)
    fn = SpanningForest()
    expected = fn.extract_output(fn.add_input(fn.create_accumulator(), edges))
    pieces = [fn.add_input(fn.create_accumulator(), piece) for piece in np.array_split(edges[draw.permutation(400)], 7)]
    assert np.array_equal(fn.extract_output(fn.merge_accumulators(pieces[::-1])), expected)
