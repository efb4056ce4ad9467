"""The tables of a release say what its files say, answer what SQL asks, and change and read nothing else."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import tamis
from tamis.pipelines.cli.main import app
from tamis.pipelines.lookup.release_tables import SAMPLE_KEY, ask, connect, quote_signals, tables_of
from tamis.pipelines.releases.release_diff import release_diff
from tamis.transforms.core.documents import hosts
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.release import Release, open_release
from tamis.transforms.provenance import ledger
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import CHANGES, run, write_recipe


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Several parts, edits, cuts, addresses, and a record that cannot be read."""
    folder = tmp_path_factory.mktemp("tables")
    source = save(folder / "in", dealt(corpus(160, seed=3), 3, seed=1))
    with (source / "piece-00.jsonl").open("a") as file:
        file.write('{"id": "broken"\n')
        file.write(
            json.dumps({"id": "addressed", "text": "It says that much. " * 30, "url": "HTTP://u@Host.Example.:80/x"}) + "\n"
        )
    return run(write_recipe(folder, **CHANGES, max_rejects=1), source, folder / "run").release


def whole(release: Release) -> pa.Table:
    """Every document: its decisions beside the columns of the rated part, with nothing joined."""
    tables = []
    for ordinal in ledger.decided_parts(release):
        table = ledger.decisions(release, ordinal)
        part = release.part(ordinal)
        for name in (*ledger.signal_fields(release), "text", "edits"):
            table = table.append_column(name, part.columns([name])[name])
        tables.append(table)
    return pa.concat_tables(tables)


def test_documents_are_the_rows_of_decisions_with_the_signals_of_the_same_documents(release: Release) -> None:
    assert len(ledger.decided_parts(release)) > 1
    expected = whole(release)
    found = ask(connect(release), "SELECT * FROM documents")
    names = [name for name in expected.column_names if name not in ("cuts", "text", "edits")]
    assert found.select(names).to_pydict() == expected.select(names).to_pydict()
    assert found["host"].to_pylist() == hosts(expected["url"].combine_chunks()).to_pylist()
    assert "host.example" in found["host"].to_pylist()
    places = [(part, row) for part in ledger.decided_parts(release) for row in range(len(ledger.decisions(release, part)))]
    assert list(zip(found["part"].to_pylist(), found["row"].to_pylist(), strict=True)) == places


def test_texts_cuts_edits_rejects_and_data(release: Release) -> None:
    connection, expected = connect(release), whole(release)
    texts = ask(connection, "SELECT * FROM texts")
    assert texts.to_pydict() == expected.select(["id", "text"]).to_pydict()
    for name in ("cuts", "edits"):
        spans = [{"id": row["id"]} | span for row in expected.select(["id", name]).to_pylist() for span in row[name] or ()]
        assert spans
        assert ask(connection, f"SELECT * FROM {name}").to_pylist() == spans
    (reject,) = ask(connection, "SELECT * FROM rejects").to_pylist()
    assert reject["uri"].endswith("piece-00.jsonl")
    assert reject["excerpt"] == '{"id": "broken"'
    kept = expected.filter(pc.equal(expected["decision"], "keep"))["id"].to_pylist()
    assert sorted(ask(connection, "SELECT id FROM data")["id"].to_pylist()) == sorted(kept)


@pytest.fixture(scope="module")
def documents(release: Release) -> tuple[list[dict[str, Any]], duckdb.DuckDBPyConnection]:
    """Every document, and a connection."""
    return whole(release).to_pylist(), connect(release)


@settings(max_examples=20, deadline=None)
@given(low=st.integers(0, 200), share=st.floats(0, 1), decision=st.sampled_from(["keep", "drop"]))
def test_conditions_on_columns_of_both_files_hold_for_one_document(
    documents: tuple[list[dict[str, Any]], duckdb.DuckDBPyConnection], low: int, share: float, decision: str
) -> None:
    rows, connection = documents
    question = f"""
        SELECT id FROM documents
        WHERE gopher.word_count > {low} AND repetition.top_2gram_chars < {share!r} AND decision = '{decision}' ORDER BY id"""
    expected = sorted(
        row["id"]
        for row in rows
        if row["gopher.word_count"] > low and row["repetition.top_2gram_chars"] < share and row["decision"] == decision
    )
    assert ask(connection, question)["id"].to_pylist() == expected


def test_only_columns_that_are_named_are_read(release: Release) -> None:
    ((_, plan),) = (
        connect(release).execute("EXPLAIN SELECT avg(\"gopher.word_count\") FROM documents WHERE reason = 'x'").fetchall()
    )
    read = "".join(plan.split())
    assert "gopher.word_count" in read
    assert "text" not in read
    assert "repetition" not in read


def test_samples_are_those_of_the_house(release: Release) -> None:
    ids = ask(connect(release), f"SELECT id FROM documents ORDER BY {SAMPLE_KEY}(id, 7), id")["id"].to_pylist()
    keys = ledger.sample_keys(pa.array(sorted(ids)), 7)
    assert ids == [sorted(ids)[number] for number in np.argsort(keys, kind="stable")]


def test_the_tables_of_two_releases_stand_side_by_side(release: Release) -> None:
    question = "SELECT count(*) AS n FROM release_0.documents JOIN release_1.documents USING (id, decision)"
    assert ask(connect(release, release), question)["n"].to_pylist() == [len(whole(release))]


def test_an_unread_release_has_a_table_of_rejects(tmp_path: Path) -> None:
    source = save(tmp_path / "in", [corpus(8, seed=1)])
    made = run(write_recipe(tmp_path, output={"format": "jsonl.zst"}), source, tmp_path / "run").release
    connection = connect(made)
    assert ask(connection, "FROM rejects").num_rows == 0
    assert ask(connection, "SELECT count(*) AS n FROM data")["n"].to_pylist() == [made.manifest["counts"]["kept"]]
    assert "edits" not in tables_of(connection)


def test_decisions_of_an_early_version_have_fewer_columns(release: Release, tmp_path: Path) -> None:
    early = shutil.copytree(release.run, tmp_path / "run", symlinks=True)
    for path in early.glob("releases/000001/decisions/*"):
        table = pq.read_table(path)
        pq.write_table(table.drop_columns(["url", "input_id", "text_hash", "record_hash", "cuts"]), path)
    opened = open_release(str(early))
    (counts,) = ask(connect(opened), "SELECT count(url) AS urls, count(text_hash) AS hashes FROM documents").to_pylist()
    assert counts == {"urls": whole(release)["url"].drop_null().length(), "hashes": 0}
    diff = release_diff(opened, release)
    assert (diff.flipped, diff.counts.gone, diff.counts.other_text) == (0, 0, 0)


@pytest.mark.parametrize(
    ("question", "quoted"),
    [
        ("select a.b from t", 'select "a.b" from t'),
        ("select A.B, t.a.b+1 from t", 'select "a.b", t."a.b"+1 from t'),
        ("select t.b, a.b_c, x.a, a.b.c", "select t.b, a.b_c, x.a, a.b.c"),
        (
            "select 'a.b', \"a.b\", 'it''s a.b' -- a.b\n, /* a.b */ a.b",
            "select 'a.b', \"a.b\", 'it''s a.b' -- a.b\n, /* a.b */ \"a.b\"",
        ),
        ("select 1.5, $$a.b$$, d.e.f", 'select 1.5, $$a.b$$, "d.e.f"'),
    ],
)
def test_signals_need_no_quotes(question: str, quoted: str) -> None:
    assert quote_signals(question, ["a.b", "d.e.f", "id"]) == quoted


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("select gopher.wordcount from documents", "no column 'gopher.wordcount': did you mean gopher.word_count?"),
        ("select d.tokns from documents d", "no column 'tokns': did you mean tokens?"),
        ("select * from document", "no table 'document': did you mean documents?"),
        ("select * from documents where id = 3 and", "syntax error"),
        ("select 1; select 2", "one SELECT"),
        ("", "one SELECT"),
        ("create table t as select 1", "one SELECT"),
        ("copy documents to 'out.csv'", "one SELECT"),
        ("attach 'out.db'", "one SELECT"),
        ("set enable_external_access = true", "one SELECT"),
        ("select * from read_text('/etc/hostname')", "disabled by configuration"),
        ("select * from '*.parquet'", "disabled by configuration"),
        ("select host_of(id) from documents where id::int > 0", "Could not convert string"),
    ],
)
def test_what_cannot_be_asked(release: Release, question: str, message: str) -> None:
    with pytest.raises(RunError) as raised:
        ask(connect(release), question)
    assert message in str(raised.value)


def test_sums_are_integers_of_64_bits(release: Release) -> None:
    assert ask(connect(release), "SELECT sum(tokens) AS s, sum(tokens) * 1e30::HUGEINT AS t FROM documents").schema.types == [
        pa.int64(),
        pa.decimal128(38, 0),
    ]


def test_the_command_prints_a_table_and_writes_files(release: Release, tmp_path: Path) -> None:
    def printed(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["query", release.run, *arguments])
        assert result.exit_code == code, result.output
        return result.output

    question = "SELECT decision, reason, count(*) AS n FROM documents GROUP BY ALL ORDER BY ALL"
    rows = ask(connect(release), question).to_pylist()
    table = printed(question).splitlines()
    assert table[0].split() == ["decision", "reason", "n"]
    assert [line.split()[-1] for line in table[1:]] == [str(row["n"]) for row in rows]
    assert [json.loads(line) for line in printed(question, "--format", "json").splitlines()] == rows
    assert list(csv.DictReader(io.StringIO(printed(question, "--format", "csv")))) == [
        {name: str("" if value is None else value) for name, value in row.items()} for row in rows
    ]
    assert f"{len(rows)} rows" in printed(question, "--output", str(tmp_path / "answer.parquet"))
    assert pq.read_table(tmp_path / "answer.parquet").to_pylist() == rows
    assert "documents: id, source, decision, reason" in printed()
    assert "no format 'xml'" in printed(question, "--format", "xml", code=1)
    assert "name a file with --output" in printed(question, "--format", "parquet", code=1)
    assert printed("SELECT chr(27) || 'x' AS v").split() == ["v", "\\x1bx"]
    assert json.loads(printed("SELECT 'nan'::DOUBLE AS v, [1, 2] AS l", "--format", "json")) == {"v": None, "l": [1, 2]}
    assert printed("SELECT [1, 2] AS l", "--format", "csv") == 'l\n"[1, 2]"\n'
    wide = printed("SELECT * FROM documents ORDER BY id LIMIT 2").split("\n\n")
    assert len(wide) == 2
    assert wide[0].startswith("id ")
    assert "… 1 more row;" in printed("SELECT unnest(range(101)) AS n")


def test_a_release_answers_in_python_and_shows_itself_in_a_notebook(release: Release) -> None:
    opened = tamis.Release.open(release.run)
    counts = opened.manifest["counts"]
    assert opened.query("SELECT count(*) AS n FROM documents WHERE decision = 'keep'")["n"].to_pylist() == [counts["kept"]]
    shown = opened._repr_html_()
    assert f"<td>kept</td><td></td><td>{counts['kept']:,}</td>" in shown
    for row in counts["reasons"]:
        assert f"<td>{row['decision']}</td><td>{row['reason']}</td><td>{row['documents']:,}</td>" in shown


def test_nothing_outside_the_release_is_read_by_the_connection(release: Release, tmp_path: Path) -> None:
    connection = connect(open_release(release.run))
    with pytest.raises(duckdb.PermissionException):
        connection.execute(f"COPY documents TO '{tmp_path}/out.parquet'")
    with pytest.raises(duckdb.InvalidInputException):
        connection.execute("SET enable_external_access = true")
