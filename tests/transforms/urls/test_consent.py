"""What a table disallows is what a search of its rows finds, by host, path, agent and day."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.testing import check_rater
from tamis.transforms.beam.step import Documents
from tamis.transforms.text.canonical_urls import canonical_url
from tamis.transforms.text.segment import unsegmented
from tamis.transforms.urls.consent import ConsentRater
from tamis.transforms.urls.consent_options import Consent
from tamis.transforms.urls.judge_urls import JudgeConsent

Row = dict[str, Any]


def rate(options: Consent, urls: Sequence[str | None], dates: Sequence[str | None] = ()) -> pa.RecordBatch:
    texts = unsegmented(pa.array(["text"] * len(urls), pa.large_string()))
    day = pa.array(dates or [None] * len(urls), pa.string())
    return ConsentRater(options).rate(texts.with_columns({"url": pa.array(urls, pa.string()), "date": day}))


def table(path: Path, rows: Sequence[Row], **options: Any) -> Consent:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Consent.model_validate({"robots": str(path), "agents": ["GPTBot", "CCBot"], **options})


def decisions(options: Consent, urls: Sequence[str | None]) -> list[tuple[str, str | None]]:
    rated = rate(options, urls)
    nulls = pa.nulls(len(urls), pa.string())
    documents = Documents(
        {name: rated[name] for name in rated.schema.names}, pa.array(["keep"] * len(urls)), nulls, nulls, True
    )
    JudgeConsent(options).decide(documents, None)
    assert {reason for reason in documents.reason.to_pylist() if reason} <= {"consent"}
    return list(zip(documents.decision.to_pylist(), documents.detail.to_pylist(), strict=True))


DAYS = [str(date(2024, 1, 1) + timedelta(days=day)) for day in range(4)]

table_rows = st.lists(
    st.fixed_dictionaries(
        {
            "host": st.sampled_from(["a.com", "A.com.", "b.a.com", "c.org", ""]),
            "agents": st.lists(st.sampled_from(["gptbot", "CCBot", "Other", "*"]), max_size=2),
            "path": st.sampled_from([None, "/", "/x", "/x/", "/xy", "z", "/x?q"]),
            "from": st.sampled_from([None, *DAYS]),
            "to": st.sampled_from([None, *DAYS]),
        }
    ),
    min_size=1,
    max_size=6,
)
some_urls = st.tuples(
    st.sampled_from(["a.com", "b.a.com", "c.org", "d.net"]), st.sampled_from(["", "/", "/x", "/x/1", "/xyz", "/z", "/x?q=1"])
)


def disallows(row: Row, host: str, path: str, day: str | None) -> bool:
    mine = {agent.lower() for agent in row["agents"]} & {"gptbot", "ccbot", "*"}
    inside = not day or ((row["from"] or "") <= day <= (row["to"] or "9"))
    begin = row["path"] or "/"
    begin = begin if begin.startswith("/") else f"/{begin}"
    return bool(mine) and inside and canonical_url(f"http://{row['host']}")[0] == host and path.startswith(begin)


@settings(max_examples=120)
@given(table_rows, st.lists(st.tuples(some_urls, st.sampled_from([None, *DAYS])), max_size=6))
def test_the_rows_that_disallow_are_those_of_a_search(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], documents: list[tuple[tuple[str, str], str | None]]
) -> None:
    rows = [*rows, {"host": "known.net", "agents": [], "path": None, "from": None, "to": None}]
    options = table(tmp_path_factory.mktemp("table") / "robots.jsonl", rows)
    rated = rate(options, [f"http://{host}{path}" for (host, path), _ in documents], [day for _, day in documents])
    statuses, named = rated["consent.status"].to_pylist(), rated["consent.row"].to_pylist()
    for ((host, path), day), status, row in zip(documents, statuses, named, strict=True):
        path = canonical_url(f"http://{host}{path}")[1]
        holding = [number for number, each in enumerate(rows) if disallows(each, host, path, day)]
        known = any(canonical_url(f"http://{each['host']}")[0] == host for each in rows)
        assert status == ("disallowed" if holding else "allowed" if known else "missing")
        assert (row is None) == (not holding)
        assert row is None or any(row.endswith(f"robots.jsonl row {number + 1})") for number in holding)


def test_decisions_name_the_row(tmp_path: Path) -> None:
    rows = [
        {"host": "news.com", "agents": ["GPTBot", "Bytespider"]},
        {"host": "shop.com", "agents": ["ccbot"], "path": "/cart"},
        {"host": "open.org", "agents": None},
    ]
    options = table(tmp_path / "robots.jsonl", rows)
    urls = ["https://news.com/1", "http://shop.com/cart/2", "http://shop.com/", "http://open.org", "http://new.org", None]
    where = f"{tmp_path}/robots.jsonl"
    expected: list[tuple[str, str | None]] = [
        ("drop", f"news.com disallows GPTBot ({where} row 1)"),
        ("drop", f"shop.com/cart disallows CCBot ({where} row 2)"),
        *[("keep", None)] * 4,
    ]
    assert decisions(options, urls) == expected
    strict = options.model_copy(update={"missing": "deny", "action": "review"})
    assert decisions(strict, urls)[0][0] == "review"
    assert decisions(strict, urls)[2:] == [
        *[("keep", None)] * 2,
        ("review", "its host is not in the table"),
        ("review", "no address"),
    ]


@pytest.mark.parametrize(
    "name", ["robots.parquet", "robots.csv", "robots.tsv", "robots.jsonl", "robots.jsonl.gz", "robots.csv.gz"]
)
def test_formats(tmp_path: Path, name: str) -> None:
    rows = [
        {"domain": "a.com", "agents": "GPTBot, Other", "since": "2024-01-02"},
        {"domain": "b.com", "agents": "", "since": ""},
    ]
    file = tmp_path / name
    columns = pa.Table.from_pylist(rows)
    if ".parquet" in name:
        columns = columns.set_column(1, "agents", pa.array([["GPTBot", "Other"], []], pa.list_(pa.string())))
        pq.write_table(columns.set_column(2, "since", pa.array([date(2024, 1, 2), None], pa.date32())), file)
    elif ".jsonl" in name:
        text = "".join(json.dumps(row) + "\n" for row in rows).encode()
        file.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    else:
        delimiter = "\t" if ".tsv" in name else ","
        sink = pa.BufferOutputStream()
        pyarrow.csv.write_csv(columns, sink, pyarrow.csv.WriteOptions(delimiter=delimiter))
        text = sink.getvalue().to_pybytes()
        file.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    options = Consent.model_validate({"robots": str(file), "agents": ["gptbot"], "fields": {"host": "domain", "from": "since"}})
    rated = rate(
        options, ["http://a.com", "http://a.com", "http://b.com", "http://c.com"], ["2024-01-01", "20240102", None, None]
    )
    assert rated["consent.status"].to_pylist() == ["allowed", "disallowed", "allowed", "missing"]


def test_rows_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    rows = [
        {"host": "a.com", "agents": ["gptbot"], "path": "/*.pdf$"},
        {"host": "not a host", "agents": ["gptbot"]},
        {"host": "b.com", "agents": ["gptbot"], "from": "soon"},
        {"host": "c.com", "agents": ["gptbot"], "path": "/x*"},
    ]
    options = table(tmp_path / "robots.jsonl", rows)
    notes = ConsentRater(options).index.notes
    assert {reason.split(",")[0]: count for reason, (count, _) in notes.unread.items()} == {
        "a path with a wildcard": 1,
        "no host": 1,
        "a date that is none": 1,
    }
    urls = ["http://a.com/a.pdf", "http://b.com", "http://c.com/xyz"]
    assert rate(options, urls)["consent.status"].to_pylist() == ["allowed", "disallowed", "disallowed"]


def test_it_keeps_the_contract(tmp_path: Path) -> None:
    rater = ConsentRater(table(tmp_path / "robots.jsonl", [{"host": "a.com", "agents": ["*"], "from": "2024-01-01"}]))
    check_rater(rater, {"url": ["http://a.com/x", "b.com", "none"], "date": ["2024-01-01T10:00:00Z", "2023", "x"]})


def test_hosts_below(tmp_path: Path) -> None:
    rows = [{"host": "a.co.uk", "agents": ["*"]}]
    urls = ["http://a.co.uk", "http://www.a.co.uk", "http://b.co.uk"]
    statuses = {
        match: rate(table(tmp_path / "robots.jsonl", rows, match=match), urls)["consent.status"].to_pylist()
        for match in ("exact", "below", "domain")
    }
    below = ["disallowed", "disallowed", "missing"]
    assert statuses == {"exact": ["disallowed", "missing", "missing"], "below": below, "domain": below}


def test_what_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no column 'host'; the columns are domain, agents: name it with"):
        _ = ConsentRater(table(tmp_path / "a.jsonl", [{"domain": "a.com", "agents": []}])).index
    with pytest.raises(ValueError, match=r"there is no column 'until' \(fields.to\)"):
        _ = ConsentRater(table(tmp_path / "b.jsonl", [{"host": "a.com", "agents": []}], fields={"to": "until"})).index
    with pytest.raises(ValueError, match="no row names a host"):
        _ = ConsentRater(table(tmp_path / "c.jsonl", [{"host": "", "agents": []}])).index
    (tmp_path / "d.parquet").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"d.parquet: unreadable table"):
        _ = ConsentRater(Consent(robots=str(tmp_path / "d.parquet"), agents=("a",))).index
    (tmp_path / "e.txt").write_text("a.com\n")
    with pytest.raises(ValueError, match=r"e.txt: a table is in a file with .parquet"):
        _ = ConsentRater(Consent(robots=str(tmp_path / "e.txt"), agents=("a",))).index
    with pytest.raises(FileNotFoundError, match="nowhere"):
        _ = ConsentRater(Consent(robots=str(tmp_path / "nowhere.csv"), agents=("a",))).fingerprint
