"""A corpus loses no document, has no text twice, is in its order, and has the bytes of the manifest."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.transforms.core.errors import RunError
from tamis.transforms.core.release import open_release
from tamis.transforms.feed.loader import read_in_order
from tests.pipelines.corpus import save
from tests.pipelines.running import TAMIS, folder_of, run, typed


@pytest.fixture(scope="module")
def ledger(base):
    return pa.concat_tables(pq.read_table(file) for file in sorted((folder_of(base.run) / "decisions").iterdir())).to_pylist()


@pytest.fixture(scope="module")
def emitted(base):
    """The documents of the corpus in training order."""
    return [row for stretch in read_in_order(str(base.run)) for row in stretch.documents.to_pylist()]


def test_every_document_has_one_decision_and_the_kept_ones_are_the_corpus(base, ledger, emitted):
    assert sorted(row["id"] for row in ledger) == sorted(record["id"] for record in base.records)
    kept = [row["id"] for row in ledger if row["decision"] == "keep"]
    assert sorted(kept) == sorted(row["id"] for row in emitted)
    assert all((row["decision"] == "keep") == (row["reason"] is None) == (row["shard"] is not None) for row in ledger)
    assert {row["reason"] for row in ledger} == {None, "gopher.word_count", "dedup.exact", "dedup.near"}


def test_unreadable_records_are_counted(base, tmp_path):
    source = save(tmp_path / "in", [base.records[:40]])
    (source / "bad.jsonl").write_text('{"id": "x"}\n{"id": "fine", "text": "A text."}\n{"broken\n')
    result = run(base.recipe, source, tmp_path / "run", "max_rejects=2")
    decided = sum(pq.read_metadata(file).num_rows for file in (folder_of(tmp_path / "run") / "decisions").iterdir())
    rejects = [line for file in (tmp_path / "run/rejects").iterdir() for line in file.read_text().splitlines()]
    assert (decided, len(rejects)) == (41, 2)
    assert (result.manifest["counts"]["records"], result.manifest["counts"]["rejected"]) == (43, 2)


def test_the_text_and_fields_of_a_document_are_those_of_the_input(base, emitted):
    by_id = {record["id"]: record for record in base.records}
    for row in emitted:
        record = by_id[row["id"]]
        assert (row["text"], row["source"], row["url"]) == (record["text"], record["source"], record["url"])
        assert json.loads(row["metadata"]) == {"trap": record["trap"]}


def test_no_text_is_kept_twice_and_copies_count_every_eligible_document(ledger, emitted):
    assert len({row["text"] for row in emitted}) == len(emitted)
    eligible = [row for row in ledger if row["decision"] == "keep" or row["reason"].startswith("dedup.")]
    assert sum(row["copies"] for row in emitted) == len(eligible)
    stands_for = Counter(row["representative"] for row in eligible if row["representative"])
    kept = {row["id"]: row["copies"] for row in emitted}
    assert {name: copies - 1 for name, copies in kept.items() if copies > 1} == stands_for
    quality = {row["id"]: row["quality"] for row in ledger}
    assert all(quality[row["id"]] <= quality[row["representative"]] for row in eligible if row["representative"])


@pytest.mark.parametrize("shards", ["parquet", "jsonl.zst"])
def test_a_kept_document_names_the_sources_of_those_that_it_stands_for(base, tmp_path, shards):
    records = [record | {"source": f"crawl-{number % 3}"} for number, record in enumerate(base.records[:400])]
    source = save(tmp_path / "in", [records])
    run(base.recipe, source, tmp_path / "run", "dedup.sources=true", f"output.format={shards}")
    decided = pq.read_table(tmp_path / "run" / "latest" / "decisions").to_pylist()
    emitted = [row for stretch in read_in_order(str(tmp_path / "run")) for row in stretch.documents.to_pylist()]
    sources = {row["id"]: {row["source"]} for row in decided if row["decision"] == "keep"}
    for row in decided:
        if row["representative"]:
            sources[row["representative"]].add(row["source"])
    several = next(sorted(each) for each in sources.values() if len(each) > 1)
    assert ", ".join(several) in (tmp_path / "run" / "latest" / "report.html").read_text()
    assert {row["id"]: row["copy_sources"] for row in emitted} == {name: sorted(each) for name, each in sources.items()}
    assert {row["id"]: row["copy_sources"] for row in decided if row["decision"] == "keep"} == {
        row["id"]: row["copy_sources"] for row in emitted
    }
    run(base.recipe, tmp_path / "run" / "latest" / "data", tmp_path / "again", "thresholds={}")
    again = [row for stretch in read_in_order(str(tmp_path / "again")) for row in stretch.documents.to_pylist()]
    assert {row["id"]: row["metadata"] for row in again} == {row["id"]: row["metadata"] for row in emitted}


def test_the_planted_copies_are_found_and_nothing_else(base, ledger):
    planted = Counter(str(record["trap"]) for record in base.records)
    dropped = Counter(row["reason"] for row in ledger)
    copies = planted["exact"] + planted["near"]
    assert 0.95 * copies <= dropped["dedup.exact"] + dropped["dedup.near"] <= copies


def test_quality_rises_along_each_source(emitted):
    for source in {row["source"] for row in emitted}:
        quality = [row["quality"] for row in emitted if row["source"] == source]
        assert quality == sorted(quality)
        assert quality[0] < quality[-1]


def test_every_prefix_has_every_source_in_its_share(emitted):
    tokens = np.array([row["tokens"] for row in emitted])
    source = np.array([row["source"] for row in emitted])
    names = sorted(set(source))
    cumulative = {name: np.cumsum(np.where(source == name, tokens, 0)) for name in names}
    share = {name: cumulative[name][-1] / tokens.sum() for name in names}
    longest = {name: tokens[source == name].max() for name in names}
    # At place x every source has emitted the share x of its tokens, to within one document. The sum
    # over all sources is therefore right to within one document of each.
    slack = sum(longest.values())
    for name in names:
        error = np.abs(cumulative[name] - share[name] * np.cumsum(tokens))
        assert error.max() <= longest[name] + share[name] * slack


def test_the_manifest_has_the_position_and_the_learning_rates_of_each_shard(base, emitted):
    curriculum = open_release(str(base.run)).manifest["curriculum"]
    total = sum(row["tokens"] for row in emitted)
    assert curriculum["tokens"] == total
    assert len(curriculum["shards"]) > 5
    assert sum(curriculum["lr_mass_deciles"]) == pytest.approx(1)
    assert sum(curriculum["lr_mass_sources"].values()) == pytest.approx(1)
    assert curriculum["lr_mass_deciles"][0] == curriculum["lr_mass_best_decile"] < 0.1 < curriculum["lr_mass_deciles"][-1]

    def rate(t: float) -> float:  # WSD of the recipe: 3e-3, to 1e-3 over the last 18 %
        root = math.sqrt(max(0.0, (t - 0.82) / 0.18))
        return 3e-3 * (1 - root) + 1e-3 * root

    first = 0
    for shard, stretch in zip(curriculum["shards"], read_in_order(str(base.run)), strict=True):
        tokens = sum(stretch.documents["tokens"].to_pylist())
        assert (shard["first_token"], shard["tokens"], shard["documents"]) == (first, tokens, len(stretch.documents))
        assert shard["lr_max"] == pytest.approx(rate(first / total), rel=1e-6)
        assert shard["lr_min"] == pytest.approx(rate((first + tokens) / total), rel=1e-6)
        first += tokens
    assert first == total


def test_the_loader_starts_at_a_token_and_rejects_changed_bytes(base, emitted, tmp_path):
    shards = open_release(str(base.run)).manifest["curriculum"]["shards"]
    third = shards[2]
    for token in (third["first_token"], third["first_token"] + third["tokens"] - 1):
        assert next(read_in_order(str(base.run), token)).path == third["path"]
    copied = tmp_path / "run"
    shutil.copytree(base.run, copied, symlinks=True)
    _flip(copied / third["path"])
    reader = read_in_order(str(copied))
    assert [next(reader).path, next(reader).path] == [shard["path"] for shard in shards[:2]]
    with pytest.raises(RunError, match=r"shard-00002\.parquet does not have the SHA-256"):
        next(reader)


def test_verify_names_changed_and_missing_files(base, tmp_path):
    out, _ = typed([TAMIS, "verify", str(base.run)])
    assert "400 records" in out
    copied = tmp_path / "run"
    shutil.copytree(base.run, copied, symlinks=True)
    _flip(folder_of(copied) / "data/phase-1/shard-00001.parquet")
    (folder_of(copied) / "decisions/part-00002.parquet").unlink()
    out, _ = typed([TAMIS, "verify", str(copied)], code=1)
    lines = out.splitlines()
    assert len(lines) == 2
    assert any("shard-00001.parquet: its bytes have changed" in line for line in lines)
    assert any("decisions/part-00002.parquet: missing" in line for line in lines)


def _flip(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
