"""The page of tamis view in a real browser: a newcomer finds why a page was dropped, by mouse, by keyboard, on a phone; and
hostile texts are shown, not obeyed."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tamis.pipelines.view.marks import Marks
from tamis.pipelines.view.server import listen, serve
from tests.pipelines.corpus import corpus, save
from tests.pipelines.running import CHANGES, run, write_recipe

pytest.importorskip("playwright", reason="comes with WITH=dev")

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
SCREENS: dict[str, dict[str, Any]] = {
    "light": {"viewport": DESK, "color_scheme": "light"},
    "dark": {"viewport": DESK, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light", "is_mobile": True, "device_scale_factor": 2},
}
OWNED = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\"><!-- never closed "
HOSTILE = {
    "hostile-markup": OWNED + "word " * 60,
    "hostile-turns": "\u202e" + "\u200f" * 3_000_000 + "word " * 60,
    OWNED: "a\x00b\x1b[31m " + "word " * 60,
}
"""Texts by id; the second has 9 MB of marks that only turn the direction."""

NAMED = "https://web.example/short"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The address of the page of a release, and the file of its marks."""
    folder = tmp_path_factory.mktemp("browser")
    hostile = [{"id": name, "text": text, "source": "web"} for name, text in HOSTILE.items()]
    short = {"id": "short", "text": "This page says that with too few words.", "source": "web", "url": NAMED}
    source = save(folder / "in", [[*corpus(80), *hostile, short]])
    release = run(write_recipe(folder, **CHANGES), source, folder / "run").release
    listening, announced, addresses = listen(0), threading.Event(), []

    def announce(address: str) -> None:
        addresses.append(address)
        announced.set()

    marks = Marks(str(folder / "marks.jsonl"))
    threading.Thread(target=serve, args=(release, marks, listening, announce), daemon=True).start()
    assert announced.wait(60)
    return addresses[0], folder / "marks.jsonl"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser here: install one of {', '.join(BROWSERS)}")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])


@pytest.fixture(params=SCREENS)
def page(request: pytest.FixtureRequest, session: tuple[str, Path], browser: Browser) -> Iterator[Page]:
    """The page, opened on a screen. Whatever it does in the test, it must report no fault, not scroll sideways, and ask no
    other server."""
    context = browser.new_context(**SCREENS[request.param])
    page, faults, requests = context.new_page(), [], []  # type: Page, list[str], list[str]
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(session[0])
    page.locator("#rows a").first.wait_for()
    yield page
    assert page.evaluate("document.documentElement.scrollWidth") <= SCREENS[request.param]["viewport"]["width"]
    origin = session[0].partition("?")[0]
    assert [url for url in requests if not url.startswith(origin)] == []
    assert faults == []
    context.close()


def serious(page: Page) -> list[str]:
    """The serious faults of access of what the page shows."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{fault['id']}: {fault['nodes'][0]['target']}" for fault in found if fault["impact"] in ("serious", "critical")]


def is_phone(page: Page) -> bool:
    return page.viewport_size == PHONE


def test_a_newcomer_finds_why_a_named_page_was_dropped(page: Page) -> None:
    assert serious(page) == []
    if is_phone(page):
        page.get_by_role("button", name="Filters").click()
    page.get_by_label("ID or address begins with").fill("web.example/short")
    page.get_by_label("ID or address begins with").press("Enter")
    page.get_by_text("1 document", exact=True).wait_for()
    page.locator("#rows").get_by_role("link", name=NAMED).click()
    page.get_by_role("heading", name="short").wait_for()
    document = page.get_by_role("region", name="Document", exact=True)
    assert "Dropped because of gopher.word_count" in document.inner_text()
    assert "This page says that with too few words." in document.inner_text()
    assert "It would pass with min" in document.inner_text()
    assert serious(page) == []


def test_decisions_are_marked_by_keys_and_kept_in_a_file(page: Page, session: tuple[str, Path]) -> None:
    page.keyboard.press("j")
    page.locator("#document h2").wait_for()
    first = page.locator("#document h2").inner_text()
    page.keyboard.press("w")
    page.locator("#said", has_text="Marked as wrong").wait_for(state="attached")
    assert page.get_by_role("button", name="Wrong").get_attribute("aria-pressed") == "true" or is_phone(page)
    (mark,) = map(json.loads, session[1].read_text().splitlines())
    assert (mark["id"], mark["verdict"]) == (first, "wrong")
    page.keyboard.press("w")
    page.locator("#said", has_text="No mark").wait_for(state="attached")
    assert session[1].read_text() == ""
    page.keyboard.press("j")
    page.locator("#document h2", has_text=first).wait_for(state="detached")
    page.keyboard.press("k")
    page.locator("#document h2", has_text=first).wait_for()
    page.keyboard.press("Escape")
    page.locator("#document h2").wait_for(state="detached")
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    assert serious(page) == []
    page.keyboard.press("Escape")


def test_a_duplicate_stands_beside_what_was_kept_and_a_link_shows_the_same_again(page: Page, session: tuple[str, Path]) -> None:
    page.evaluate("location.hash = 'reason=dedup.near&sort=tokens'")
    page.locator("#count", has_text="document").wait_for()
    page.locator("#rows a", has_text="dedup.near").first.click()
    page.get_by_role("button", name="Side by side").click()
    page.locator("#beside mark.differs").first.wait_for()
    assert serious(page) == []
    shown, address = page.locator("#document h2").inner_text(), page.url
    page.goto("about:blank")
    page.goto(address)
    page.get_by_role("heading", name=shown).wait_for()


def test_a_moved_limit_changes_the_counts_and_names_examples(page: Page) -> None:
    page.get_by_role("button", name="What if").click()
    page.get_by_role("spinbutton", name="gopher.word_count at least").fill("100")
    page.locator("#moved", has_text="would no longer be kept").wait_for()
    assert page.locator("#outcomes tr", has_text="gopher.word_count").inner_text().count("+") == 1
    assert page.locator("#examples button").count()
    assert serious(page) == []


@pytest.mark.parametrize("name", HOSTILE, ids=("markup", "turns", "id"))
def test_hostile_texts_are_shown_and_not_obeyed(page: Page, name: str) -> None:
    page.evaluate("begin => { location.hash = new URLSearchParams({find: begin}) }", name[:20])
    page.get_by_text("1 document", exact=True).wait_for()
    page.locator("#rows a").first.click()
    page.get_by_role("heading", level=2).filter(has_text=name[:14]).wait_for()
    shown = page.locator("#document .text").first.inner_text()
    assert {"hostile-markup": "<script>document.title", "hostile-turns": "U+200F ×", OWNED: "U+0000"}[name] in shown
    assert page.locator("#document script, #document img").count() == 0
    assert "owned" not in page.title()
    assert serious(page) == []
