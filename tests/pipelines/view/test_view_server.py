"""The server of tamis view answers as the files of the release say, and answers nobody else."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import asdict
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pyarrow as pa
import pytest

from tamis.pipelines.estimate.what_if import WhatIf, total
from tamis.pipelines.recipe.load import with_limits
from tamis.pipelines.view.marks import Marks, label_of
from tamis.pipelines.view.moved_limits import EXAMPLES
from tamis.pipelines.view.server import listen, serve
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.release import Release
from tamis.transforms.provenance import ledger
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import CHANGES, run, write_recipe

HOSTILE = {
    "script": "<script>document.title = 'owned'</script><img src=x onerror=alert(1)><!-- never closed " + "word " * 60,
    "nul": "a\x00b \x1b[31m and more of it \x00 " + "word " * 60,
    "marks": "\u200f" * 3_000_000 + "word " * 60,
    "quotes\"'&<b>": "word " * 60,
}
"""Texts by id that a page must show and not obey; the third has 9 MB of marks that only turn the direction."""


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Several parts, with duplicates, edits, cuts, a benchmark item and hostile texts."""
    folder = tmp_path_factory.mktemp("view")
    records = corpus(160, seed=3)
    item = next(str(record["text"]) for record in records if record["trap"] == "plain")
    (folder / "items.jsonl").write_text(json.dumps({"question": item}) + "\n")
    source = save(folder / "in", dealt(records, 3, seed=1))
    save(folder / "hostile", [[{"id": name, "text": text} for name, text in HOSTILE.items()]])
    (folder / "hostile/piece-00.jsonl").rename(source / "hostile.jsonl")
    benchmarks = [{"name": "items", "path": str(folder / "items.jsonl"), "question": "question"}]
    recipe = write_recipe(folder, **CHANGES, decontaminate={"benchmarks": benchmarks})
    return run(recipe, source, folder / "run").release


class Browser:
    """Asks a server as a browser does, with its cookie and the headers that it is given."""

    def __init__(self, address: str) -> None:
        self.address = urlsplit(address)
        status, headers, _ = self.ask(f"{self.address.path}?{self.address.query}")
        assert status == 303
        self.cookie = headers["set-cookie"]

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, content). `headers` replace the usual ones."""
        assert self.address.hostname
        connection = HTTPConnection(self.address.hostname, self.address.port, timeout=60)
        usual = {"Cookie": self.cookie.partition(";")[0]} if hasattr(self, "cookie") else {}
        method = "GET" if body is None else "POST"
        connection.request(method, path, body, usual | {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content

    def json(self, name: str, **parameters: Any) -> Any:
        """The answer to a question of the page, which must succeed."""
        status, _, content = self.ask(f"/api/{name}?{urlencode(parameters, doseq=True)}")
        assert status == 200, content
        return json.loads(content)


@pytest.fixture(scope="module")
def marks(tmp_path_factory: pytest.TempPathFactory) -> Marks:
    return Marks(str(tmp_path_factory.mktemp("marks") / "marks.jsonl"))


@pytest.fixture(scope="module")
def browser(release: Release, marks: Marks) -> Browser:
    listening, announced, addresses = listen(0), threading.Event(), []

    def announce(address: str) -> None:
        addresses.append(address)
        announced.set()

    threading.Thread(target=serve, args=(release, marks, listening, announce), daemon=True).start()
    assert announced.wait(60)
    return Browser(addresses[0])


def decided(release: Release) -> pa.Table:
    """The decisions of all documents, with the place of each and a signal."""
    tables = []
    for ordinal in ledger.decided_parts(release):
        table = ledger.decisions(release, ordinal, ["id", "decision", "reason", "source", "url", "tokens", "representative"])
        words = release.part(ordinal).columns(["gopher.word_count"])["gopher.word_count"]
        table = table.append_column("words", words).append_column("part", pa.array([ordinal] * table.num_rows))
        tables.append(table.append_column("row", pa.array(range(table.num_rows))))
    return pa.concat_tables(tables)


# --- who is answered ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/view.js", "/api/release", "/api/documents", "/labels.csv"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Cookie": ""},
        {"Cookie": "tamis-view-1=x"},
    ],
    ids=str,
)
def test_other_hosts_origins_and_sessions_are_refused(browser: Browser, path: str, headers: dict[str, str]) -> None:
    assert browser.ask(path)[0] == 200
    status, _, content = browser.ask(path, **headers)
    assert status in (400, 403)
    assert len(content) < 300


def test_a_mark_from_another_origin_is_not_made(browser: Browser, marks: Marks) -> None:
    body = json.dumps({"part": 0, "row": 0, "verdict": "wrong"})
    assert browser.ask("/api/marks", body, Origin="https://evil.example")[0] == 403
    assert len(marks) == 0


def test_the_token_is_needed_once_and_must_be_the_right_one(browser: Browser) -> None:
    assert browser.ask("/?token=wrong", Cookie="")[0] == 403
    assert "httponly" in browser.cookie.lower()
    assert "samesite=strict" in browser.cookie.lower()


def test_every_answer_forbids_foreign_and_inline_code(browser: Browser) -> None:
    for path in ("/", "/api/release", "/api/document?part=9&row=9"):
        headers = browser.ask(path)[1]
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"


# --- what is answered --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"decision": "drop"},
        {"decision": "drop", "reason": "dedup.exact"},
        {"source": "web", "range": "gopher.word_count:100:200"},
        {"range": ["gopher.word_count::300", "tokens:50:"]},
        {"find": "doc-00001"},
        {"find": "web.example/1"},
        {"host": "books.example"},
        {"reason": "no such reason"},
        {"find": "x\x00'; DROP VIEW documents; --"},
    ],
    ids=str,
)
def test_the_list_and_its_counts_are_those_of_the_ledger(release: Release, browser: Browser, wanted: dict[str, Any]) -> None:
    def matches(row: dict[str, Any]) -> bool:
        ranges = wanted.get("range", [])
        for name, low, high in (each.rsplit(":", 2) for each in ([ranges] if isinstance(ranges, str) else ranges)):
            value = row["words" if name == "gopher.word_count" else name]
            if (low and value < float(low)) or (high and value > float(high)):
                return False
        if "find" in wanted and not (
            row["id"].startswith(wanted["find"]) or (row["url"] or "").startswith(f"https://{wanted['find']}")
        ):
            return False
        if "host" in wanted and not (row["url"] or "").startswith(f"https://{wanted['host']}/"):
            return False
        return all(row[name] == wanted[name] for name in ("decision", "reason", "source") if name in wanted)

    expected = [row for row in decided(release).to_pylist() if matches(row)]
    found = browser.json("documents", count=200, **wanted)["rows"]
    assert [(row["part"], row["row"], row["id"]) for row in found] == [(row["part"], row["row"], row["id"]) for row in expected]
    counted = {(row["decision"], row["reason"]): row["documents"] for row in browser.json("counts", **wanted)}
    assert counted == Counter((row["decision"], row["reason"]) for row in expected)


@pytest.mark.parametrize("column", ["host", "language"])
def test_the_values_that_fields_suggest_are_the_most_frequent(release: Release, browser: Browser, column: str) -> None:
    expected = Counter(urlsplit(row["url"]).hostname for row in decided(release).to_pylist() if row["url"])
    suggested = [(row["value"], row["documents"]) for row in browser.json("values", column=column)]
    assert suggested == (sorted(expected.items(), key=lambda item: (-item[1], item[0])) if column == "host" else [])


def test_pages_of_a_sorted_list_are_the_list(release: Release, browser: Browser) -> None:
    expected = sorted(decided(release).to_pylist(), key=lambda row: (-row["words"], row["part"], row["row"]))
    pages = [
        browser.json("documents", sort="gopher.word_count", direction="descending", count=40, first=first)["rows"]
        for first in range(0, len(expected), 40)
    ]
    assert [row["id"] for page in pages for row in page] == [row["id"] for row in expected]


@pytest.mark.parametrize("wanted", [{}, {"decision": "keep"}])
def test_a_search_that_goes_on_finds_every_text_once(release: Release, browser: Browser, wanted: dict[str, str]) -> None:
    expected = []
    for ordinal in ledger.decided_parts(release):
        texts = release.part(ordinal).columns(["text"])["text"].to_pylist()
        decisions = ledger.decisions(release, ordinal, ["decision"])["decision"].to_pylist()
        expected += [
            (ordinal, row)
            for row, (text, decision) in enumerate(zip(texts, decisions, strict=True))
            if "that with" in text.lower() and decision == wanted.get("decision", decision)
        ]
    found, start, searched = [], 0, 0
    while start is not None:
        answer = browser.json("search", passage="THAT with", start=start, count=3, **wanted)
        assert len(answer["rows"]) <= 3
        found += [(row["part"], row["row"]) for row in answer["rows"]]
        start, searched = answer["next"], searched + answer["searched"]
    assert found == expected
    assert len(expected) > 3
    assert searched == len(decided(release).to_pylist()) if not wanted else searched


def test_the_windows_of_a_text_are_the_text_as_it_was_read(release: Release, browser: Browser) -> None:
    read = {str(record["id"]): str(record["text"]) for record in corpus(160, seed=3)} | HOSTILE
    for row in browser.json("documents", find="marks")["rows"] + browser.json("documents", count=60)["rows"]:
        answer, pieces = browser.json("document", part=row["part"], row=row["row"])["text"], []
        total = answer["characters"]
        while True:
            pieces += answer["pieces"]
            if answer["next"] is None or total > 1_000_000:
                break
            answer = browser.json("text", part=row["part"], row=row["row"], first=answer["next"])
        text = "".join(piece["text"] for piece in pieces if piece["kind"] != "inserted")
        assert read[row["id"]].startswith(text) if total > 1_000_000 else text == read[row["id"]]


def test_a_duplicate_stands_beside_what_was_kept_and_an_item_beside_its_span(release: Release, browser: Browser) -> None:
    (near, *_) = browser.json("documents", reason="dedup.near")["rows"]
    document = browser.json("document", part=near["part"], row=near["row"])
    part, row = document["representative_place"]
    kept = browser.json("document", part=part, row=row)
    assert kept["id"] == document["representative"]
    beside = browser.json("representative", part=near["part"], row=near["row"])
    assert {piece["kind"] for piece in beside["own"]} == {"same", "differs"}
    (met, *_) = (
        browser.json("documents", reason="contamination.items")["rows"]
        or browser.json("documents", reason="contamination")["rows"]
    )
    document = browser.json("document", part=met["part"], row=met["row"])
    (match, *_) = document["contamination"]
    marked = "".join(piece["text"] for piece in document["text"]["pieces"] if piece["matched"])
    assert len(marked.encode()) == match["stop"] - match["start"]
    item = browser.json("item", part=met["part"], row=met["row"], number=0)
    assert "".join(piece["text"] for piece in item["own"]) == marked


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("documents?sort=gopher.wordcount", "did you mean 'gopher.word_count'?"),
        ("documents?range=tokens", "is no range"),
        ("documents?first=-1", "must be a whole number"),
        ("document?part=0&row=99999", "has no document at part 0, row 99999"),
        ("document?part=77&row=0", "has no document at part 77"),
        ("document", "must be a whole number"),
        ("search", "the passage is empty"),
        ("values?column=id", "must be language or host"),
        ("item?part=0&row=0&number=5", "and no number 5"),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong(browser: Browser, question: str, message: str) -> None:
    status, _, content = browser.ask(f"/api/{question}")
    assert status == 400
    assert message in json.loads(content)["error"]


def test_a_moved_limit_is_answered_as_what_if_does(release: Release, browser: Browser) -> None:
    fields = {field["setting"]: field for field in browser.json("limits")}
    assert {name: field["value"] for name, field in fields.items()} == {
        "thresholds.gopher.word_count.min": 20,
        "thresholds.gopher.mean_word_length.min": 2,
        "thresholds.gopher.mean_word_length.max": 12,
    }
    assert all(field["low"] <= field["high"] for field in fields.values())
    setting = "thresholds.gopher.word_count.min=60"
    found = browser.json("what-if", set=setting)
    core = WhatIf(release).answer(with_limits(release.manifest, [setting]))
    assert found["newly_dropped"] == asdict(total(core.newly_dropped))
    assert found["newly_dropped"]["documents"] == len([each for each in found["examples"] if not each["is_newly_kept"]]) or (
        len(found["examples"]) == EXAMPLES
    )
    assert browser.ask("/api/what-if?set=seed=1")[0] == 400


def test_a_port_that_is_taken_is_named_with_the_cure() -> None:
    with listen(0) as taken, pytest.raises(RunError, match="name another with --port"):
        listen(taken.getsockname()[1])


# --- marks -------------------------------------------------------------------------------------------------------------


def test_marks_are_kept_and_give_labels(release: Release, browser: Browser, marks: Marks) -> None:
    rows = {name: browser.json("documents", reason=name)["rows"][0] for name in ("gopher.word_count", "dedup.exact")} | {
        "keep": browser.json("documents", decision="keep")["rows"][0]
    }
    for row in rows.values():
        status, _, _ = browser.ask("/api/marks", json.dumps({"part": row["part"], "row": row["row"], "verdict": "wrong"}))
        assert status == 200
    labels = {row["id"]: None for row in rows.values()} | {rows["gopher.word_count"]["id"]: 1, rows["keep"]["id"]: 0}
    assert {mark.id: mark.label for mark in Marks(marks.path)} == labels
    table = browser.ask("/labels.csv")[2].decode().splitlines()
    assert table[0] == "id,label"
    assert sorted(table[1:]) == sorted(f"{name},{label}" for name, label in labels.items() if label is not None)
    for row in rows.values():
        browser.ask("/api/marks", json.dumps({"part": row["part"], "row": row["row"], "verdict": None}))
    assert Path(marks.path).read_bytes() == b""


@pytest.mark.parametrize(
    "body",
    ["[]", "{}", "nonsense", '{"part": 0, "row": true, "verdict": "right"}', '{"part": 0, "row": 0, "verdict": "\\ud800"}',
     '{"part": 0, "row": 0, "verdict": "maybe"}', '{"part": 1e300, "row": 0, "verdict": "right"}'],
)  # fmt: skip
def test_what_is_no_mark_is_refused(browser: Browser, marks: Marks, body: str) -> None:
    assert browser.ask("/api/marks", body)[0] == 400
    assert len(marks) == 0


@pytest.mark.parametrize(
    ("verdict", "decision", "reason", "label"),
    [
        ("right", "keep", None, 1),
        ("wrong", "keep", None, 0),
        ("right", "drop", "gopher.word_count", 0),
        ("wrong", "drop", "gopher.word_count", 1),
        ("wrong", "drop", "dedup.near", None),
        ("right", "review", "gopher.word_count", None),
    ],
)
def test_a_mark_is_a_label_where_the_decision_judged_the_text(verdict: Any, decision: str, reason: Any, label: Any) -> None:
    assert label_of(verdict, decision, reason, ["gopher.word_count"]) == label


def test_a_file_of_something_else_is_no_file_of_marks(tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text('{"id": "a"}\n')
    with pytest.raises(RunError, match="line 1: it is no mark"):
        Marks(str(path))
