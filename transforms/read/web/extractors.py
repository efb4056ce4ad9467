"""Finds the main text of an HTML page with resiliparse or trafilatura."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from resiliparse.extract import html2text
from resiliparse.parse.html import HTMLTree

from tamis.transforms.read.web.page_decoding import Decoded, decode_page

if TYPE_CHECKING:
    from tamis.transforms.read.input_options import Extractor

Facts = dict[str, str | float | bool]

_CONTENT_ELEMENTS = ("main", "[role=main]", "article")


def extract(
    page: bytes, charset: str | None, extractor: Extractor, url: str | None = None, decoded: bool = False
) -> tuple[str, Facts]:
    """The main text of a page, and how it was read (see `pages.Extraction`). `charset` is the label
    that its server declared. With `decoded`, the page is UTF-8 whatever it declares."""
    source, encoding, conflict = Decoded(page.decode("utf-8", "replace"), "") if decoded else decode_page(page, charset, url)
    facts: Facts = {"encoding": encoding} if encoding else {}
    if conflict is not None:
        facts["encoding_conflict"] = conflict
    facts["extractor"] = extractor
    tree = HTMLTree.parse(source)
    text = _EXTRACTORS[extractor](tree, source)
    if not text.strip():
        text = visible_text(tree)
        if text.strip():
            facts["fallback"] = True
    replaced = text.count("\ufffd")
    if replaced:
        facts["replaced"] = round(replaced / len(text), 6)
    return text, facts


def _resiliparse(tree: Any, page: str) -> str:
    # Texts of pictures are no sentences of the article: without them, precision is .87 instead of .84.
    return html2text.extract_plain_text(tree, main_content=True, alt_texts=False)


def _trafilatura(tree: Any, page: str) -> str:
    import trafilatura

    logging.disable(logging.CRITICAL)  # it reports what it does not find
    # `fast`: without the slower algorithms that it tries next, which find no more (docs/inputs.md).
    return trafilatura.extract(page, fast=True, include_comments=False) or ""


_EXTRACTORS: dict[Extractor, Callable[[Any, str], str]] = {"resiliparse": _resiliparse, "trafilatura": _trafilatura}


def visible_text(tree: Any) -> str:
    """The text of the one element that should hold the content, else of the whole page, at last also
    that of captions, of forms, and of what is shown without scripts."""
    for selector in _CONTENT_ELEMENTS:
        elements = tree.document.query_selector_all(selector)
        if len(elements) == 1:
            text = html2text.extract_plain_text(elements[0].html, alt_texts=False)
            if text.strip():
                return text
    text = html2text.extract_plain_text(tree, alt_texts=False)
    if text.strip() or tree.body is None:
        return text
    for element in tree.body.query_selector_all("script, style, template, iframe, noembed"):
        element.decompose()
    return "\n".join(line for line in map(str.strip, tree.body.text.splitlines()) if line)
