"""The comparison of two releases is what going through both by hand finds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

import tamis
from tamis.pipelines.cli.main import app
from tamis.pipelines.lookup.release_tables import connect
from tamis.pipelines.releases.diff_lines import GROUPS, lines, sample_lines
from tamis.pipelines.releases.release_diff import (
    DocumentCounts,
    FlippedDocument,
    Flips,
    NamedShift,
    OrderChange,
    Outcome,
    ReleaseDiff,
    document_counts,
    flipped_groups,
    match_documents,
    order_change,
    recipe_changes,
    release_diff,
    shifts_of_kept,
)
from tamis.transforms.assess.shifts import Shift
from tamis.transforms.core.release import Release, open_release
from tamis.transforms.provenance import ledger
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import CHANGES, run, write_recipe

Row = dict[str, Any]

SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("id", "source", "decision", "reason", "detail", "text_hash", "host")),
        *(pa.field(name, pa.int64()) for name in ("tokens", "bytes", "phase", "part", "row")),
        *(pa.field(name, pa.float64()) for name in ("place", "quality", "rater.signal")),
    ]
)

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from("abcdefghijklmnop"),
            "source": st.sampled_from(["web", "code"]),
            "outcome": st.sampled_from([("keep", None), ("keep", None), ("drop", "x"), ("drop", "y"), ("review", "x")]),
            "text_hash": st.sampled_from(["1", "2"]),
            "tokens": st.integers(0, 5),
            "phase": st.integers(1, 2),
            "place": st.sampled_from([0.25, 0.5, 1.0]),
            "rater.signal": st.none() | st.sampled_from([1.0, 2.0, 3.0]),
        }
    ),
    max_size=16,
    unique_by=lambda row: row["id"],
)


def release_of(rows: list[Row]) -> dict[str, Row]:
    """The documents of a release by id, in the columns of `documents`."""
    documents = {}
    for row in rows:
        row = {**dict.fromkeys(SCHEMA.names), **row, "decision": row["outcome"][0], "reason": row["outcome"][1]}
        if row["decision"] != "keep":
            row["place"] = None
        documents[row["id"]] = {name: row[name] for name in SCHEMA.names}
    return documents


def tables(*releases: dict[str, Row]) -> duckdb.DuckDBPyConnection:
    """The tables of releases as `connect` has them, matched."""
    connection = duckdb.connect()
    for number, documents in enumerate(releases):
        connection.register("rows", pa.Table.from_pylist(list(documents.values()), SCHEMA))
        connection.execute(f"CREATE SCHEMA release_{number}; CREATE TABLE release_{number}.documents AS FROM rows")
        connection.execute(f'CREATE VIEW release_{number}.signals AS SELECT id, "rater.signal" FROM release_{number}.documents')
    match_documents(connection)
    return connection


def is_kept(row: Row) -> bool:
    return bool(row["decision"] == "keep")


def flips_by_hand(before: dict[str, Row], after: dict[str, Row]) -> Counter[tuple[Any, ...]]:
    """Documents and tokens by source and outcomes."""
    found: Counter[tuple[Any, ...]] = Counter()
    for identifier in before.keys() & after.keys():
        old, new = before[identifier], after[identifier]
        if is_kept(old) != is_kept(new):
            key = (new["source"], old["decision"], old["reason"], new["decision"], new["reason"])
            found[key, "documents"] += 1
            found[key, "tokens"] += (old if is_kept(old) else new)["tokens"]
    return found


def check_by_hand(
    before: dict[str, Row], after: dict[str, Row], counts: DocumentCounts, groups: list[Flips], order: OrderChange
) -> None:
    """Goes through two releases document by document."""
    both = [(before[identifier], after[identifier]) for identifier in sorted(before.keys() & after.keys())]
    dropped = [(old, new) for old, new in both if not is_kept(old) and not is_kept(new)]
    assert counts == DocumentCounts(
        both=len(both),
        gone=len(before) - len(both),
        new=len(after) - len(both),
        other_text=sum(old["text_hash"] != new["text_hash"] for old, new in both),
        other_reason=sum((old["decision"], old["reason"]) != (new["decision"], new["reason"]) for old, new in dropped),
        kept_before=sum(map(is_kept, before.values())),
        kept_after=sum(map(is_kept, after.values())),
        tokens_before=sum(row["tokens"] for row in before.values() if is_kept(row)),
        tokens_after=sum(row["tokens"] for row in after.values() if is_kept(row)),
    )
    assert [flips.documents for flips in groups] == sorted((flips.documents for flips in groups), reverse=True)
    found: Counter[tuple[Any, ...]] = Counter()
    for flips in groups:
        key = (flips.source, flips.before.decision, flips.before.reason, flips.after.decision, flips.after.reason)
        found.update({(key, "documents"): flips.documents, (key, "tokens"): flips.tokens})
    assert found == flips_by_hand(before, after)

    kept = [(old, new) for old, new in both if is_kept(old) and is_kept(new)]
    assert (order.documents, order.measured) == (len(kept), len(kept))
    assert order.moved == sum(old["phase"] != new["phase"] for old, new in kept)
    positions = [[pair[side]["phase"] * 2 + pair[side]["place"] for pair in kept] for side in (0, 1)]
    if all(len(set(side)) > 1 for side in positions):
        assert order.kendall == pytest.approx(stats.kendalltau(*positions).statistic)
        assert order.spearman == pytest.approx(stats.spearmanr(*positions).statistic)
    else:
        assert order.kendall is order.spearman is None


@settings(max_examples=60, deadline=None)
@given(one=ROWS, other=ROWS)
def test_counts_flips_and_order_of_random_releases(one: list[Row], other: list[Row]) -> None:
    before, after = release_of(one), release_of(other)
    with tables(before, after) as connection:
        found = document_counts(connection), flipped_groups(connection), order_change(connection)
    check_by_hand(before, after, *found)


@settings(max_examples=30, deadline=None)
@given(one=ROWS, other=ROWS)
def test_shifts_of_random_releases(one: list[Row], other: list[Row]) -> None:
    before, after = release_of(one), release_of(other)
    with tables(before, after) as connection:
        shifts = {each.name: each for each in shifts_of_kept(connection)}
    values = [
        [row["rater.signal"] for row in side.values() if is_kept(row) and row["rater.signal"] is not None]
        for side in (before, after)
    ]
    if not all(values):
        assert "rater.signal" not in shifts
        return
    shift = shifts["rater.signal"]
    assert shift.shift.effect == pytest.approx(stats.ks_2samp(*values).statistic)
    assert (shift.shift.before, shift.shift.after) == tuple(map(len, values))
    assert shift.middle == tuple(map(np.median, values))
    sources = [Counter(row["source"] for row in side.values() if is_kept(row)) for side in (before, after)]
    shares = [{name: count / side.total() for name, count in side.items()} for side in sources]
    differences = [abs(shares[0].get(name, 0) - shares[1].get(name, 0)) for name in ("web", "code")]
    assert shifts["source"].shift.effect == pytest.approx(sum(differences) / 2)
    assert all(each.p_corrected >= each.shift.p for each in shifts.values())
    assert [each.name for each in shifts.values()] == [
        each.name for each in sorted(shifts.values(), key=lambda each: (-each.shift.effect, each.name))
    ]


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Release, Release]:
    """The second has another limit, another order, a changed text, and documents that are new and gone."""
    folder = tmp_path_factory.mktemp("diff")
    records = corpus(150, seed=6)
    recipe = write_recipe(folder, **CHANGES)
    first = run(recipe, save(folder / "in", dealt(records[:-10], 3, seed=1)), folder / "run")
    changed = [{**records[3], "text": records[3]["text"] + "\n\nIt has one more paragraph now, and it is long enough."}]
    later = save(folder / "later", dealt([*records[20:], *changed, *records[4:10]], 2, seed=1))
    moved = ("thresholds.gopher.word_count.min=60", "thresholds.gopher.stop_words.min=1", "curriculum.order=descending")
    run(recipe, later, folder / "run", *moved)
    assert first.release.number == 1
    return open_release(f"{folder}/run@1"), open_release(f"{folder}/run@2")


def decided(release: Release) -> dict[str, Row]:
    return {
        row["id"]: row for ordinal in ledger.decided_parts(release) for row in ledger.decisions(release, ordinal).to_pylist()
    }


def test_two_releases_of_a_run(releases: tuple[Release, Release]) -> None:
    before, after = map(decided, releases)
    diff = release_diff(*releases, samples=2)
    check_by_hand(before, after, diff.counts, diff.flips, diff.order)
    assert min(diff.counts.other_text, diff.counts.gone, diff.counts.new, diff.flipped) >= 1
    for document in diff.samples:
        assert is_kept(before[document.id]) != is_kept(after[document.id])
        dropped = after[document.id] if document.before.decision == "keep" else before[document.id]
        assert (dropped["decision"], dropped["reason"], dropped["detail"]) == (
            *asdict(document.after if document.before.decision == "keep" else document.before).values(),
            document.detail,
        )
        text = tamis.Release(releases[1]).query(f"SELECT text FROM texts WHERE id = '{document.id}'")["text"][0].as_py()
        assert document.excerpt
        assert text.startswith(document.excerpt)
    assert [document.before.decision == "keep" for document in diff.samples[:2]] == [True, True]
    assert diff.recipe["thresholds.gopher.word_count.min"] == (20, 60)
    assert diff.recipe["curriculum.order"] == ("ascending", "descending")
    assert diff.order.spearman is not None
    assert diff.order.spearman < 0
    assert tamis.Release(releases[0]).diff(tamis.Release(releases[1]), samples=2) == diff


def test_large_releases_are_measured_on_a_sample_that_depends_on_ids_alone(releases: tuple[Release, Release]) -> None:
    before, after = ({i: row for i, row in decided(release).items() if is_kept(row)} for release in releases)
    measured = max(len(before), len(after)) // 3

    def drawn(documents: Iterable[str]) -> int:
        keys = ledger.sample_keys(pa.array(sorted(documents)), 0)
        return int((keys < np.uint64(measured / max(len(before), len(after)) * 2**64)).sum())

    with connect(*releases) as connection:
        match_documents(connection)
        order, shifts = order_change(connection, measured), shifts_of_kept(connection, measured)
    assert order.documents == len(before.keys() & after.keys())
    assert order.measured == drawn(before.keys() & after.keys()) < order.documents
    (words,) = [each.shift for each in shifts if each.name == "gopher.word_count"]
    assert (words.before, words.after) == (drawn(before), drawn(after))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_random_pairs_of_runs(tmp_path: Path, seed: int) -> None:
    """Other documents, limits, steps and orders, each drawn by the seed."""
    draw = np.random.default_rng(seed)
    made = []
    for number in range(2):
        records = [record for record in corpus(200, seed=seed) if draw.random() < 0.9]
        source = save(tmp_path / f"in-{number}", dealt(records, int(draw.integers(1, 4)), seed=number))
        (tmp_path / f"recipe-{number}").mkdir()
        sections = CHANGES if draw.random() < 0.5 else {}
        recipe = write_recipe(tmp_path / f"recipe-{number}", **sections, seed=int(draw.integers(3)))
        order = draw.choice(["ascending", "descending", "uniform"])
        sets = (f"thresholds.gopher.word_count.min={draw.integers(10, 150)}", f"curriculum.order={order}")
        made.append(run(recipe, source, tmp_path / f"run-{number}", *sets).release)
    diff = release_diff(*made)
    before, after = map(decided, made)
    check_by_hand(before, after, diff.counts, diff.flips, diff.order)
    words = [
        [
            row["n"]
            for row in tamis.Release(release)
            .query("SELECT gopher.word_count AS n FROM documents WHERE decision = 'keep'")
            .to_pylist()
        ]
        for release in made
    ]
    (shift,) = [each.shift for each in diff.shifts if each.name == "gopher.word_count"]
    assert shift.effect == pytest.approx(stats.ks_2samp(*words).statistic)


def test_a_release_is_itself(releases: tuple[Release, Release]) -> None:
    diff = release_diff(releases[0], releases[0])
    assert (diff.flips, diff.samples, diff.recipe, diff.flipped) == ([], [], {}, 0)
    assert {each.shift.p for each in diff.shifts} == {1.0}
    assert (diff.order.spearman, diff.order.kendall, diff.order.moved) == (pytest.approx(1), pytest.approx(1), 0)
    assert list(lines(diff))[-1].startswith("the kept documents have shifted in nothing (p ≥ 0.05 after ")


def test_the_command_fails_where_too_many_flip(releases: tuple[Release, Release]) -> None:
    names = [f"{release.run}@{release.number}" for release in releases]

    def ended(*options: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, ["diff", *names, *options])
        return result.exit_code, result.stdout, result.stderr

    code, printed, _ = ended("-n", "1")
    diff = release_diff(*releases, samples=1)
    assert code == 0
    for line in lines(diff):
        assert line in printed
    assert "now dropped by " in printed
    flips, both = diff.flipped, diff.counts.both
    assert ended("--max-flips", str(flips))[0] == 0
    assert ended("--max-flips", str(flips - 1))[::2] == (1, f"{flips:,} documents flipped, more than --max-flips {flips - 1}\n")
    share = 100 * flips / both
    assert ended("--max-flips", f"{share + 0.01:.4f}%")[0] == 0
    assert ended("--max-flips", f"{share - 0.01:.4f}%")[0] == 1
    code, printed, _ = ended("--json", "--max-flips", "0")
    assert code == 1
    told = json.loads(printed)
    assert told["flipped"] == flips
    assert told["counts"] == asdict(diff.counts)
    for wrong in ("3x", "2.5", "-1", "%"):
        assert ended("--max-flips", wrong)[0] == 2


def test_lines() -> None:
    kept, dropped, review = Outcome("keep", None), Outcome("drop", "dedup.near"), Outcome("review", "pii.count")
    diff = ReleaseDiff(
        "a@1",
        "b@2",
        {"thresholds.gopher.word_count.min": (50.0, 80.0), "input.paths": (None, ["x" * 60])},
        DocumentCounts(5000, 10, 2, 3, 4, 3000, 2900, 1_000_000, 900_000),
        [Flips("web", kept, dropped, 120, 99_000), Flips("code", review, kept, 20, 1_000)],
        [FlippedDocument("d1", "web", "http://x.example", kept, dropped, "Jaccard 0.9 with d2", "A  text\nof it")],
        [
            NamedShift("gopher.word_count", Shift("Kolmogorov-Smirnov", 3000, 2900, 0.125, 1e-9), (300.0, 310.5), 3e-9),
            NamedShift("source", Shift("chi-square", 3000, 2900, 0.05, 0.02), None, 0.04),
            NamedShift("host", Shift("chi-square", 3000, 2900, 0.04, 0.2), None, 0.4),
        ],
        OrderChange(2880, 7, 2880, 0.5, 0.25),
    )
    assert list(lines(diff)) == [
        "a@1 → b@2",
        "recipe: thresholds.gopher.word_count.min 50 → 80",
        f"recipe: input.paths none → ['{'x' * 37}…",
        "5,000 documents in both, 10 only before, 2 only after, 3 with another text, 4 not kept for another reason",
        "kept 3,000 → 2,900 (-100) documents, 1M → 900k (-100k) tokens",
        "order of the 2,880 documents that both keep: 7 in another phase; Spearman's ρ 0.500, Kendall's τ 0.250",
        "",
        "kept before, not kept now: 120 documents (2.4%)",
        "  web  dropped by dedup.near        120        99,000 tokens",
        "",
        "not kept before, kept now: 20 documents (0.4%)",
        "  code  for review by pii.count         20         1,000 tokens",
        "",
        "shifts of the kept documents with p < 0.05 after 3 tests (Holm), the largest first",
        "  gopher.word_count   12.5%  p 3.0e-09  median 300 → 310",
        "  source               5.0%  p 4.0e-02",
    ]
    assert list(sample_lines(diff.samples[0])) == [
        "d1  (web, http://x.example)",
        "now dropped by dedup.near: Jaccard 0.9 with d2",
        "A text of it",
    ]
    many = [Flips(f"s{number}", kept, dropped, 1, 1) for number in range(GROUPS + 2)]
    more = ReleaseDiff(diff.before, diff.after, {}, diff.counts, many, [], [], OrderChange(0, 0, 0, None, None))
    assert "  and 2 groups more, which --json lists" in list(lines(more))


def test_fields_of_recipes_that_differ() -> None:
    before = {"a": {"b": 1, "c": [1]}, "d": 2, "e": {}}
    after = {"a": {"b": 1, "c": [2]}, "e": {"f": None, "g": 3}}
    assert recipe_changes(before, after) == {"a.c": ([1], [2]), "d": (2, None), "e": ({}, None), "e.g": (None, 3)}
