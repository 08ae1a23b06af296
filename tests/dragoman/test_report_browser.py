"""The report in a real browser: it opens without errors, fetches nothing, and works by keyboard."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from dragoman.cli.report import write
from tests.support.synthetic import make_store
from tests.support.trails import write_trail

from .command import here

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def labeled_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a synthetic store, made as a user makes it."""
    store = tmp_path_factory.mktemp("report") / "store"
    make_store(store).close()
    for command in (("label", store, "--workers", "0"), ("score", store, "--workers", "0"), ("report", store)):
        done = here(*command)
        assert done.returncode == 0, done.stderr
    return next(store.glob("*.html"))


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.set_default_timeout(180_000)
        yield page
        browser.close()


def test_report_opens_sorts_filters_and_fetches_nothing(page: Page, labeled_report: Path) -> None:
    troubles: list[str] = []
    fetched: list[str] = []
    page.on("console", lambda message: troubles.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: fetched.append(request.url))
    page.goto(labeled_report.as_uri())
    assert page.title().startswith("Dragoman")
    rows = page.locator("#features tbody tr")
    total = rows.count()
    assert total > 3

    # By keyboard: "/" goes to the search, Tab and Enter on a column head sort.
    page.keyboard.press("/")
    page.keyboard.type("zzz-no-such-label")
    assert page.locator("#features tbody tr:not(.hidden)").count() == 0
    assert page.locator("#count").inner_text().startswith("0 of")
    for _ in range(len("zzz-no-such-label")):
        page.keyboard.press("Backspace")
    assert page.locator("#features tbody tr:not(.hidden)").count() == total

    def first_column() -> list[float]:
        return [
            float(v)
            for v in page.eval_on_selector_all("#features tbody tr td:first-child", "cells => cells.map(c => c.dataset.v)")
        ]

    page.locator("#features thead button").first.focus()
    page.keyboard.press("Enter")
    assert first_column() == sorted(first_column(), reverse=True)
    page.keyboard.press("Enter")
    assert first_column() == sorted(first_column())

    # j walks to the sections of single features.
    page.locator("body").click(position={"x": 5, "y": 5})
    page.keyboard.press("j")
    assert page.evaluate("location.hash").startswith("#f")
    article = page.evaluate("location.hash")
    page.wait_for_selector(f"{article} .x li")
    assert "Strongest on train" in page.locator(article).inner_text(), "its details are unpacked"
    assert troubles == []
    assert fetched == [labeled_report.as_uri()]


def test_report_is_readable_in_dark_and_on_a_phone(page: Page, labeled_report: Path) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(labeled_report.as_uri())
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert light != dark
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400, "wide parts scroll inside their frames"


def test_a_trail_opens_and_fits_the_page(page: Page, tmp_path: Path) -> None:
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: troubles.append(dialog.message))
    with make_store(tmp_path / "store") as store:
        write_trail(store, words="</script><script>alert(1)</script><img src=x onerror=alert(2)>")
    report = write(tmp_path / "store", None, None, "all", 0, False)
    for width in (1200, 400):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto("about:blank")
        page.goto(f"{report.as_uri()}#f2")
        trail = page.locator("#f2 details.trail")
        trail.wait_for(state="attached")
        assert not trail.locator(".steps").is_visible(), "closed at first"
        trail.locator("summary").first.click()
        assert trail.locator(".steps").is_visible() and "predicted beforehand" in trail.inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        colours = [
            page.eval_on_selector(f"#f2 .trail .state.{kind}", "one => getComputedStyle(one).color")
            for kind in ("held", "failed", "inconclusive")
        ]
        assert len(set(colours)) == 3
    assert troubles == []
