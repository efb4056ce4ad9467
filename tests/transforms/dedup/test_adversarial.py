"""What breaks other tools: chains, templates, crowded buckets, and texts that are tiny, huge, empty or in any script."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from tamis.transforms.dedup.drop_rule import DropRule, DropRules
from tamis.transforms.dedup.minhash import MinHash, ShortTexts
from tamis.transforms.dedup.survivors import survivors
from tests.transforms.dedup.text_verdicts import from_texts, verdicts_on

if TYPE_CHECKING:
    from tamis.transforms.dedup.survivors import ListSpans

EITHER = pytest.mark.parametrize("options", [MinHash(), MinHash(short=ShortTexts())], ids=["words", "characters"])
VOCABULARY = np.array([f"{a}{b}{c}" for a in "bcdfglmnprst" for b in "aeiou" for c in "klmnrst"])


def kept_texts(texts: list[str], options: MinHash) -> list[str]:
    verdicts, _ = from_texts(texts, options)
    return [text for text, verdict in zip(texts, verdicts, strict=True) if verdict["duplicate_of"] is None]


def one_bucket(documents: int, common: int, own: int) -> tuple[pa.Table, ListSpans]:
    """Documents that share a band and `common` shingles, and have `own` ones besides."""
    draw = np.random.default_rng(4)
    template = np.broadcast_to(draw.integers(0, 1 << 63, common, dtype=np.uint64), (documents, common))
    values = np.concatenate([template, draw.integers(0, 1 << 63, (documents, own), dtype=np.uint64)], axis=1)
    values.sort(axis=1)
    row: npt.NDArray[np.uint64] = np.arange(documents, dtype=np.uint64)
    columns = dict.fromkeys(("doc_ref", "tie_break", "text_hash_0", "text_hash_1"), row)
    table = pa.table(
        {
            **columns,
            "id": pa.array(row).cast(pa.string()),
            "component": np.zeros(documents, np.uint64),
            "quality": pa.nulls(documents, pa.float32()),
            "bands": pa.FixedSizeListArray.from_arrays(pa.array(np.ones(documents, np.uint64)), 1),
        }
    )
    end = np.arange(1, documents + 1) * (common + own)
    return table, (end - common - own, end, values.reshape(-1))


@pytest.mark.parametrize("containment", [0.0, 0.9])
@pytest.mark.parametrize(
    ("documents", "common", "own"),
    [(200_000, 30, 20), pytest.param(1_000_000, 12, 12, marks=pytest.mark.slow)],
    ids=["a template", "one paragraph in a million documents"],
)
def test_a_crowded_bucket_is_not_compared_pair_by_pair(documents, common, own, containment):
    """20 billion pairs, or 500 billion, of which none is a duplicate, would take hours or days."""
    rules = DropRules(*(DropRule(threshold, containment) for threshold in (0.7, 0.9)))
    survivors(*one_bucket(300, common, own), rules)
    bucket = one_bucket(documents, common, own)
    begun = time.process_time()
    verdicts = survivors(*bucket, rules)
    assert time.process_time() - begun < documents / 10_000
    assert verdicts["duplicate_of"].null_count == documents


@pytest.mark.slow
def test_a_hundred_thousand_texts_of_one_template_stay_apart_from_each_other_but_not_from_their_copies():
    draw = np.random.default_rng(5)
    template = draw.choice(VOCABULARY, 40).tolist()
    texts = [" ".join([*template, *own]) for own in draw.choice(VOCABULARY, (100_000, 30))]
    copies = [text.replace(" ", "\n") for text in texts[::100]]
    verdicts, _ = verdicts_on([*texts, *copies], MinHash())
    assert len(verdicts) - verdicts["duplicate_of"].null_count == len(copies)


def test_a_chain_of_edits_keeps_one_of_every_few_links():
    """Each text is the one before with two more of its 200 words edited: neighbours reach 0.9, the ends share nothing."""
    draw = np.random.default_rng(6)
    words = draw.choice(VOCABULARY, 200).tolist()
    texts = [" ".join(words)]
    for link in range(100):
        for place in (2 * link, 2 * link + 1):
            words[place] = f"link{place}"
        texts.append(" ".join(words))
    verdicts, sets = from_texts(texts, MinHash())
    assert all(len(a & b) / len(a | b) > 0.9 for a, b in pairwise(sets))
    for place, verdict in enumerate(verdicts):
        if verdict["duplicate_of"] is not None:
            a, b = sets[place], sets[int(verdict["duplicate_of"][1:])]
            assert verdict["jaccard"] == len(a & b) / len(a | b)
            assert verdict["jaccard"] >= 0.7
    kept = [place for place, verdict in enumerate(verdicts) if verdict["duplicate_of"] is None]
    assert 5 < len(kept) < 40
    assert max(b - a for a, b in pairwise(kept)) < 40


@EITHER
def test_texts_of_one_to_four_words_are_duplicates_of_equal_ones_alone(options):
    words = iter(VOCABULARY.tolist())
    texts = [" ".join(next(words) for _ in range(size)) for size in range(1, 5) for _ in range(40)]
    assert sorted(kept_texts(texts, options)) == sorted(texts)
    doubled = kept_texts([*texts, *(f"  {text.replace(' ', '  ')}\n" for text in texts)], options)
    assert sorted(" ".join(text.split()) for text in doubled) == sorted(texts)


@EITHER
def test_nothing_and_punctuation_collapse_only_into_equal_texts(options):
    texts = ["", " ", "\n\n", "!", "?", "... ...", "---", "—", "\u200b", "🙂", "🙂🙂", "\x00"]
    assert sorted(kept_texts(texts, options)) == sorted(texts)
    assert len(kept_texts([*texts, *texts], options)) == len(texts)


@EITHER
@pytest.mark.parametrize(
    "texts",
    [
        [
            "图书馆每天早上八点开门，晚上十点关门，周末和节假日也照常开放，欢迎大家前来阅读和学习。请保持安静，不要在馆内吃东西或大声说话，也不要占座。",
            "图书馆每天早上八点开门，晚上十点关门，周末和节假日也照常开放，欢迎大家前来阅览和学习。请保持安静，不要在馆内吃东西或大声说话，也不要占座。",
            "火车站离市中心大约三公里，可以乘坐地铁二号线或者公共汽车到达，出租车大约需要十五分钟。",
        ],
        [
            "ห้องสมุดเปิดทุกวันตั้งแต่แปดโมงเช้าถึงสี่ทุ่มและเปิดในวันหยุดด้วย",
            "ห้องสมุดเปิดทุกวันตั้งแต่แปดโมงเช้าถึงสามทุ่มและเปิดในวันหยุดด้วย",
            "สถานีรถไฟอยู่ห่างจากใจกลางเมืองประมาณสามกิโลเมตรและไปได้ด้วยรถไฟใต้ดิน",
        ],
    ],
    ids=["Chinese", "Thai"],
)
def test_without_spaces_an_edited_copy_is_found_and_an_unrelated_text_stays(texts, options):
    kept = kept_texts(texts, options)
    assert texts[2] in kept
    assert len(kept) == 2


def test_a_document_of_five_megabytes_is_compared_as_any_other():
    words = np.random.default_rng(7).choice(VOCABULARY, 1_300_000)
    copy = words.copy()
    copy[::1000] = "changed"
    texts = [" ".join(words), " ".join(copy), " ".join(words[:300])]
    assert len(texts[0]) > 5_000_000
    verdicts, _ = verdicts_on(texts, MinHash())
    dropped = verdicts.filter(verdicts["duplicate_of"].is_valid())
    assert dropped["doc_ref"].to_pylist() in ([0], [1])
    assert dropped["jaccard"][0].as_py() > 0.98
