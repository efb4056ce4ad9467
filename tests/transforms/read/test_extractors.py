"""The main text of a page is found by the extractor of the recipe, or else all that the page shows, which is said."""

from __future__ import annotations

import json

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_inputs import documents_of

from tamis.transforms.core.errors import RunError
from tamis.transforms.read import inputs
from tamis.transforms.read.input_options import Input
from tamis.transforms.read.web import pages

SENTENCES = " ".join(f"Sentence number {n} of the article tells something that the others do not tell." for n in range(12))
MENU = "<nav><a href='/'>Home</a> <a href='/about'>About us</a></nav>"
EXTRACTORS = ["resiliparse", "trafilatura"]


def page(article: str, rest: str = MENU) -> str:
    return f"<!DOCTYPE html><html><head><title>Title</title></head><body>{rest}{article}</body></html>"


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_the_main_text(extractor):
    text, facts = pages.extract_text(page(f"<article><h1>Head</h1><p>{SENTENCES}</p></article>").encode(), "utf-8", extractor)
    assert SENTENCES in text
    assert "About us" not in text
    assert facts == {"encoding": "utf-8", "extractor": extractor}


@pytest.mark.parametrize("extractor", EXTRACTORS)
@pytest.mark.parametrize(
    "wrapper",
    [
        "<aside>{}</aside>",
        "<header>{}</header>",
        "<footer>{}</footer>",
        "<nav>{}</nav>",
        "<form>{}</form>",
        '<div class="print-only">{}</div>',
        '<div class="main-menu">{}</div>',
        '<div id="navigation-container">{}</div>',
        '<div class="hentry promoted">{}</div>',
        '<div class="sidebar">{}</div>',
        '<div class="cookie-banner">{}</div>',
        '<div class="comments">{}</div>',
        "<main><aside><article>{}</article></aside></main>",
        "<figure><figcaption>{}</figcaption></figure>",
        "<label>{}</label>",
        "<noscript>{}</noscript>",
        "<object>{}</object>",
        "<div hidden>{}</div>",
        '<div class="modal">{}</div>',
    ],
)
def test_text_that_an_extractor_takes_for_boilerplate_is_not_lost(extractor, wrapper):
    html = page(wrapper.format(f"<h1>Head</h1><p>{SENTENCES}</p>"), rest="")
    text, facts = pages.extract_text(html.encode(), None, extractor)
    assert SENTENCES in text
    assert facts.get("fallback", True) is True


def test_the_fallback_is_the_content_element_if_there_is_one():
    text, facts = pages.extract_text(page(f"<main><aside><p>{SENTENCES}</p></aside></main>").encode())
    assert (text.strip(), facts["fallback"]) == (SENTENCES, True)


@pytest.mark.parametrize("extractor", EXTRACTORS)
@pytest.mark.parametrize("html", ["", " ", "<html></html>", "<script>x()</script>", "<!-- -->", "<img alt='a picture'>"])
def test_a_page_without_text_is_an_empty_text(extractor, html):
    assert pages.extract_text(html, None, extractor) == ("", {"extractor": extractor})


def test_texts_of_pictures_are_left_out():
    text, _ = pages.extract_text(page(f"<article><p>{SENTENCES}</p><img src='x' alt='A picture of a cat'></article>"))
    assert "cat" not in text


def test_an_extractor_that_is_not_installed(monkeypatch):
    """It stops the plan, before anything is read."""
    monkeypatch.setattr(pages, "find_spec", lambda name: None)
    pages.check_extractor.cache_clear()
    with pytest.raises(RunError, match=r"input\.extractor: trafilatura needs the package trafilatura: pip install"):
        inputs.plan(Input(paths=("python-env:pip",), extractor="trafilatura"))
    pages.check_extractor.cache_clear()


ROWS = [
    {"html": page(f"<article><p>{SENTENCES}</p></article>"), "lang": "en"},
    {
        "html": page("<article><p>Grüße aus der Küche, und noch ein Satz.</p></article>").replace(
            "<title>", "<meta charset=latin1><title>"
        )
    },
    {"html": None, "text": "a text of its own"},
    {"html": "", "text": "the page is empty"},
]
TEXTS = [SENTENCES, "Grüße aus der Küche, und noch ein Satz.", "a text of its own", ""]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_field_of_html_takes_the_place_of_the_text(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    if suffix == "jsonl":
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in ROWS))
    else:
        pq.write_table(pa.Table.from_pylist(ROWS, pa.schema({name: pa.string() for name in ("html", "text", "lang")})), path)
    rows, rejects = documents_of([path], fields={"html": "html"})
    assert not rejects
    assert [row["text"].strip() for row in rows] == TEXTS
    metadata = [json.loads(row["metadata"] or "{}") for row in rows]
    assert metadata[0] == {"lang": "en", "page": {"extractor": "resiliparse"}}
    assert metadata[2] == {}


def test_bytes_of_html_are_decoded_as_those_of_a_crawl(tmp_path):
    russian = "Утром мы пошли на рынок и купили свежий хлеб, яблоки и немного мёда."
    html = page(f"<article><p>{russian}</p></article>").encode("koi8-r")
    pq.write_table(pa.table({"page": pa.array([html, b"", None], pa.binary())}), tmp_path / "a.parquet")
    rows, rejects = documents_of([tmp_path / "a.parquet"], fields={"html": "page"})
    assert [row["text"] for row in rows] == [russian, ""]
    assert json.loads(rows[0]["metadata"])["page"]["encoding"] == "koi8-u"  # as far as anyone can tell
    assert [reject.error for reject in rejects] == ["the text is null"]


def test_a_field_of_html_that_is_none(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(
        b'{"html": 5, "text": "x"}\n{"a": {"html": "<p>deep in the page</p>"}}\n{"text": "only text"}\n'
    )
    rows, rejects = documents_of([tmp_path / "a.jsonl"], fields={"html": ["html", "a.html"]})
    assert [row["text"] for row in rows] == ["deep in the page", "only text"]
    assert [reject.error for reject in rejects] == ["the HTML field is an integer, not a string"]
