"""A page that crashes or hangs the extractor, or fills the memory, is one reject; other pages become documents."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading

import pytest
from test_inputs import documents_of
from test_warc import PAGE, record, response

from tamis.transforms.read.batch_builder import InvalidRecord
from tamis.transforms.read.web import pages

CHILD = """
import os, signal, sys, time
import resiliparse.extract.html2text as html2text
from tamis.transforms.read.web import pages

def poisoned(tree, **options):
    text = original(tree, **options)
    if "SEGFAULT" in text:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "OOM-KILL" in text and not os.path.exists(sys.argv[1]):
        open(sys.argv[1], "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    if "EXIT" in text:
        os._exit(3)
    if "LOOP" in text:
        while True:
            pass
    if "MEMORY" in text:
        bytearray(1 << 40)
    return text

original, html2text.extract_plain_text = html2text.extract_plain_text, poisoned
pages.CPU_SECONDS = 1
pages.serve()
"""


@pytest.fixture
def child(tmp_path, monkeypatch):
    """A child whose extractor obeys the page."""
    monkeypatch.setattr(pages, "COMMAND", [sys.executable, "-c", CHILD, str(tmp_path / "killed")])
    monkeypatch.setattr(pages, "CPU_SECONDS", 1)
    monkeypatch.setattr(pages, "children", {})


def page(content: str) -> bytes:
    return PAGE.format(content).encode()


@pytest.mark.parametrize(
    ("poison", "error"),
    [
        ("SEGFAULT", r"the page crashed the extractor \(SIGSEGV\)"),
        ("EXIT", r"the page crashed the extractor \(exit code 3\)"),
        ("LOOP", "the page kept the extractor busy for more than 1 seconds"),
        ("MEMORY", "cannot extract text from the page: MemoryError"),
    ],
)
def test_a_poisoned_page_costs_itself_only(child, tmp_path, poison, error):
    contents = ["one", "two", poison, "three"]
    (tmp_path / "a.warc").write_bytes(b"".join(record(response(page(word)), number=n) for n, word in enumerate(contents)))
    rows, rejects = documents_of([tmp_path / "a.warc"])
    assert [row["id"] for row in rows] == ["urn:uuid:0", "urn:uuid:1", "urn:uuid:3"]
    assert "one" in rows[0]["text"]
    (reject,) = rejects
    assert reject.excerpt == "http://example.org/2"
    assert re.fullmatch(error + ".*", reject.error)


def test_a_page_that_takes_the_extractor_minutes(child):
    with pytest.raises(InvalidRecord, match="busy"):
        pages.extract_text(b"<div>" * 200_000)  # quadratic in the depth: minutes


def test_a_child_that_was_killed_from_outside_does_not_cost_the_page(child):
    assert "OOM-KILL" in pages.extract_text(page("OOM-KILL")).text
    os.kill(pages.children[os.getpid()].pid, signal.SIGKILL)
    assert "next" in pages.extract_text(page("next")).text


def test_one_child_serves_all_threads_and_ends_with_its_parent(child):
    texts: dict[int, str] = {}
    pages.extract_text(page("first"))
    process = pages.children[os.getpid()]
    threads = [
        threading.Thread(target=lambda n=n: texts.update({n: pages.extract_text(page(f"page {n}")).text})) for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(f"page {n}:" in texts[n] for n in range(20))
    assert pages.children[os.getpid()] is process
    process.stdin.close()
    assert process.wait(10) == 0


def test_a_child_that_does_not_start_is_an_error_and_no_reject(child, monkeypatch):
    monkeypatch.setattr(pages, "COMMAND", [sys.executable, "-c", "import nothing_of_this_name"])
    with pytest.raises(RuntimeError, match="does not start"):
        pages.extract_text(page("x"))


@pytest.mark.parametrize(
    "hostile",
    [
        b"<table><tr><td>" * 50_000,
        b"<b><i><p>" * 3000,
        b"<!--" * 100_000,
        b"&#x110000;" * 50_000,
        b"<svg><math>" * 20_000 + b"</p>" * 20_000,
        b"\xff\xfe" + b"\x00" * 100_000,
        b"",
    ],
    ids=["tables", "formatting", "comments", "entities", "foreign", "null", "empty"],
)
def test_hostile_markup_costs_itself_only(hostile):
    try:
        assert isinstance(pages.extract_text(hostile, "utf-8").text, str)
    except InvalidRecord as error:
        print(error)
    assert "sound" in pages.extract_text(page("sound")).text


@pytest.mark.parametrize("charset", [None, "", "hex", "zlib", "undefined", "idna", "x\0y", "é" * 200, "utf-7", "utf-16"])
def test_a_declared_charset_of_any_kind(charset):
    assert "a page of text" in pages.extract_text(PAGE.format("ä").encode("cp1252"), charset).text
