"""The report is one inert page: it shows the run's numbers, works for empty runs, and shows hostile text as text."""

from __future__ import annotations

import copy
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tamis.pipelines.report.benchmark_sections import BenchmarkSection, side_by_side
from tamis.pipelines.report.page import SOURCE_ROWS, render
from tamis.pipelines.report.page_data import ReportData, load_report_data
from tamis.pipelines.report.quality_diversity import Measured, StepMeasures
from tamis.pipelines.run.receipts import BINS, MATCH_SAMPLES, SAMPLES, CopyDistance, edges
from tamis.transforms.core.rater import Signal
from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.order import Curriculum
from tamis.transforms.select.rule_blocks import Rules
from tamis.transforms.select.thresholds import Threshold
from tamis.transforms.text.words import DEFAULT_WORDS
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import run, write_recipe

HOSTILE = (
    "<script>alert('x')</script>\"' onload=alert(1) </title></style><img src=http://example.org>{{ 7 * 7 }}\x00\x1b\ud800\u202e"
)


def manifest() -> dict[str, Any]:
    curriculum = Curriculum(order="ascending", schedule=Schedule(final=1e-3)).model_dump(mode="json")
    shards = [
        {
            "path": f"data/phase-1/shard-0000{i}.parquet",
            "phase": "phase-1",
            "documents": 3,
            "first_token": 400 * i,
            "tokens": 400,
        }
        | {"lr_min": 1e-3, "lr_max": 3e-3}
        for i in range(2)
    ]
    threshold = {"min": 50, "max": 100000, "one_of": None, "action": "drop", "margin": 0.0}
    return {
        "tamis": "0.1.0",
        "recipe": {
            "name": "web",
            "thresholds": {
                "gopher.word_count": threshold,
                "language.label": threshold | {"min": None, "max": None, "one_of": ["en"]},
            },
            "dedup": {"exact": True, "minhash": {"bands": 14, "rows": 8, "ngram": 5, "threshold": 0.7}},
            "decontaminate": {"benchmarks": []},
            "guards": {
                "synthetic": {"where": {"source": ["books"]}, "warn_above": 0.3, "fail_above": 0.5, "along": True},
                "shares": {"good": {"where": {"quality": {"min": 0.4, "max": None}}, "warn_below": 0.1}},
            },
        },
        "fingerprint": "00ff",
        "counts": {
            "records": 12,
            "kept": 6,
            "dropped": 4,
            "review": 1,
            "rejected": 1,
            "repeated": {"documents": 2, "tokens": 80},
            "tokens": {"in": 1200, "kept": 800, "dropped": 300, "review": 100},
            "reasons": [
                {"decision": "drop", "reason": "gopher.word_count", "documents": 3, "tokens": 200},
                {"decision": "drop", "reason": "language.label", "documents": 1, "tokens": 100},
                {"decision": "review", "reason": "compression.ratio", "documents": 1, "tokens": 100},
            ],
            "sources": {"web": {"kept": 6, "dropped": 4, "review": 1, "kept_tokens": 800}},
        },
        "curriculum": {**curriculum, "tokens": 800, "lr_mass_best_decile": 0.0475, "shards": shards},
        "guards": {"real_tokens": 700, "shares": {"synthetic": 0.4, "good": 0.5}},
        "warnings": [
            {"code": "ids-renamed", "message": "41 documents had the id of another", "numbers": {"documents": 41}},
            {
                "code": "quality-is-length",
                "message": "Quality goes with length",
                "numbers": {"spearman": 0.62, "threshold": 0.5},
            },
            {"code": "guard-synthetic", "message": "The share of synthetic documents is high", "numbers": {"share": 0.4}},
        ],
        "inputs": [{"uri": f"in/{name}.jsonl", "documents": n, "rejected": n == 7} for name, n in (("a", 7), ("b", 4))],
        "environment": {"python": "3.11.2", "machine": "x86_64"},
        "files": [{"path": shard["path"], "bytes": 1000, "sha256": "ab" * 32} for shard in shards],
        "root": "c1" * 32,
        "corpus_root": "d4" * 32,
    }


def example(**changed: Any) -> dict[str, Any]:
    values = [
        {"name": "gopher.word_count", "value": "12", "fails": "12 < 50"},
        {"name": "language.label", "value": "en", "fails": ""},
    ]
    made = {
        "id": "doc-3",
        "source": "web",
        "url": "http://x/3",
        "detail": "",
        "quality": 0.25,
        "values": values,
        "excerpt": "It was",
    }
    return made | changed


def section(text: str = "gsm8k") -> BenchmarkSection:
    """What the report has of a benchmark. `text`: in place of every text of it."""
    piece = [
        {"text": text, "kind": "same"},
        {"text": "sold 9 clips", "kind": "differs"},
        {"text": "Read on.", "kind": "around"},
    ]
    match = {"id": text, "item": text, "part": "question", "kind": "copied", "action": "drop", "score": 0.93}
    by_class = [{"kind": "copied", "action": "drop", "items": 2, "documents": 2, "kept": 0, "review": 0, "dropped": 2}]
    found = {"benchmark": text, "items": 20, "touched": 2, "documents": 2, "unmatchable": [text], "near_documents": 1}
    return {
        "found": {**found, "by_class": by_class},
        "edges": [0.0, 0.62, 1.0],
        "counts": [1, 2],
        "drop": 0.62,
        "review": 0.62,
        "examples": [{**match, "outcome": "dropped", "item_text": piece, "document_text": piece}],  # type: ignore[typeddict-item]
    }


def data() -> ReportData:
    return {
        "changes": ["since release 1: the same input files", "kept 5 → 6 (+1) documents, 700 → 800 (+100) tokens"],
        "reasons": [{"decision": "drop", "reason": "gopher.word_count", "examples": [example()]}],  # type: ignore[list-item]
        "kept": [{"low": 0.5, "high": 1.0, "documents": 6, "examples": [example(id="doc-5", values=[])]}],  # type: ignore[list-item]
        "groups": {
            "language": {
                "rows": [{"name": "en", "kept": 6, "review": 1, "dropped": 4, "kept_tokens": 800}],
                "others": 0,
                "uncounted": 0,
            },
            "host": {
                "rows": [{"name": "x", "kept": 3, "review": 0, "dropped": 1, "kept_tokens": 90}],
                "others": 7,
                "uncounted": 5,
            },
        },
        "histograms": {
            "gopher.word_count": {"unit": "words", "edges": [0.0, 10.0, 100.0, 1e5, 2e5], "counts": [2, 3, 6, 0], "missing": 1},
            "gopher.stop_words": {"unit": "words", "edges": [0.0, 1.0, 2.0], "counts": [4, 7], "missing": 0},
        },
        "clusters": [{"id": "doc-7", "copies": 42, "source": "web", "excerpt": "Permission is hereby granted"}],
        "pairs": [
            {"id": "doc-8", "kept": "doc-9", "jaccard": 0.83}
            | {"text": [{"text": "It was", "kind": "same"}], "kept_text": [{"text": "It is", "kind": "differs"}]}  # type: ignore[list-item]
        ],
        "measured": Measured(
            [StepMeasures("read", 11, 0.4, 5.0, 80.0, False), StepMeasures("thresholds", 6, 0.5, 3.0, 90.0, True)],
            "hosts",
            True,
        ),
        "contamination": [section()],
        "segments": [
            {"tokens": 100, "quality": 0.1 * i, "sources": {"web": 60, "books": 40}}
            | {"guarded": {"synthetic": 40, "good": 100 * (i > 3)}}
            for i in range(8)
        ],
        "repeats": CopyDistance(closest=120, minimum=100),
        "real_before": 650,
    }


def empty() -> tuple[dict[str, Any], ReportData]:
    """An empty run, with a recipe without sections."""
    run = manifest()
    run["recipe"] |= {"thresholds": {}, "dedup": None, "decontaminate": None, "guards": {}}
    tokens = dict.fromkeys(("in", "kept", "dropped", "review"), 0)
    run["counts"] = dict.fromkeys(("records", "kept", "dropped", "review", "rejected"), 0)
    run["counts"] |= {"tokens": tokens, "reasons": [], "sources": {}, "repeated": {"documents": 0, "tokens": 0}}
    run["guards"] = {"real_tokens": 0, "shares": {}}
    run["curriculum"] |= {"tokens": 0, "lr_mass_best_decile": 0.0, "shards": []}
    run |= {"warnings": [], "files": [], "inputs": []}
    nothing: ReportData = {
        "changes": [],
        "reasons": [],
        "kept": [],
        "groups": {},
        "histograms": {},
        "clusters": [],
        "pairs": [],
        "measured": Measured([], "sources", False),
        "contamination": [],
        "segments": [],
        "repeats": CopyDistance(closest=None, minimum=0),
        "real_before": None,
    }
    return run, nothing


class Page(HTMLParser):
    """Tags with their attributes, the visible text, and a check that every element is closed."""

    VOID = ("meta", "br", "img", "rect", "path", "circle")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.text += " "
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def inert(html: str) -> Page:
    """Asserts that the page runs and fetches nothing."""
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & {
        "script",
        "img",
        "link",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "a",
        "image",
        "use",
    }
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "href", "xlink:href")], (
            tag,
            attributes,
        )
    assert "url(" not in html
    assert "@import" not in html
    html.encode("utf-8")
    return page


def test_the_page_shows_the_numbers_of_the_run() -> None:
    text = " ".join(inert(render(manifest(), data())).text.split())
    for shown in (
        "12 records read",
        "since release 1: the same input files kept 5 → 6 (+1) documents",
        "Examples: gopher.word_count doc-3 · http://x/3 · web",
        "quality 0.25 · gopher.word_count 12 < 50 · language.label en It was",
        "Quality 0.5 to 1, 6 documents doc-5",
        "en 11 6 1 4 800",
        "The largest 1; 7 more were counted. Only the largest of each part are counted, so these numbers may be too low: 5 doc",
        "6 documents kept, 50.0%",
        "800 tokens kept of 1,200",
        "4.75% of the LR mass falls on the best tenth",
        "rejected 1 (8.3%)",
        "41 documents had the id of another",
        "gopher.word_count min 50, max 100000",
        "language.label one of en",
        "compression.ratio to review",
        "words, 1 without a value",
        "14 bands of 8 rows",
        "gopher.word_count min 2 min 10 5 min 50 11 min 100,000",
        "doc-7",
        "thresholds 6 0.500 3 90 thresholds raises quality, and diversity falls to 3 hosts",
        "Jaccard similarity 0.83 dropped doc-8 It was kept doc-9 It is",
        "2 inputs Input Documents Rejected in/a.jsonl 7 1 in/b.jsonl 4 0",
        "thresholds: gopher.word_count: min: 50 max: 100000 action: drop",
        "copied drop 2 2 0 0 2",
        "learning rate (wsd)",
        "data/phase-1/shard-00001.parquet",
        "0.003 to 0.001",
        "ids-renamed · documents 41",
        "quality-is-length · spearman 0.62 · threshold 0.5",
        "2 copies beyond the first of each document",
        "80 tokens in these, 10.0% of the corpus",
        "120 tokens between the two closest copies 100 tokens required",
        "synthetic source is books 40.0% 40.0% to 40.0% warn above 30%, fail above 50%, in each slice of the order warning",
        "good quality from 0.4 50.0% 0.0% to 100.0% warn below 10% ok",
        "700 real tokens, repeats not counted; the last release had 650 (+50).",
        "d4" * 32,
    ):
        assert shown in text, shown


def test_threshold_lines_lie_in_the_right_bins() -> None:
    html = render(manifest(), {**data(), "contamination": []})
    # Four bins of equal width from 30 to 300: 50 lies 4/9 into the second, 100000 ends the third.
    (low, high) = re.findall(r'class="limit" d="M([\d.]+) 15V108"', html)
    assert float(low) == pytest.approx(30 + 270 * (1 + 40 / 90) / 4, abs=0.01)
    assert float(high) == pytest.approx(30 + 270 * 3 / 4)
    assert html.count('<rect class="fail"') == 1


def test_histograms_have_counts_and_say_in_words_what_they_show() -> None:
    facts = data()
    facts["histograms"]["gopher.word_count"]["counts"] = [2, 3, 60_000, 7]
    html = render(manifest(), facts)
    assert 'aria-label="gopher.word_count: 60,012 documents from 0 to 200,000, 2 fail min 50, 7 fail max 100,000"' in html
    levels = re.findall(r'<text x="26" y="([\d.]+)" text-anchor="end">([^<]+)</text>', html)
    assert [label for _, label in levels[:3]] == ["1", "100", "10k"]
    heights = [float(height) for height in re.findall(r'<rect class="(?:pass|fail)"[^>]* height="([\d.]+)"', html)]
    assert heights[0] == pytest.approx(86 * math.log(3) / math.log(60_001), abs=0.01)  # two documents can be seen beside 60,000
    assert heights[2] == 86


@pytest.mark.parametrize(
    ("limits", "edges_"),
    [
        ({"min": 0.8}, [0.8]),
        ({"min": 0.31, "max": 0.32}, [0.31, math.nextafter(0.32, 1)]),
        ({"min": 60.0, "max": 100_000.0}, [60.0, math.nextafter(100_000.0, math.inf)]),
        ({"max": 1.0}, []),
    ],
)
def test_a_limit_is_an_edge_of_a_bin_so_that_a_bar_passes_or_fails(limits: dict[str, float], edges_: list[float]) -> None:
    unit = "share of words" if max(limits.values()) <= 1 else "words"
    signal = Signal("x", "float64", unit, "up", "", 0.0, 1.0)
    recipe = SimpleNamespace(rules=Rules(thresholds={"x": Threshold.model_validate(limits)}))
    bins = edges(signal, recipe)  # type: ignore[arg-type]
    assert bins is not None
    assert len(bins) == BINS + 1
    assert bins == sorted({*bins})
    assert set(edges_) <= set(bins)


def test_the_limits_of_every_block_are_edges() -> None:
    limits = {f"s{number}": {"thresholds": {"x": {"min": 0.5 + number / 1000, "max": 0.6}}} for number in range(9)}
    blocks = limits | {"code": {"thresholds": {"x": None}}}
    rules = Rules.model_validate({"thresholds": {"x": {"min": 0.1}}, "per_source": blocks})
    bins = edges(Signal("x", "float64", "share", "up", "", 0.0, 1.0), SimpleNamespace(rules=rules))  # type: ignore[arg-type]
    assert bins is not None
    assert len(bins) == BINS + 1
    assert bins == sorted({*bins})
    assert {0.1, *(0.5 + number / 1000 for number in range(9)), math.nextafter(0.6, 1)} <= {*bins}


@pytest.mark.parametrize(("order", "shown"), [("uniform", False), ("ascending", True)])
def test_the_mass_of_the_learning_rate_is_a_number_of_ordered_runs(order: str, shown: bool) -> None:
    run = manifest()
    run["curriculum"]["order"] = order
    text = inert(render(run, data())).text
    assert ("falls on the best tenth" in text) == shown
    assert ("The documents are shuffled" in text) != shown


def test_every_header_has_a_name_and_every_scroll_region_takes_the_keyboard() -> None:
    html = render(manifest(), data())
    assert not re.search(r"<th[^>]*>\s*</th>", html)
    regions = re.findall(r'<div class="scroll"([^>]*)>', html)
    assert len(regions) > 5
    assert all('tabindex="0"' in region and 'role="region"' in region and "aria-label=" in region for region in regions)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_contrast(scheme: int) -> None:
    """WCAG 2.2: 4.5:1 for text, 3:1 for graphics, on every background that they are on."""
    block = re.findall(r":root \{([^}]*)\}", render(manifest(), data()))[scheme]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
    for name in ("ink", "soft", "warm"):
        for background in ("paper", "card"):
            assert contrast(colours[name], colours[background]) >= 4.5, (name, background)
    for name in ("kept", "review", "dropped", "rejected", "accent", *(f"c{number}" for number in range(8))):
        assert contrast(colours[name], colours["paper"]) >= 3, name
    for name in ("kept", "review", "dropped"):
        assert contrast(colours[name], colours["card"]) >= 3, name


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    shares = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_hostile_text_is_shown_and_does_nothing() -> None:
    run, facts = manifest(), data()
    run["recipe"]["name"] = HOSTILE
    run["recipe"]["thresholds"][HOSTILE] = run["recipe"]["thresholds"]["language.label"] | {"one_of": [HOSTILE]}
    run["counts"]["reasons"][0]["reason"] = HOSTILE
    run["counts"]["sources"] = {HOSTILE: run["counts"]["sources"]["web"]}
    run["warnings"][0]["message"] = HOSTILE
    facts["histograms"] = {HOSTILE: facts["histograms"]["gopher.stop_words"] | {"unit": HOSTILE}}  # type: ignore[dict-item]
    facts["clusters"] = [{"id": HOSTILE, "copies": 2, "source": HOSTILE, "excerpt": HOSTILE}]
    facts["contamination"] = [section(HOSTILE)]
    piece = {"text": HOSTILE, "kind": "differs"}
    facts["pairs"] = [{"id": HOSTILE, "kept": HOSTILE, "jaccard": 1, "text": [piece], "kept_text": [piece]}]  # type: ignore[list-item]
    run["inputs"][0]["uri"] = HOSTILE
    hostile = example(
        id=HOSTILE,
        source=HOSTILE,
        url=HOSTILE,
        detail=HOSTILE,
        excerpt=HOSTILE,
        values=[{"name": HOSTILE, "value": HOSTILE, "fails": ""}],
    )
    facts["changes"] = [HOSTILE]
    facts["reasons"] = [{"decision": "drop", "reason": HOSTILE, "examples": [hostile]}]  # type: ignore[list-item]
    facts["kept"][0]["examples"] = [hostile]  # type: ignore[list-item]
    for groups in facts["groups"].values():
        groups["rows"][0]["name"] = HOSTILE
    for segment in facts["segments"]:
        segment["sources"] = {HOSTILE: 100}
    run["recipe"]["guards"]["shares"] = {HOSTILE: {"where": {HOSTILE: [HOSTILE]}, "warn_above": 0.5}}
    page = inert(render(run, facts))
    assert page.text.count("<script>alert('x')</script>") >= 30
    assert "{{ 7 * 7 }}" in page.text
    assert not re.search(r"[\x00\x1b\ud800]", page.text)


def headings(html: str) -> list[str]:
    return re.findall(r"<h2>([^<]*)</h2>", html)


def test_an_empty_run_has_a_page_without_empty_sections() -> None:
    html = render(*empty())
    assert "No documents were read." in inert(html).text
    assert headings(html) == ["Dropped and reviewed documents", "Files"]


def test_a_run_that_keeps_nothing() -> None:
    run, facts = manifest(), data()
    run["counts"] |= {"kept": 0, "dropped": 10, "tokens": {"in": 900, "kept": 0, "dropped": 800, "review": 100}}
    run["counts"]["repeated"] = {"documents": 0, "tokens": 0}
    run["counts"]["sources"]["web"] |= {"kept": 0, "dropped": 10, "kept_tokens": 0}
    run["curriculum"] |= {"tokens": 0, "shards": []}
    facts |= {"clusters": [], "contamination": [], "segments": [], "kept": []}
    facts["histograms"]["gopher.word_count"]["counts"] = [0, 0, 0, 0]
    html = render(run, facts)
    assert "No duplicates were found." in inert(html).text
    assert not {"Training order", "Repeats", "Benchmark items"} & {*headings(html)}


def test_a_run_that_keeps_everything() -> None:
    run, facts = manifest(), data()
    run["counts"] |= {"records": 6, "dropped": 0, "review": 0, "rejected": 0, "reasons": []}
    run["counts"]["sources"]["web"] |= {"dropped": 0, "review": 0}
    assert "Every document was kept." in inert(render(run, facts)).text


def test_quality_may_be_unknown_or_the_same_everywhere() -> None:
    run, facts = manifest(), data()
    for quality in (None, 0.5, 0.0, 1.0):
        for segment in facts["segments"]:
            segment["quality"] = quality
        page = inert(render(run, facts))
        assert ("mean quality" in page.text) == (quality is not None)
        assert "nan" not in " ".join(value or "" for _, attributes in page.tags for value in attributes.values())


def test_many_segments_and_sources_are_merged_without_losing_tokens() -> None:
    run, facts = manifest(), data()
    facts["segments"] = [
        {"tokens": 10, "quality": i / 5000, "sources": {f"source-{i % 20:02d}": 10}, "guarded": {}} for i in range(5000)
    ]
    html = render(run, facts)
    assert len(html) < 200_000
    text = inert(html).text
    assert "13 others" in text
    # The uppermost band reaches 100 % from end to end.
    last = re.findall(r'<path d="(M[^"]+Z)"', html)[-1]
    upper = [float(point.split()[1]) for point in last[1:-1].split("L")]
    assert upper[: len(upper) // 2] == [10.0] * (len(upper) // 2)


def test_the_largest_sources_are_shown_however_many_there_are() -> None:
    run = manifest()
    row = next(iter(run["counts"]["sources"].values()))
    run["counts"]["sources"] = {f"host-{number:05}": {**row, "kept": 30_000 - number} for number in range(20_000)}
    html = render(run, data())
    shown = [number for number in range(20_000) if f"host-{number:05}" in html]
    assert shown[:SOURCE_ROWS] == list(range(SOURCE_ROWS))
    assert "The largest 100; tamis query counts the other 19,900." in " ".join(inert(html).text.split())
    assert len(html) < 1_000_000


def test_phases_are_marked_where_they_begin() -> None:
    run, facts = manifest(), data()
    run["curriculum"]["shards"][1]["phase"] = "best"
    html = render(run, facts)
    # The second shard starts half-way: x = 40 + (944 - 40) / 2.
    assert '<path class="axis" d="M496.0 8V' in html
    assert ">best</text>" in html


def test_equal_runs_have_equal_pages() -> None:
    assert render(manifest(), data()) == render(copy.deepcopy(manifest()), copy.deepcopy(data()))


def test_items_are_counted_and_shown_beside_documents_however_the_input_is_cut(tmp_path: Path) -> None:
    records = corpus(40)
    leaking = [record for record in records if record["trap"] == "plain"][:9]
    (tmp_path / "benchmark.jsonl").write_text("".join(json.dumps({"question": leak["text"]}) + "\n" for leak in leaking))
    benchmark = {"name": "leaked", "path": str(tmp_path / "benchmark.jsonl"), "fields": ["question"]}
    recipe_file = write_recipe(tmp_path, decontaminate={"benchmarks": [benchmark]})
    sections = []
    for files in (1, 4):
        result = run(recipe_file, save(tmp_path / f"in-{files}", dealt(records, files, seed=1)), tmp_path / f"run-{files}")
        (counted,) = (row for row in result.manifest["counts"]["reasons"] if row["reason"] == "contamination")  # type: ignore[index]
        (one,) = load_report_data(result.release)["contamination"]
        (row,) = one["found"]["by_class"]
        assert row["dropped"] >= counted["documents"] >= 9
        assert sum(one["counts"]) >= row["documents"]
        assert len(one["examples"]) == MATCH_SAMPLES
        for each in one["examples"]:
            shown = "".join(piece["text"] for piece in each["item_text"])
            assert shown.rstrip("…") in leaking[int(each["item"])]["text"]
        sections.append(one)
    assert sections[0] == sections[1]


WORDS = st.text(st.sampled_from("ab  .,!?Ä1日語ا\n"), max_size=60)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(WORDS, WORDS)
def test_texts_beside_each_other_are_whole_and_only_words_differ(one: str, other: str) -> None:
    pieces = side_by_side(one, other, DEFAULT_WORDS)
    assert ["".join(piece["text"] for piece in each) for each in pieces] == [one, other]
    same = [
        "".join(character for piece in each if piece["kind"] == "same" for character in piece["text"].casefold())
        for each in pieces
    ]
    letters = [[character for character in each if character.isalnum()] for each in same]
    assert letters[0] == letters[1]
    assert all(piece["kind"] == "same" for each in side_by_side(one, one.upper(), DEFAULT_WORDS) for piece in each)


def test_the_report_samples_documents_by_reason_and_quality_and_counts_hosts(tmp_path: Path) -> None:
    records, pages = corpus(200, seed=9), []
    records = [record | {"date": f"{2015 + n % 7}-03-0{1 + n % 9}" if n % 10 else "lately"} for n, record in enumerate(records)]
    for files in (1, 4):
        source = save(tmp_path / f"in-{files}", dealt(records, files, seed=files))
        result = run(write_recipe(tmp_path), source, tmp_path / f"run-{files}")
        pages.append(load_report_data(result.release))
    one, four = pages
    assert one["pairs"] == four["pairs"]
    assert one["measured"] == four["measured"]
    assert (one["reasons"], one["kept"], one["groups"], one["histograms"]) == (
        four["reasons"],
        four["kept"],
        four["groups"],
        four["histograms"],
    )
    texts = {str(record["id"]): str(record["text"]) for record in records}
    ledger = {row["id"]: row for row in pq.read_table(result.release.uri("decisions")).to_pylist()}
    counted = result.manifest["counts"]
    assert {(each["decision"], each["reason"]) for each in one["reasons"]} == {
        (r["decision"], r["reason"]) for r in counted["reasons"]
    }
    for each in one["reasons"]:
        documents = next(row["documents"] for row in counted["reasons"] if row["reason"] == each["reason"])
        assert len(each["examples"]) == min(SAMPLES, documents)
        for row in each["examples"]:
            assert ledger[row["id"]]["reason"] == each["reason"]
            assert texts[row["id"]].split()[:5] == row["excerpt"].split()[:5]
    assert len(one["pairs"]) == 3
    for pair in one["pairs"]:
        assert ledger[pair["id"]]["reason"] == "dedup.near"
        assert ledger[pair["id"]]["jaccard"] == pair["jaccard"]
        assert ledger[pair["id"]]["representative"] == pair["kept"]
        for id, pieces in ((pair["id"], pair["text"]), (pair["kept"], pair["kept_text"])):
            assert texts[id].startswith("".join(piece["text"] for piece in pieces).removesuffix("…"))
    assert sum(tenth["documents"] for tenth in one["kept"]) == counted["kept"]
    for tenth in one["kept"]:
        (row,) = tenth["examples"]
        assert tenth["low"] <= row["quality"] <= tenth["high"]  # type: ignore[operator]
    hosts = {row["name"]: row["kept"] for row in one["groups"]["host"]["rows"]}
    years = one["groups"]["year"]["rows"]
    assert [row["name"] for row in years] == [str(year) for year in range(2015, 2022)]
    assert sum(row["kept"] + row["dropped"] + row["review"] for row in years) == 180
    assert hosts == {f"{name}.example": counts["kept"] for name, counts in counted["sources"].items()}
