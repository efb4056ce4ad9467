"""The report in a real browser, light, dark and on a phone: no serious fault of access, no scrolling sideways, no request."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import CHANGES, run, write_recipe

pytest.importorskip("playwright", reason="comes with WITH=dev")

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CUT_OFF = """[...document.querySelectorAll('svg text')].filter(text => {
    const label = text.getBoundingClientRect(), chart = text.closest('svg').getBoundingClientRect();
    return label.width && (label.left < chart.left - 1 || label.right > chart.right + 1);
}).map(text => text.textContent)"""
"""The labels of charts that a frame around the chart cuts off."""

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
SCREENS: dict[str, dict[str, Any]] = {
    "light": {"viewport": DESK, "color_scheme": "light"},
    "dark": {"viewport": DESK, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light", "is_mobile": True, "device_scale_factor": 2},
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a second release, with every section: reasons, edits, cuts, duplicates, benchmark items, an order."""
    folder = tmp_path_factory.mktemp("report")
    records = corpus(80)
    source = save(folder / "in", dealt(records, 2, seed=1))
    items = [record["text"] for record in records if record["trap"] == "plain"][:3]
    (folder / "items.jsonl").write_text("".join(json.dumps({"question": text}) + "\n" for text in items))
    benchmarks = [{"name": "items", "path": str(folder / "items.jsonl"), "question": "question"}]
    recipe = write_recipe(
        folder, **CHANGES, decontaminate={"benchmarks": benchmarks}, rate={"gopher": {}, "repetition": {}, "language": {}}
    )
    run(recipe, source, folder / "run")
    run(recipe, source, folder / "run", "thresholds.gopher.word_count.min=60")
    return folder / "run" / "latest" / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser here: install one of {', '.join(BROWSERS)}")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])


@pytest.mark.parametrize("screen", SCREENS)
def test_the_report_is_sound_on_every_screen(report: Path, browser: Browser, screen: str, tmp_path: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(**SCREENS[screen])
    page = context.new_page()
    faults: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    page.screenshot(path=tmp_path / f"{screen}.png", full_page=True)
    assert requests == [report.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= SCREENS[screen]["viewport"]["width"]
    assert page.evaluate(CUT_OFF) == []
    assert page.locator("#contamination .beside").count()
    found = Axe().run(page).response["violations"]
    context.close()
    serious = [
        f"{fault['id']}: {fault['help']}: {', '.join(str(node['target']) for node in fault['nodes'][:3])}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert faults == []
