"""Cuts: the corpus is what a naive reference leaves of each text, every later step reads it, and no character gets lost."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

import tamis
from tamis.beam import Batches, Curate
from tamis.pipelines.decisions import recount
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.recipe.rating import OBJECTS
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run import receipts, work_plan
from tamis.pipelines.run.launch import launch
from tamis.transforms.core import parts
from tamis.transforms.core.release import Release, open_release
from tamis.transforms.text.segment import segment
from tests.pipelines.corpus import Record, corpus, dealt, save
from tests.pipelines.decisions.cutting import CutNoise, CutScraps, CuttingRecipe, left, merged
from tests.pipelines.running import corpus_of

SECTIONS: dict[str, Any] = {
    "rate": {"gopher": {}},
    "dedup": {"minhash": {}},
    "quality": [{"signal": "metadata.score", "range": [0, 1], "direction": "up"}],
    "curriculum": {"order": "ascending", "schedule": {"shape": "wsd", "peak": 3e-3, "final": 1e-3, "decay": 0.18}},
    "output": {"shard_bytes": 60_000},
}
"""Quality depends on no text: it is not measured again."""


def noisy(size: int, seed: int) -> list[Record]:
    """A corpus with lines of noise of its own in each text, so that copies are copies only once they are cut; a few of
    the texts are noise alone, and some have characters of several bytes."""
    draw = random.Random(seed)
    records = corpus(size, seed, sentences=(2, 12))
    for number, record in enumerate(records):
        lines = str(record["text"]).split("\n") if number % 20 else []
        for _ in range(draw.choice((0, 1, 3)) if lines else 2):
            lines.insert(draw.randrange(len(lines) + 1), f"@@{draw.choice('aé漢🙂')}{draw.random()}")
        record["text"] = "\n".join(lines).replace("k", "ж")
        record["score"] = draw.random()
    return records


def rate_and_cut(records: list[Record], folder: Path, *, files: int = 3, kind: str = "jsonl", **changed: Any) -> Release:
    source = folder / "in"
    if not source.exists():
        save(source, dealt(records, files, seed=files), kind)
    recipe = CuttingRecipe.model_validate(SECTIONS | {"input": {"paths": [str(source)]}} | changed)
    launch(recipe, str(folder / "run"), workers=1)
    return open_release(str(folder / "run"))


def decisions(release: Release) -> list[dict[str, Any]]:
    files = sorted((Path(release.folder) / "decisions").iterdir())
    return sorted((row for file in files for row in pq.read_table(file).to_pylist()), key=lambda row: row["id"])


def shards(release: Release) -> list[dict[str, Any]]:
    files = sorted((Path(release.folder) / "data").rglob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return noisy(400, seed=11)


@pytest.fixture(scope="module")
def release(records, tmp_path_factory) -> Release:
    return rate_and_cut(records, tmp_path_factory.mktemp("cut"))


def test_the_ledger_says_what_the_reference_cuts(records, release):
    recipe = CuttingRecipe.model_validate(SECTIONS)
    tokens = recipe.tokens
    tokens.setup()
    names = ("start", "stop", "reason", "detail")
    for record, row in zip(sorted(records, key=lambda record: str(record["id"])), decisions(release), strict=True):
        text, spans = str(record["text"]), merged(row["id"], str(record["text"]))
        rest = left(row["id"], text)
        chars = [len(text.encode()[start:stop].decode()) for start, stop, _, _ in spans]
        expected = [dict(zip(names, span, strict=True), chars=count) for span, count in zip(spans, chars, strict=True)]
        assert row["cuts"] == (expected or None)
        assert (row["chars"], row["cut_chars"], row["bytes"]) == (len(rest), len(text) - len(rest), len(rest.encode()))
        assert row["text_hash"] == "".join(f"{xxhash.xxh64_intdigest(rest.encode(), seed):016x}" for seed in (0, 1))
        counted = tokens.rate(segment(pa.array([rest], pa.large_string()), recipe.words))["tokens.count"]
        assert row["tokens"] == (counted[0].as_py() or 0)
        if spans and not rest.strip():
            assert (row["decision"], row["reason"], row["detail"]) == ("drop", spans[0][2], "nothing is left")
        else:
            assert row["reason"] in (None, "dedup.exact", "dedup.near")


def test_the_corpus_is_that_of_texts_which_were_cut_before(records, release, tmp_path):
    before = [{**record, "text": left(str(record["id"]), str(record["text"]))} for record in records]
    before = [record for record in before if str(record["text"]).strip()]
    source = save(tmp_path / "in", [before])
    launch(Recipe.model_validate(SECTIONS | {"input": {"paths": [str(source)]}}), str(tmp_path / "run"), workers=1)
    assert corpus_of(tmp_path / "run") == corpus_of(Path(release.run))
    expected = {row["id"]: row for row in decisions(open_release(str(tmp_path / "run")))}
    same = ("decision", "reason", "representative", "jaccard", "copies", "tokens", "bytes", "chars", "place", "text_hash")
    for row in decisions(release):
        if row["detail"] != "nothing is left":
            assert {name: row[name] for name in same} == {name: expected[row["id"]][name] for name in same}
    reasons = Counter(row["reason"] for row in expected.values())
    assert min(reasons["dedup.exact"], reasons["dedup.near"]) >= 5


def test_copies_are_those_of_the_plain_texts(records, release):
    groups: dict[str, list[str]] = {}
    for record in records:
        text = left(str(record["id"]), str(record["text"]))
        if text.strip():
            groups.setdefault(text, []).append(str(record["id"]))
    rows = {row["id"]: row for row in decisions(release)}
    for group in groups.values():
        best = max(group, key=lambda name: rows[name]["quality"])
        assert all(rows[name]["decision"] == "drop" for name in group if name != best)
        assert all(rows[name]["reason"] == "dedup.exact" for name in group if name != best and rows[best]["decision"] == "keep")


@pytest.mark.parametrize("rows", ["a row group", "a batch"])
@pytest.mark.parametrize(("files", "kind", "partitions"), [(1, "parquet", 1), (7, "jsonl.zst", 5)])
def test_any_split_gives_the_same(records, release, tmp_path, monkeypatch, files, kind, partitions, rows):
    monkeypatch.setattr(work_plan.WorkPlan, "partitions", partitions)
    monkeypatch.setattr(*((parts, "ROW_GROUP_BYTES", 20_000) if rows == "a row group" else (recount, "BATCH_BYTES", 5_000)))
    other = rate_and_cut(records, tmp_path, files=files, kind=kind)
    assert corpus_of(Path(other.run)) == corpus_of(Path(release.run))
    assert decisions(other) == decisions(release)


def test_no_character_gets_lost(records, tmp_path):
    select = {"bins": ["source"], "epochs": {"web": 2.5, "*": 0.6}}
    release = rate_and_cut(records, tmp_path, select=select, after_cuts={"gopher.word_count": {"min": 30}})
    summaries, made = receipts.summaries(release.receipts), receipts.shards(release.receipts)
    ended = Counter[str]()
    for count in (count for summary in summaries for count in summary.counts):
        ended[count.decision] += count.chars
    cut = Counter[str]()
    documents = Counter[str]()
    for reason, count in (item for summary in summaries for item in summary.cut.items()):
        cut[reason] += count.chars
        documents[reason] += count.documents
    assert sum(len(str(record["text"])) for record in records) == sum(ended.values()) + sum(cut.values())
    repeated = sum(summary.repeated.chars for summary in summaries)
    assert repeated > 0
    assert sum(shard.characters for shard in made) == ended["keep"] + repeated
    assert sum(shard.characters for shard in made) == sum(len(row["text"]) for row in shards(release))
    assert sum(shard.bytes for shard in made) == sum(len(row["text"].encode()) for row in shards(release))
    spans = {str(record["id"]): merged(str(record["id"]), str(record["text"])) for record in records}
    assert documents == Counter(reason for each in spans.values() for reason in {span[2] for span in each})
    assert set(cut) == {"noise", "everything", "scrap", "shred"}


def test_documents_that_were_cut_are_judged_again(records, tmp_path):
    rules = {"gopher.word_count": {"min": 60}, "gopher.mean_word_length": {"min": 5, "action": "review"}}
    release = rate_and_cut(records, tmp_path, after_cuts=rules)
    texts = {str(record["id"]): str(record["text"]) for record in records}
    rows = decisions(release)
    rests = [left(row["id"], texts[row["id"]]) for row in rows]
    (gopher,) = (rater for rater in CuttingRecipe.model_validate(SECTIONS).raters if rater.name == "gopher")
    gopher.setup()
    rated = gopher.rate(segment(pa.array(rests, pa.large_string()), Recipe().words))
    words, length = (rated[name].to_pylist() for name in rules)
    seen = Counter()
    for number, (row, rest) in enumerate(zip(rows, rests, strict=True)):
        if row["cuts"] is None:
            assert row["reason"] in (None, "dedup.exact", "dedup.near")
        elif not rest.strip():
            assert row["detail"] == "nothing is left"
        elif words[number] < 60:
            assert (row["decision"], row["reason"]) == ("drop", "after_cuts.gopher.word_count")
            assert row["detail"] == f"{words[number]} < 60"
        elif length[number] < 5:
            assert (row["decision"], row["reason"]) == ("review", "after_cuts.gopher.mean_word_length")
        else:
            assert row["reason"] in (None, "dedup.exact", "dedup.near")
        seen[row["reason"]] += 1
    assert min(seen["after_cuts.gopher.word_count"], seen["after_cuts.gopher.mean_word_length"], seen["dedup.exact"]) > 0
    parts_before = sorted(file.name for file in Path(release.run, "rated").iterdir())
    again = rate_and_cut(records, tmp_path, after_cuts={"gopher.word_count": {"min": 10}})
    assert again.number == release.number + 1
    assert sorted(file.name for file in Path(again.run, "rated").iterdir()) == parts_before


@pytest.mark.parametrize(
    ("span", "message"),
    [
        ((0, 99, "r", None), "cuts bytes 0 to 99 of document 'one', which has 5: one of them is outside its text"),
        ((3, 2, "r", None), "outside its text"),
        ((-1, 2, "r", None), "outside its text"),
        ((1, 4, "r", None), "inside a character"),
        ((2, 3, "r", None), "inside a character"),
    ],
)
def test_wrong_spans_are_errors_of_their_step(tmp_path, monkeypatch, span, message):
    monkeypatch.setattr(CutNoise, "find", staticmethod(lambda identifier, text: [(0, 1, "r", None), span]))
    with pytest.raises(Exception, match=f"the step 'noise' .*{message}"):
        rate_and_cut([{"id": "one", "text": "aéé"}], tmp_path, files=1, quality=[])


def test_a_document_that_a_rater_fails_on_once_it_is_cut_is_dropped(tmp_path, monkeypatch):
    class Picky(tamis.Rater[tamis.Options]):
        """Fails on texts without a poison that every document brings along."""

        name = "picky"
        VERSION = 1
        signals = (tamis.Signal("picky.characters", "int64", "characters", "up", "a test"),)

        def rate(self, texts: tamis.SegmentedTexts) -> pa.RecordBatch:
            if any(text.startswith("cured") for text in texts.strings()):
                raise ValueError("it is cured")
            return tamis.signal_batch(self.signals, [texts.text_chars])

    monkeypatch.setattr(CutNoise, "find", staticmethod(lambda identifier, text: [(0, 7, "poison", None)]))
    monkeypatch.setattr(CutScraps, "find", staticmethod(lambda identifier, text: []))
    source = tmp_path / "in"
    save(source, [[{"id": f"{k:02}", "text": f"poison {'cured' if k % 5 == 2 else 'sound'} text {k}"} for k in range(20)]])
    sections = {"input": {"paths": [str(source)]}, "after_cuts": {"picky.characters": {"min": 13}}}
    launch(
        CuttingRecipe.model_validate(sections, context={OBJECTS: [Picky(tamis.Options())]}), str(tmp_path / "run"), workers=1
    )
    for k, row in enumerate(decisions(open_release(str(tmp_path / "run")))):
        found = row["decision"], row["reason"], row["detail"], row["chars"], row["cut_chars"]
        size = len(f"sound text {k}")
        if k % 5 == 2:
            why = "rater 'picky' fails on this document: ValueError: it is cured"
            assert found == ("drop", "recount", why, size, 7)
        elif k < 10:
            assert found == ("drop", "after_cuts.picky.characters", "12 < 13", size, 7)
        else:
            assert found == ("keep", None, None, size, 7)


def test_other_pipelines_get_texts_as_they_end(records, release, tmp_path):
    Collect.rows.clear()
    recipe = CuttingRecipe.model_validate(SECTIONS)
    with beam.Pipeline(FnApiRunner()) as pipeline:
        kept, _ = pipeline | beam.Create(records) | Batches(70) | Curate(recipe, str(tmp_path), partitions=2)
        kept | beam.Map(Collect.add)
    texts = {str(record["id"]): str(record["text"]) for record in records}
    assert {row["id"]: row["text"] for row in Collect.rows} == {row["id"]: row["text"] for row in shards(release)}
    assert all(row["text"] == left(row["id"], texts[row["id"]]) for row in Collect.rows)


class Collect:
    """The rows of all batches, in this process."""

    rows: ClassVar[list[dict[str, Any]]] = []

    @staticmethod
    def add(batch: pa.RecordBatch) -> None:
        Collect.rows.extend(batch.to_pylist())


@pytest.mark.slow
def test_two_workers_give_the_same(records, release, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))  # workers import the steps of the tests
    source = save(tmp_path / "in", dealt(records, 4, seed=4))
    recipe = CuttingRecipe.model_validate(SECTIONS | {"input": {"paths": [str(source)]}})
    launch(recipe, str(tmp_path / "run"), workers=2)
    assert corpus_of(tmp_path / "run") == corpus_of(Path(release.run))


def test_limits_after_cuts_need_a_step_that_cuts(tmp_path):
    file = tmp_path / "r.yaml"
    for line, message in (
        ("gopher.word_count: {min: 1}", "no step of this recipe cuts text"),
        ("gopher.word_cound: {min: 1}", "did you mean 'gopher.word_count'"),
        ("gopher.word_count: {one_of: [a]}", "a number: use min and max"),
        ("metadata.score: {min: 1}", "no cut changes 'metadata.score'"),
    ):
        file.write_text(f"rate: {{gopher: {{}}}}\nafter_cuts:\n  {line}\n")
        with pytest.raises(Exception, match=message):
            load_recipe(str(file))


def test_without_a_step_that_cuts_nothing_is_counted_again():
    recipe = Recipe.model_validate(SECTIONS)
    assert "recount" not in [step.name for step in recipe.steps]
    assert [step.name for step in CuttingRecipe.model_validate(SECTIONS).steps][:4] == ["noise", "scraps", "recount", "copies"]
