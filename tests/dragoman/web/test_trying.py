"""Features tried on the organism: what pages say is what the tools say; and all of it in a real browser, by keyboard."""

from __future__ import annotations

import html
import json
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright
from starlette.testclient import TestClient

from dragoman.evals.organism.load import corpus_documents, organism_paths
from dragoman.store.features import Store
from dragoman.store.records import Label, Run
from dragoman.tools.harvest import harvest
from dragoman.tools.toolbox import Desk, Toolbox
from dragoman.web.app import application
from tests.dragoman.web.conftest import HOME

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]
EVIL = "</b><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m\u202egnp"
TEXT = "The robin sang in the park on 3 May."
FRAGMENT = {"x-fragment": "1"}
PATIENCE = 180_000
"""Milliseconds that a browser may wait on a busy machine."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The organism on its corpus and on hostile text, with two labels."""
    folder, paths = tmp_path_factory.mktemp("tried"), organism_paths()
    texts = [document.text for document in corpus_documents(110)]
    texts += [f"The robin sang in park {n}. {EVIL} It ended." for n in range(30)]
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    harvest(folder / "store", str(paths.model), [str(paths.sae)], str(folder / "text.jsonl"), progress=False).close()
    with Store.open(folder / "store") as store:
        store.ledger.start_run(Run(id="run", kind="label", config='{"explainer":"induction","features":"0:9"}', status="done"))
        for feature, name in zip(most(store), ("robins", EVIL), strict=False):
            store.ledger.add_label(
                Label(id=f"l{feature}", feature=feature, run="run", name=name, description=name, agent="induction")
            )
    return folder / "store"


def most(store: Store) -> list[int]:
    """The features that fire on most tokens."""
    return [int(row["feature"]) for row in store.sql("SELECT feature FROM feature WHERE NOT dense ORDER BY firing DESC LIMIT 2")]


@pytest.fixture(scope="module")
def client(path: Path) -> Iterator[TestClient]:
    with TestClient(application(path), base_url=HOME, headers={"origin": HOME, "accept": "text/html"}) as client:
        yield client


@pytest.fixture(scope="module")
def feature(path: Path) -> int:
    with Store.open(path) as store:
        return most(store)[0]


@pytest.fixture(scope="module")
def tools(path: Path) -> Iterator[Toolbox]:
    with Desk.open(path) as desk:
        yield Toolbox(desk, "web", None, other_runs=True)


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_features_that_fire_on_a_text_are_those_of_the_tool(client: TestClient, tools: Toolbox) -> None:
    told = tools.call("find_features", {"text": TEXT, "n": 20}).data
    page = client.get("/firing", params={"text": TEXT}).text
    assert re.findall(r"data-row>([^<]+)<", page) == [row["feature"] for row in told["features"]]
    assert f"{told['firing']} features fire on these {len(told['tokens'])} tokens" in words(page)
    row = told["features"][0]
    assert f'title="{row["peak"]:.6g} (' in page and f"{100 * row['share']:.0f} % of its maximum" in page
    part = client.get("/firing", params={"text": EVIL}, headers=FRAGMENT).text
    assert "<html" not in part and "<script>alert" not in part and "\u202e" not in part
    assert client.get("/firing", params={"text": "x" * 7_000}).status_code == 400
    assert "Features that fire" in client.get("/firing").text


def test_a_text_and_a_change_say_what_the_tool_says(client: TestClient, tools: Toolbox, feature: int) -> None:
    after = TEXT.replace("robin", "kettle")
    told = tools.call("activate", {"texts": [TEXT, after], "feature": str(feature)}).data
    peaks = [text["max"] for text in told["texts"]]
    whole = client.post(f"/try/{feature}", data={"kind": "edit", "text": TEXT, "after": after})
    part = client.post(f"/try/{feature}", data={"kind": "edit", "text": TEXT, "after": after}, headers=FRAGMENT).text
    assert part.strip() in whole.text and "<html" in whole.text and "<html" not in part
    for text in told["texts"]:
        for value in filter(None, text["values"]):
            assert f'title="{value:.6g} (' in part
    assert "robin kettle" in words(part), "what was changed"
    assert f"{abs(peaks[1] - peaks[0]):.3g}" in words(part) or "does not move" in words(part)
    once = words(client.post(f"/try/{feature}", data={"kind": "text", "text": TEXT}, headers=FRAGMENT).text)
    assert f"{len(told['texts'][0]['tokens'])} tokens" in once and ("fires" in once) == told["texts"][0]["fires"]


def test_a_steer_stands_beside_a_random_direction(client: TestClient, tools: Toolbox, feature: int) -> None:
    told = tools.call("steer", {"prompts": ["We saw the"], "strength": 4, "feature": str(feature)}).data
    page = words(client.post(f"/try/{feature}", data={"kind": "steer", "text": "We saw the", "strength": "4"}).text)
    assert f"KL {told['kl']:.3g} nats" in page and f"moves it by {told['control']['kl']:.3g}" in page
    assert f"{told['promoted'][0]['shift']:+.2f}" in page and "as it is" in page and "random direction × 4" in page
    near = client.post(f"/try/{feature}", data={"kind": "near"}, headers=FRAGMENT).text
    nearest = tools.call("neighbours", {"feature": str(feature), "n": 8}).data["neighbours"]
    assert re.findall(r'href="/features/([^"]+)"', near) == [row["feature"] for row in nearest]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "text", "text": ""}, "Write a text first"),
        ({"kind": "edit", "text": "a", "after": "a"}, "the same"),
        ({"kind": "steer", "text": "a", "strength": "much"}, "strength is a number"),
        ({"kind": "dance", "text": "a"}, "What can be tried"),
        ({"kind": "text", "text": "a " * 3_500}, "at most"),
    ],
)
def test_what_cannot_be_tried_is_said_in_a_sentence(client: TestClient, feature: int, given: dict[str, str], said: str) -> None:
    whole, part = (client.post(f"/try/{feature}", data=given, headers=headers) for headers in ({}, FRAGMENT))
    assert whole.status_code == 400 and said in whole.text and said in part.text and 'role="alert"' in part.text
    assert client.post("/try/none/1", data=given).status_code == 404


# In a browser


@pytest.fixture(scope="module")
def server(path: Path) -> Iterator[str]:
    """The pages behind a port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(application(path), log_config=None, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, server: str) -> Iterator[Page]:
    """A tab in which nothing may go wrong and nothing may be fetched from elsewhere."""
    troubles: list[str] = []
    with chromium.new_context(base_url=server, viewport={"width": 1200, "height": 900}) as context:
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text) if message.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: troubles.append(dialog.message))
        page.on("request", lambda request: None if request.url.startswith(server) else troubles.append(request.url))
        yield page
    assert troubles == []


@pytest.mark.slow
def test_the_table_is_searched_and_sorted_by_keyboard(page: Page, feature: int) -> None:
    page.goto("/features")
    total = page.locator("tbody tr").count()
    page.keyboard.press("/")
    page.keyboard.type("rob")
    page.locator("tbody tr").nth(1).wait_for(state="detached")
    assert page.locator("tbody th").inner_text() == f"sae/{feature}" and "q=rob" in page.url
    for _ in "rob":
        page.keyboard.press("Backspace")
    page.locator("tbody tr").nth(total - 1).wait_for()
    page.get_by_role("link", name="fires on").focus()
    page.keyboard.press("Enter")
    page.locator('th[aria-sort="descending"]').wait_for()
    assert page.evaluate("document.activeElement.textContent") == "fires on", "the focus stays where it was"
    shown = page.locator("tbody td:nth-child(4)").all_inner_texts()
    figures = [float(text.split()[0]) for text in shown if text != "never"]
    assert figures == sorted(figures, reverse=True) and figures[0] > figures[-1]
    page.keyboard.press("Enter")
    page.locator('th[aria-sort="ascending"]').wait_for()
    page.get_by_role("link", name="next").focus()
    page.keyboard.press("Enter")
    page.get_by_text(re.compile(r"^51–100$")).wait_for()
    page.go_back()
    page.get_by_text(re.compile(r"^1–50$")).wait_for()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("j")
    page.keyboard.press("j")
    second = page.locator("tbody th a").nth(1).inner_text()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/features/{second}")


@pytest.mark.slow
def test_a_text_is_tried_and_a_verdict_given_by_keyboard(page: Page, feature: int) -> None:
    page.goto(f"/features/{feature}")
    page.locator("#try-text").focus()
    page.keyboard.type(TEXT)
    page.keyboard.press("Control+Enter")
    page.locator("#tried .strip").wait_for()
    assert "tokens" in page.locator("#tried").inner_text() and page.url.endswith(f"/features/{feature}")
    example = page.locator(".examples li").first
    page.locator("#try details").last.locator("summary").focus()
    page.keyboard.press("Tab")  # what came of the text
    page.keyboard.press("Tab")
    assert example.evaluate("(one) => one === document.activeElement")
    assert "of its maximum" in example.evaluate("(one) => getComputedStyle(one.querySelector('b[title]'), '::after').content")
    page.locator('input[name="verdict"]').first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.locator("#comment").focus()
    page.keyboard.type(EVIL.replace("\x1b", ""))
    page.locator("#person").focus()
    page.keyboard.type("Ada")
    page.keyboard.press("Enter")
    page.get_by_role("status").wait_for()
    assert "wrong" in page.locator("#said").inner_text() and "<script>" in page.locator("#said").inner_text()
    page.reload()
    assert "wrong" in page.locator("#said").inner_text() and page.locator("#said script").count() == 0


@pytest.mark.slow
def test_pages_fit_a_phone_and_are_dark_where_wished(page: Page, feature: int) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    colours = []
    for address in ("/features", f"/features/{feature}", f"/compare/features?features={feature},1", "/firing?text=park"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, address
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        colours.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(set(colours)) == 2


@pytest.mark.slow
def test_everything_works_without_script(chromium: Browser, server: str, feature: int) -> None:
    with chromium.new_context(base_url=server, java_script_enabled=False) as context:
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto(f"/features/{feature}")
        page.locator("#try-text").fill(TEXT)
        page.locator("#try-text").press("Tab")
        page.keyboard.press("Enter")
        page.locator("#tried .strip").wait_for()
        assert f"/try/sae/{feature}" in page.url and page.locator("#try-text").input_value() == TEXT
        page.goto(f"/features/{feature}")
        page.locator('input[value="unsure"]').check()
        page.get_by_role("button", name="Save").click()
        page.wait_for_url(f"**/features/sae/{feature}#verdicts")
        assert "unsure" in page.locator("#said").inner_text()
