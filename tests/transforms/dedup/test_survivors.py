"""Every dropped document is verified against the one that is kept, no copy is lost, and order does not matter."""

import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.transforms.dedup import survivors as survivors_module
from tamis.transforms.dedup.components import bucket_edges, forest
from tamis.transforms.dedup.drop_rule import DropRule, DropRules
from tamis.transforms.dedup.minhash import MinHash
from tamis.transforms.dedup.shingles import shingles
from tamis.transforms.dedup.survivors import VERDICT_SCHEMA, best_first, spans
from tamis.transforms.text.segment import segment
from tests.transforms.dedup.text_verdicts import from_texts

TYPES = {
    "component": pa.uint64(),
    "doc_ref": pa.uint64(),
    "id": pa.string(),
    "quality": pa.float32(),
    "tie_break": pa.uint64(),
    "text_hash_0": pa.uint64(),
    "text_hash_1": pa.uint64(),
    "bands": pa.list_(pa.uint64()),
    "shingles": pa.large_list(pa.uint64()),
}


def table_of(rows):
    # not from_pandas, which would turn NaN into null: quality may be either
    return pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in TYPES.items()})


def survivors(table, threshold, crowding=survivors_module.CROWDING, containment=0.0, preserve=0.0):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(survivors_module, "CROWDING", crowding)
        rule = DropRule(threshold, containment, preserve)
        return survivors_module.survivors(table, spans(table["shingles"]), DropRules(rule, rule))


def row(doc_ref, shingles, bands, text=None, **more):
    """A document of component 0 whose quality decreases with its doc_ref; `text` identifies its exact content."""
    document = {
        "component": 0,
        "doc_ref": doc_ref,
        "id": f"d{doc_ref}",
        "quality": 1 - doc_ref / 1000,
        "tie_break": doc_ref,
        "text_hash_0": 7,
        "text_hash_1": doc_ref if text is None else text,
        "bands": bands,
        "shingles": sorted(shingles),
    }
    return document | more


def rank(document):
    quality = document["quality"]
    missing = quality is None or math.isnan(quality)
    return missing, 0 if missing else -quality, document["tie_break"], document["id"]


def jaccard_of(a, b):
    a, b = set(a["shingles"]), set(b["shingles"])
    return len(a & b) / len(a | b)


def containment_of(document, other):
    """0 if the other one is shorter."""
    a, b = set(document["shingles"]), set(other["shingles"])
    return len(a & b) / len(a) if len(a) <= len(b) else 0.0


def reference(rows, threshold, containment=0.0, preserve=0.0):
    """The verdicts by doc_ref, with Python sets, one document and one pair at a time."""

    def replaces(other, document):
        similar = jaccard_of(document, other) >= threshold
        contained = containment > 0 and containment_of(document, other) >= containment
        return (similar or contained) and containment_of(document, other) >= preserve

    verdicts = {}
    for component in {document["component"] for document in rows}:
        kept, heads = [], {}
        for document in sorted((d for d in rows if d["component"] == component), key=rank):
            content = document["text_hash_0"], document["text_hash_1"]
            if content in heads:
                head = heads[content]
                exact = verdicts[head["doc_ref"]][0] is None
                verdicts[document["doc_ref"]] = (head["id"], 1.0, "exact") if exact else verdicts[head["doc_ref"]]
                continue
            heads[content] = document
            candidates = [other for other in kept if set(other["bands"] or ()) & set(document["bands"] or ())]
            scored = [(jaccard_of(document, other), other) for other in candidates if replaces(other, document)]
            best = max(scored, key=lambda pair: pair[0], default=(0.0, None))  # the first of equals has the best rank
            if best[1] is not None:
                verdicts[document["doc_ref"]] = best[1]["id"], best[0], "near" if best[0] >= threshold else "contained"
            else:
                verdicts[document["doc_ref"]] = None, None, None
                kept.append(document)
    ids = {document["doc_ref"]: document["id"] for document in rows}
    stands_for = Counter(of if of is not None else ids[doc_ref] for doc_ref, (of, _, _) in verdicts.items())
    return {
        doc_ref: (of, jaccard, kind, stands_for[ids[doc_ref]] if of is None else None)
        for doc_ref, (of, jaccard, kind) in verdicts.items()
    }


def decide(rows, threshold=0.7, crowding=survivors_module.CROWDING, **shares):
    verdicts = survivors(table_of(rows), threshold, crowding, **shares)
    assert verdicts.schema == VERDICT_SCHEMA
    doc_refs = verdicts["doc_ref"].to_pylist()
    assert doc_refs == sorted(document["doc_ref"] for document in rows)
    return {v["doc_ref"]: (v["duplicate_of"], v["jaccard"], v["kind"], v["copies"]) for v in verdicts.to_pylist()}


def with_components(rows):
    """Sets the component of each document: the least doc_ref of all that a band or an equal text links to it."""
    links = [((0, band), d["doc_ref"]) for d in rows for band in d["bands"] or ()]
    links += [((1, d["text_hash_1"]), d["doc_ref"]) for d in rows]
    places = {key: place for place, key in enumerate(sorted({key for key, _ in links}))}
    edges = bucket_edges(
        np.array([places[key] for key, _ in links], np.uint64), np.array([doc_ref for _, doc_ref in links], np.uint64)
    )
    root = {int(node): int(least) for least, node in forest(edges)}
    return [d | {"component": root.get(d["doc_ref"], d["doc_ref"])} for d in rows]


CONTENTS = st.tuples(
    st.sets(st.integers(0, 9), min_size=1),  # shingles
    st.none() | st.sets(st.integers(0, 5), min_size=1, max_size=3),  # bands
)


@st.composite
def corpora(draw):
    contents = draw(st.lists(CONTENTS, min_size=1, max_size=8))
    rows = []
    for doc_ref in draw(st.lists(st.integers(0, 2**40), unique=True, max_size=14)):
        text = draw(st.integers(0, len(contents) - 1))
        shingles, bands = contents[text]
        rows.append(
            row(
                doc_ref,
                shingles,
                bands and sorted(bands),
                text,
                quality=draw(st.sampled_from([None, float("nan"), 0.25, 0.5, -1.0])),
                tie_break=draw(st.integers(0, 2)),
            )
        )
    return with_components(rows)


@settings(max_examples=300)
@given(corpora(), st.sampled_from([1e-9, 0.1, 0.5, 0.7, 1.0]), st.sampled_from([0, 1, 2, 1000]))
def test_the_decision_is_that_of_sets(rows, threshold, crowding):
    assert decide(rows, threshold, crowding) == reference(rows, threshold)


SHARES = st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0])


@settings(max_examples=300)
@given(corpora(), st.sampled_from([0.3, 0.7, 1.0]), st.sampled_from([0, 1, 1000]), SHARES, SHARES)
def test_with_containment_the_decision_is_that_of_sets(rows, threshold, crowding, containment, preserve):
    shares = {"containment": containment, "preserve": preserve}
    assert decide(rows, threshold, crowding, **shares) == reference(rows, threshold, **shares)


@pytest.mark.parametrize(
    ("threshold", "crowding", "shares"),
    [
        (0.5, 0, {}),
        (0.7, 30, {}),
        (0.8, 10, {}),
        (0.8, 10, {"containment": 0.9}),
        (0.7, 0, {"containment": 0.7}),
        (0.5, 10, {"preserve": 0.9}),
    ],
)
def test_in_a_large_bucket_no_pair_that_reaches_the_threshold_is_missed(threshold, crowding, shares):
    """300 pages of three templates share a bucket, or none: variants of each other, and of any similarity to the rest."""
    draw = np.random.default_rng(4)
    templates = [draw.integers(0, 1 << 63, 60) for _ in range(3)]
    sets = []
    for _ in range(300):
        if sets and draw.random() < 0.4:
            page = list(sets[draw.integers(len(sets))])
            page = page[: draw.integers(len(page) * 3 // 4, len(page) + 1)]
        else:
            template = templates[draw.integers(3)]
            page = list(draw.choice(template, draw.integers(1, len(template) + 1), replace=False))
        sets.append({*page, *draw.integers(0, 1 << 63, draw.integers(0, 40))})
    bands = [sorted({0, draw.integers(1, 4), draw.integers(4, 300)} - {0 if draw.random() < 0.1 else -1}) for _ in sets]
    rows = [row(number, page, own) for number, (page, own) in enumerate(zip(sets, bands, strict=True))]
    rows = [document | {"quality": None, "tie_break": int(draw.integers(1 << 40))} for document in rows]
    verdicts = decide(rows, threshold, crowding, **shares)
    assert verdicts == reference(rows, threshold, **shares)
    kept = sum(of is None for of, *_ in verdicts.values())
    assert 100 < kept < 295


@settings(max_examples=150)
@given(corpora(), st.sampled_from([0.3, 0.7]))
def test_every_drop_is_justified_and_no_copy_is_lost(rows, threshold):
    verdicts = decide(rows, threshold)
    by_id = {document["id"]: document for document in rows}
    kept = [document for document in rows if verdicts[document["doc_ref"]][0] is None]
    assert sum(verdicts[document["doc_ref"]][3] for document in kept) == len(rows)
    for document in rows:
        of, jaccard, kind, copies = verdicts[document["doc_ref"]]
        if of is None:
            assert (jaccard, kind) == (None, None)
            continue
        assert copies is None
        representative = by_id[of]
        assert verdicts[representative["doc_ref"]][0] is None
        assert rank(representative) < rank(document)
        assert jaccard == jaccard_of(document, representative)
        assert jaccard >= threshold
        assert (kind == "exact") == (document["text_hash_1"] == representative["text_hash_1"])
    for document in kept:
        for other in kept:
            if document["id"] < other["id"] and set(document["bands"] or ()) & set(other["bands"] or ()):
                assert jaccard_of(document, other) < threshold
                assert document["text_hash_1"] != other["text_hash_1"]


@settings(max_examples=100)
@given(corpora(), st.data())
def test_the_sources_of_copies_are_those_of_all_that_a_kept_document_stands_for(rows, data):
    sources = data.draw(st.lists(st.sampled_from(["web", "book", "code"]), min_size=len(rows), max_size=len(rows)))
    verdicts = survivors(table_of(rows).append_column("source", pa.array(sources, pa.string())), 0.5).to_pylist()
    source = {document["doc_ref"]: name for document, name in zip(rows, sources, strict=True)}
    ids = {document["doc_ref"]: document["id"] for document in rows}
    for verdict in verdicts:
        own = ids[verdict["doc_ref"]]
        represented = {source[v["doc_ref"]] for v in verdicts if own in (ids[v["doc_ref"]], v["duplicate_of"])}
        assert verdict["sources"] == (sorted(represented) if verdict["duplicate_of"] is None else None)


@settings(max_examples=100)
@given(corpora(), st.randoms())
def test_neither_row_order_nor_the_split_over_tables_matters(rows, random):
    expected = decide(rows)
    shuffled = random.sample(rows, len(rows))
    assert decide(shuffled) == expected
    separate = {}
    for component in {document["component"] for document in rows}:
        separate |= decide([document for document in shuffled if document["component"] == component])
    assert separate == expected


@settings(max_examples=100)
@given(corpora(), st.sampled_from([0.3, 0.7]))
def test_lesser_exact_copies_need_no_shingles(rows, threshold):
    table = table_of(rows)
    seen, spared = set(), list(rows)
    for place in best_first(table, ["text_hash_0", "text_hash_1"]).to_pylist():
        if rows[place]["text_hash_1"] in seen:
            spared[place] = rows[place] | {"shingles": None}
        seen.add(rows[place]["text_hash_1"])
    assert decide(spared, threshold) == decide(rows, threshold)


@given(corpora())
def test_best_first_ranks_by_quality_tie_and_id(rows):
    order = best_first(table_of(rows), []).to_pylist()
    assert [rows[place] for place in order] == sorted(rows, key=rank)


@given(corpora(), st.data())
def test_the_rank_of_the_source_and_then_the_preference_go_before_quality(rows, data):
    column = st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows))
    ranks, preferences = data.draw(column), data.draw(column)
    table = table_of(rows).append_column("source_rank", pa.array(ranks, pa.int64()))
    order = best_first(table.append_column("preference", pa.array(preferences, pa.int64())), []).to_pylist()
    places = sorted(range(len(rows)), key=lambda place: (ranks[place], -preferences[place], rank(rows[place])))
    assert [rows[place] for place in order] == [rows[place] for place in places]


def test_a_chain_of_near_duplicates_keeps_its_other_end():
    """A ~ B ~ C with J(A, B) = J(B, C) = 9/11 and J(A, C) = 8/12: one component, but C is no copy of A."""
    rows = [row(1, range(10), [1]), row(2, range(1, 11), [1, 2]), row(3, range(2, 12), [1, 2])]
    verdicts = decide(rows)
    assert verdicts == {1: (None, None, None, 2), 2: ("d1", 9 / 11, "near", None), 3: (None, None, None, 1)}


def test_an_excerpt_is_dropped_for_the_page_that_contains_it_and_never_the_page_for_its_excerpt():
    page, excerpt, other = row(1, range(40), [1]), row(2, [*range(10), 90], [1]), row(3, [*range(8), 91, 92, 93], [1])
    assert [of for of, *_ in decide([page, excerpt, other]).values()] == [None, None, None]
    (contained,) = survivors(table_of([page, excerpt, other]), 0.7, containment=0.9).slice(1, 1).to_pylist()
    assert (contained["duplicate_of"], contained["kind"]) == ("d1", "contained")
    assert (contained["jaccard"], contained["containment"]) == (10 / 41, 10 / 11)
    best = excerpt | {"quality": 2.0}
    assert [of for of, *_ in decide([page, best, other], containment=0.9).values()] == [None, None, None]


def test_what_a_near_duplicate_alone_says_is_preserved():
    """The vector of the information rule, in runs of three words: `b c d e f` alone has `d e f`."""
    (first, hashes) = shingles(segment(pa.array(["a b c d e", "a b c d", "b c d e f"])), 3, fold=False)
    sets = [hashes[first[place] : first[place + 1]].tolist() for place in range(3)]
    rows = [row(number, own, [1]) for number, own in enumerate(sets, 1)]
    assert [of for of, *_ in decide(rows, 0.4).values()] == [None, "d1", "d1"]
    assert [of for of, *_ in decide(rows, 0.4, preserve=1.0).values()] == [None, "d1", None]
    longer = [row(1, range(9), [1]), row(2, range(10), [1])]
    assert [of for of, *_ in decide(longer, preserve=0.1).values()] == [None, None]


def test_the_most_similar_representative_wins_and_the_better_of_equals():
    a, b = range(10), range(5, 15)
    verdicts = decide([row(1, a, [1]), row(2, b, [1]), row(3, {*b} | {1}, [1]), row(4, range(3, 12), [1])], 0.5)
    assert verdicts[3] == ("d2", 10 / 11, "near", None)
    assert verdicts[4] == ("d1", 7 / 12, "near", None)


def test_an_exact_copy_of_a_dropped_head_points_to_what_is_kept():
    rows = [row(1, range(10), [1]), row(2, range(9), [1], text=5), row(3, range(9), [1], text=5)]
    verdicts = decide(rows)
    assert verdicts == {1: (None, None, None, 3), 2: ("d1", 0.9, "near", None), 3: ("d1", 0.9, "near", None)}


def test_half_of_the_hash_is_not_equality():
    rows = [row(1, [1], None, text=5), row(2, [2], None, text=5, text_hash_0=8)]
    assert [of for of, *_ in decide(rows).values()] == [None, None]


def test_the_threshold_itself_is_a_duplicate():
    verdicts = decide([row(1, range(10), [1]), row(2, range(7), [1])], threshold=0.7)
    assert verdicts[2] == ("d1", 0.7, "near", None)


def test_without_a_shared_band_nothing_is_compared():
    verdicts = decide([row(1, range(10), [1]), row(2, range(10), [2])])
    assert [of for of, *_ in verdicts.values()] == [None, None]


def test_bands_without_shingles_are_an_error_that_names_the_document():
    with pytest.raises(ValueError, match="document 'd2' has bands but no shingles"):
        survivors(table_of([row(1, [1], [1]), row(2, [2], [1]) | {"shingles": None}]), 0.7)


def test_no_documents():
    verdicts = survivors(table_of([]), 0.7)
    assert verdicts.schema == VERDICT_SCHEMA
    assert len(verdicts) == 0


@pytest.mark.parametrize("kind", [pa.list_(pa.uint64(), 2), pa.list_(pa.uint64()), pa.large_list(pa.uint64())])
def test_bands_may_be_any_kind_of_list_in_chunks_and_slices(kind):
    rows = [row(0, [1], None), row(1, range(10), [1, 2]), row(2, range(9), [4, 2]), row(3, [3], None), row(4, [4], [1, 5])]
    table = table_of(rows)
    bands = pa.array([document["bands"] for document in rows], kind)
    table = table.set_column(table.column_names.index("bands"), "bands", pa.chunked_array([bands[:2], bands[2:]]))
    verdicts = survivors(pa.concat_tables([table.slice(3), table.slice(1, 2)]), 0.7)
    assert verdicts["duplicate_of"].to_pylist() == [None, "d1", None, None]
    nothing = table.set_column(table.column_names.index("bands"), "bands", pa.nulls(len(rows), kind))
    assert survivors(nothing, 0.7)["copies"].to_pylist() == [1] * 5


def test_planted_near_duplicates_are_found_and_unrelated_documents_stay():
    rng = np.random.default_rng(6)
    vocabulary = [f"{a}{b}{c}" for a in "bcdfglmnprst" for b in "aeiou" for c in "klmnrst"]
    texts = []
    for _ in range(60):
        words = rng.choice(vocabulary, 300)
        edited = words.copy()
        edited[150] = "changed"  # 5 of 296 shingles differ: J = 291 / 301
        texts += [" ".join(words), "\n".join(edited), " ".join(words)]
    verdicts, sets = from_texts([*texts, "", "", "?", "cat", "dog", "cat "], MinHash())
    for base in range(0, len(texts), 3):
        cluster = verdicts[base : base + 3]
        (keeper,) = [v for v in cluster if v["duplicate_of"] is None]
        assert keeper["copies"] == 3
        for verdict in cluster:
            if verdict is not keeper:
                a, b = sets[verdict["doc_ref"]], sets[keeper["doc_ref"]]
                assert verdict["duplicate_of"] == f"d{keeper['doc_ref']}"
                assert verdict["jaccard"] == len(a & b) / len(a | b)
                assert verdict["jaccard"] in (1.0, 291 / 301)
    empty, again, sign, cat, dog, cat_again = verdicts[len(texts) :]
    assert sorted([empty["kind"], again["kind"]], key=str) == [None, "exact"]
    assert sign["copies"] == dog["copies"] == 1
    assert sorted([cat["kind"], cat_again["kind"]], key=str) == [None, "near"]


@pytest.mark.slow
def test_on_web_pages_nothing_above_the_threshold_that_shares_a_band_stays(shared):
    import json

    import zstandard

    texts = []
    for part in range(2):
        with zstandard.open(shared / "web" / f"weborganizer-{part:02}.jsonl.zst", "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in lines]
    texts += [text[: len(text) * 9 // 10] for text in texts[:300]]
    verdicts, sets = from_texts(texts, MinHash())
    assert sum(v["copies"] or 0 for v in verdicts) == len(texts)
    dropped = [v for v in verdicts if v["duplicate_of"] is not None]
    assert len(dropped) > 250
    for verdict in dropped:
        representative = int(verdict["duplicate_of"][1:])
        a, b = sets[verdict["doc_ref"]], sets[representative]
        assert verdicts[representative]["duplicate_of"] is None
        assert verdict["jaccard"] == (len(a & b) / len(a | b) if verdict["kind"] == "near" else 1.0)
        assert verdict["jaccard"] >= 0.7


@settings(max_examples=100)
@given(corpora(), st.sampled_from([0, 1, 1000]), st.data())
def test_short_texts_have_a_threshold_of_their_own(rows, crowding, data):
    """Each kind of text is decided as it is without the other, since no shingle and no band is of both."""
    kinds = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    of_text = dict(zip((document["text_hash_1"] for document in rows), kinds, strict=True))
    short = [of_text[document["text_hash_1"]] for document in rows]
    apart = [100 * own for own in short]
    rows = [d | {"shingles": [x + by for x in d["shingles"]]} for d, by in zip(rows, apart, strict=True)]
    rows = [d | {"bands": [x + by for x in d["bands"] or ()]} for d, by in zip(rows, apart, strict=True)]
    rows = with_components(rows)
    table = table_of(rows).append_column("short", pa.array(short, pa.bool_()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(survivors_module, "CROWDING", crowding)
        rules = DropRules(DropRule(0.3), DropRule(0.7))
        verdicts = survivors_module.survivors(table, spans(table["shingles"]), rules).to_pylist()
    expected = {}
    for kind, threshold in ((False, 0.3), (True, 0.7)):
        expected |= reference([document for document, own in zip(rows, short, strict=True) if own == kind], threshold)
    assert {v["doc_ref"]: (v["duplicate_of"], v["jaccard"], v["kind"], v["copies"]) for v in verdicts} == expected
