"""The pages in a real browser: every one opens without a complaint, what moves moves, and the keyboard is enough."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, expect, sync_playwright

from dragoman.store.features import Store
from dragoman.store.locking import write_lock
from dragoman.store.records import Label, Run
from dragoman.web.app import application
from tests.support.furnished import DEBATE, FIRST, HUGE, JUDGED, SECOND, TRAIL
from tests.support.talker import Talker, script

from .conftest import ATTACK

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
PAGES = [
    "/",
    "/features",
    "/features/sae/2",
    f"/trail/{TRAIL}/sae/2",
    "/runs",
    f"/runs/{FIRST}",
    f"/runs/{TRAIL}",
    f"/runs/{JUDGED}",
    "/debates",
    f"/debates/{DEBATE}/sae/3",
    "/compare?feature=sae/0",
    f"/compare/runs?a={FIRST}&b={SECOND}",
    f"/compare/labels?a={FIRST}-0&b={SECOND}-0",
    "/compare/features?features=sae/0,sae/1",
    f"/labels/{FIRST}-0",
    f"/labels/{HUGE}-22",
    "/features/sae/22",
    "/findings",
    "/chat",
]
WIDE = """[...document.querySelectorAll('main *, header *')].filter(one => one.getBoundingClientRect().right > 391
    && !one.closest('.scroll')).slice(0, 3).map(one => one.outerHTML.slice(0, 120))"""
"""What sticks out."""
GOING = "cccc000000000001"
PATIENCE = 180_000
"""Milliseconds that a busy machine may take."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def site(full: Path) -> Iterator[str]:
    """Address of a server in a thread of this process."""
    app = application(full, model="scripted", converser=Talker(script(ATTACK, pause=0.05)).opened)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(60)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    """A page that remembers every complaint, every dialog and every request to elsewhere, and fails the test for them."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, base_url=site)
    context.set_default_timeout(PATIENCE)
    troubles: list[str] = []

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            troubles.append(message.text)

    def asked(dialog: Dialog) -> None:
        troubles.append(dialog.message)
        dialog.dismiss()

    def fetched(request: Request) -> None:
        if not request.url.startswith(site):
            troubles.append(request.url)

    context.on("console", said)
    context.on("weberror", lambda error: troubles.append(str(error.error)))
    context.on("dialog", asked)
    context.on("request", fetched)
    yield context.new_page()
    context.close()
    assert troubles == []


def test_every_page_opens_without_a_complaint_in_light_and_dark_and_on_a_phone(page: Page) -> None:
    wide = {}
    page.set_viewport_size({"width": 390, "height": 800})
    for path in PAGES:
        answer = page.goto(path)
        assert answer is not None and answer.status == 200, path
        assert page.locator("h1").count() == 1 and page.locator("img[src=x]").count() == 0
        assert page.evaluate("document.title").endswith("Dragoman"), path
        if page.evaluate("document.documentElement.scrollWidth") > 390:
            wide[path] = page.evaluate(WIDE)
    assert not wide, f"wider than a phone: {wide}"
    colours = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        colours.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(set(colours)) == 2


def test_the_keyboard_leads_everywhere(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**#main")
    for words, heading in (("Runs", "Runs"), ("Compare", "Compare")):
        _tab_to(page, f".top nav a:text-is('{words}')", from_start=True)
        ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert ring == "solid", "where the keyboard is can be seen"
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text(heading)
    page.goto(f"/debates/{DEBATE}/sae/3")
    _tab_to(page, "a[href='#E1']")
    page.keyboard.press("Enter")
    expect(page.locator(":target")).to_have_id("E1")


def test_progress_moves_while_a_run_goes_on(page: Page, full: Path) -> None:
    def label(feature: int) -> Label:
        return Label(id=f"going-{feature}", feature=feature, run=GOING, name="x", description="x", agent="induction")

    with Store.open(full) as store:
        config = json.dumps({"explainer": "induction", "features": "0:24"})
        store.ledger.start_run(Run(id=GOING, kind="label", config=config, status="running"))
        with write_lock(full / "locks", f"{GOING}.lock", "works"):
            page.goto(f"/runs/{GOING}")
            done = page.locator("#progress .tile b").first
            expect(done).to_contain_text("0 of")
            for count in (1, 3):
                store.ledger.record(labels=[label(feature) for feature in range(count)])
                expect(done).to_contain_text(f"{count} of")
            assert float(page.locator("progress").get_attribute("value") or 0) > 0
            store.ledger.add_failure(GOING, 5, "label", f"unscored: {ATTACK}")
            expect(page.locator("#progress")).to_contain_text("alert(1)")
            store.ledger.finish_run(GOING)
        expect(page.locator("#over")).to_contain_text("The run is done")
    assert page.locator("img[src=x]").count() == 0


def test_a_chat_by_keyboard_alone(page: Page) -> None:
    page.goto("/chat")
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type("What does it fire on?")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("And why?")
    page.keyboard.press("Enter")
    page.wait_for_url("**/chat?thread=*")
    expect(page.locator(".statement")).to_have_count(3)
    expect(page.locator(".turn.user")).to_have_text("What does it fire on?\nAnd why?", use_inner_text=True)
    assert page.locator(".statement.conjecture").count() == 1 and page.locator("img[src=x]").count() == 0

    # A citation leads to its step, which opens.
    _tab_to(page, ".cite >> nth=0")
    page.keyboard.press("Enter")
    expect(page.locator("#step-row1")).to_be_visible()

    # Words appear while the work goes on, and Stop ends it.
    page.locator("#text").focus()
    page.keyboard.type("endless")
    page.keyboard.press("Enter")
    expect(page.locator("#live .streaming")).to_contain_text("I begin")
    _tab_to(page, "#stop button", backwards=True)
    page.keyboard.press("Enter")
    expect(page.locator(".reply button")).to_have_text("Go on")
    expect(page.locator("#stop")).to_be_hidden()

    # A question back is answered with a button; the focus is there already.
    page.locator("#text").focus()
    page.keyboard.type("something expensive")
    page.keyboard.press("Enter")
    yes = page.locator(".reply button[value=yes]")
    expect(yes).to_be_focused(timeout=PATIENCE)
    page.keyboard.press("Enter")
    expect(page.locator(".reply")).to_have_count(0)
    expect(page.locator(".statement")).to_have_count(6)


def test_two_tabs_on_one_thread_see_the_same(page: Page) -> None:
    page.goto("/chat?thread=shared")
    other = page.context.new_page()
    other.goto("/chat?thread=shared")
    page.locator("#text").fill("endless")
    page.locator("#text").press("Enter")
    expect(other.locator("#live .streaming")).to_contain_text("I begin")
    assert (
        other.request.post("/chat/say", form={"thread": "shared", "text": "x"}, headers={"origin": _origin(other)}).status == 400
    )
    other.locator("#stop button").click()
    for one in (page, other):
        expect(one.locator(".reply button")).to_have_text("Go on")


def _origin(page: Page) -> str:
    return str(page.evaluate("location.origin"))


def _tab_to(page: Page, selector: str, *, backwards: bool = False, from_start: bool = False) -> None:
    """Press Tab until an element has the focus."""
    if from_start:
        page.evaluate("document.activeElement.blur(); document.body.focus()")
        page.reload()
    for _ in range(120):
        if page.locator(selector).evaluate("one => one === document.activeElement"):
            return
        page.keyboard.press("Shift+Tab" if backwards else "Tab")
    raise AssertionError(f"Tab never came to {selector}")
