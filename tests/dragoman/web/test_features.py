"""The pages of features, without a model: the table, a feature, a trail, verdicts, two features side by side."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from dragoman.store.features import Store
from dragoman.store.records import Facet, Label, Run, Score
from dragoman.web.app import application
from tests.dragoman.web.conftest import HOME
from tests.support.synthetic import make_rows, make_store, seal_shards, write_shards
from tests.support.trails import write_trail

EVIL = "</span><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m\u202egnp"
FRAGMENT = {"x-fragment": "1"}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labeled") / "store"
    with make_store(folder) as store:
        ledger = store.ledger
        ledger.start_run(Run(id="older", kind="label", config='{"explainer":"induction","features":"0:24"}', status="done"))
        ledger.start_run(Run(id="newer", kind="label", config='{"explainer":"vllm:big","features":"0:24"}', status="done"))
        ledger.start_run(Run(id="scores", kind="score", config='{"judge":"pattern","labels":"newer"}', status="done"))
        for feature, name in ((1, "a park"), (3, "sparrows and robins"), (5, EVIL)):
            old = Label(
                id=f"o{feature}", feature=feature, run="older", name=f"old {name}"[:80], description="d", agent="induction"
            )
            new = Label(
                id=f"n{feature}",
                feature=feature,
                run="newer",
                name=name,
                description=f"fires on {name}",
                facets=(Facet(description="in the morning"), Facet(description="at night")),
                pattern='strongly: " park"',
                output_claim=f"says {name}",
                agent="labeler",
                model="vllm:big",
                evidence=(1, 2, 3),
                experiments=("e",),
                confidence=0.75,
            )
            said: dict[str, Any] = {"feature": feature, "run": "scores", "judge": "pattern", "split": "test", "n": 80}
            scores = [
                Score(label=new.id, contestant="label", scorer="simulation.r", value=0.1 * feature, low=0.0, high=0.9, **said),
                Score(label="x", contestant="shuffled", scorer="simulation.r", value=0.0123, **said),
                Score(label=new.id, contestant="label", scorer="detection.auroc", value=None, unscored="dense", **said),
                Score(
                    label=new.id, contestant="label", scorer="detection.auroc", value=0.625,
                    **{**said, "judge": "big", "run": "more"},
                ),
                Score(
                    label=old.id, contestant="label", scorer="eleuther_fuzz", value=0.875,
                    **{**said, "judge": "delphi:llama", "run": "older", "split": "elsewhere"},
                ),
            ]  # fmt: skip
            ledger.record(labels=[old, new], scores=scores)
        write_trail(store, feature=2, words=EVIL)
    return folder


@pytest.fixture(scope="module")
def browser(path: Path) -> Iterator[TestClient]:
    with TestClient(application(path), base_url=HOME, headers={"origin": HOME, "accept": "text/html"}) as client:
        yield client


def keys(page: str) -> list[str]:
    return re.findall(r"data-row>([^<]+)<", page)


def words(page: str) -> str:
    """What a reader sees of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_the_table_is_sorted_searched_and_turned_by_links(browser: TestClient) -> None:
    page = browser.get("/features").text
    assert keys(page) == [f"sae/{n}" for n in range(24)]
    assert "a park" in page and "sparrows and robins" in page and "1–24 of 24 features" in words(page)
    by_score = re.search(r'href="([^"]*sort=simulation.r[^"]*)"', page)
    assert by_score is not None
    ordered = browser.get(html.unescape(by_score[1])).text
    assert keys(ordered)[:3] == ["sae/5", "sae/3", "sae/1"] and 'aria-sort="descending"' in ordered
    assert "0.50" in ordered and "by the judge pattern" in ordered
    small = browser.get("/features?size=10&sort=density").text
    onward = re.search(r'href="([^"]+)" rel="next"', small)
    assert onward is not None and len(keys(small)) == 10
    second = browser.get(html.unescape(onward[1])).text
    assert len(keys(second)) == 10 and not set(keys(second)) & set(keys(small))
    assert keys(browser.get("/features?q=ROBIN").text) == ["sae/3"]
    assert keys(browser.get("/features?run=older&q=old+park").text) == ["sae/1"]
    assert "No feature fits" in browser.get("/features?q=nothing+like+this").text
    assert keys(browser.get("/features?token=sparrow&liveness=live").text)[0] == "sae/3"
    part = browser.get("/features?q=robin", headers=FRAGMENT).text
    assert keys(part) == ["sae/3"] and "<html" not in part


@pytest.mark.parametrize(
    "query", ["sort=colour", "order=up", "page=x", "liveness=alive", "dictionary=no", "size=9999", "labeled=x"]
)
def test_what_cannot_be_asked_for_is_said_in_a_sentence(browser: TestClient, query: str) -> None:
    answer = browser.get(f"/features?{query}")
    assert answer.status_code == 400 and 'role="alert"' in answer.text


def test_a_feature_has_everything_on_its_page(browser: TestClient, path: Path) -> None:
    page = browser.get("/features/sae/3").text
    with Store.open(path) as store:
        known = store.feature(3)
        strongest = store.examples(3, "train", "top", 1)[0]
    seen = words(page)
    for said in (
        "sparrows and robins", "in the morning", "says sparrows", 'strongly: " park"', "labeler with vllm:big", "3 train texts",
        "1 experiment", "expects a score of 0.75", "0.30 [0.00, 0.90]", "dense", "0.01", "old sparrows", "Strongest on test",
        "Near misses", "Random texts on which it is silent", "Promotes", "Suppresses", "sae/4",
    ):  # fmt: skip
        assert said in seen, said
    assert f'title="{max(strongest.values):.6g} (100% of its maximum)"' in page, "exact values on hover"
    assert "<svg" in page and f"fires above {known.stats.threshold:.3g}" in page
    assert page.count('<span class="tag test">test</span>') == 2, "the scores and the strongest on test"
    assert seen.index("Judge big") < seen.index("Judge pattern") and "0.62" in seen, "every judge, the newest run first"
    assert "eleuther_fuzz as measured elsewhere by delphi:llama 0.88" in seen
    assert browser.get("/features/3").text == page
    dead = words(browser.get("/features/23").text)
    assert "No label: it is dead" in dead and "Strongest on test" not in dead
    older = browser.get("/features/3?run=older").text
    assert "old sparrows" in words(re.search(r"<h1>.*?</h1>", older, re.S)[0])  # type: ignore[index]
    assert browser.get("/features/99").status_code == browser.get("/features/none/1").status_code == 404


def test_test_rows_are_marked_and_stay_among_themselves(browser: TestClient, path: Path) -> None:
    page = browser.get("/features/3").text
    parts = re.findall(r'<h3>[^<]*<span class="tag (\w+)">\w+</span></h3>\s*<ol class="examples">(.*?)</ol>', page, re.S)
    assert [split for split, _ in parts].count("test") == 1
    with Store.open(path) as store:
        for split, block in parts:
            numbers = [int(number) for number in re.findall(r"context (\d+)", block)]
            assert numbers and {context.split for context in store.contexts(numbers)} == {split}


def test_a_trail_is_a_page_and_a_part(browser: TestClient) -> None:
    page = browser.get("/features/2").text
    address = re.search(r'data-load="([^"]+)"', page)
    assert address is not None
    whole, part = browser.get(address[1]).text, browser.get(address[1], headers=FRAGMENT).text
    assert part in whole and "<html" not in part and "predicted beforehand" in part
    assert "<script>alert" not in whole and "onerror=alert(2)>" not in whole and "style=" not in whole
    assert browser.get("/trail/older/2").status_code == browser.get("/trail/none/2").status_code == 404


def test_two_features_stand_side_by_side(browser: TestClient, path: Path) -> None:
    page = browser.get("/compare?features=3,4")
    seen = words(page.text)
    with Store.open(path) as store:
        fired = []
        for feature in (3, 4):
            places, values = store.activations(feature, "train")
            fired.append(set(places[values > store.feature(feature).stats.threshold].tolist()))
        cosine = store.feature(3).neighbours[0].value
    both, left = len(fired[0] & fired[1]), len(fired[0] - fired[1])
    assert page.status_code == 200 and f"{cosine:.2f} cosine" in seen
    assert f"{both:,} train tokens on which both fire" in seen and f"{left:,} only sae/3" in seen
    assert "sparrows and robins" in seen and "Only sae/4 fires" in seen and "<b class=" in page.text
    assert browser.get("/compare/features?features=sae/3&with=5").status_code == 200
    assert "Two features" in browser.get("/compare/features").text
    for wrong in ("3,3", "1,2,3"):
        assert browser.get(f"/compare?features={wrong}").status_code == 400
    assert browser.get("/compare?features=3,99").status_code == 404


def test_a_verdict_is_kept_as_a_persons(browser: TestClient, path: Path) -> None:
    given = {"label": "n1", "verdict": "partly", "comment": EVIL, "person": "Ada", "description": "parks in spring"}
    back = browser.post("/verdict/sae/1", data=given, follow_redirects=False)
    assert back.status_code == 303 and back.headers["location"] == "/features/sae/1#verdicts"
    page = browser.get("/features/1").text
    assert "parks in spring" in words(page) and "Ada, 20" in words(page)
    assert "a park" in words(re.search(r"<h1>.*?</h1>", page, re.S)[0]), "the model's label stays the label"  # type: ignore[index]
    assert 'class="tag partly"' in browser.get("/features?q=park").text
    part = browser.post("/verdict/1", data={"label": "n1", "verdict": "right"}, headers=FRAGMENT).text
    assert "Saved." in part and part.index("right") < part.index("partly"), "the newest first"
    with Store.open(path) as store:
        people = [label for label in store.ledger.labels(feature=1) if label.agent == "human"]
        assert len(people) == 1 and people[0].model is None and json.loads(people[0].notes)["human"]["person"] == "Ada"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"person": "x"}, "Choose a verdict"),
        ({"label": "n3", "verdict": "right"}, "not one of this feature"),
        ({"label": "n1", "verdict": "splendid"}, "A verdict is"),
        ({"label": "n1", "verdict": "wrong", "description": "x", "pattern": "((("}, ""),
        ({"label": "n1", "verdict": "wrong", "name": "only a name"}, "Say in a sentence"),
    ],
)
def test_a_verdict_that_says_nothing_is_refused(browser: TestClient, given: dict[str, str], said: str) -> None:
    before = browser.get("/features/1").text
    answer = browser.post("/verdict/1", data=given)
    assert answer.status_code == 400 and said in answer.text
    part = browser.post("/verdict/1", data=given, headers=FRAGMENT).text
    assert 'role="alert"' in part and "Saved." not in part
    assert browser.get("/features/1").text == before


def test_labels_that_attack_are_only_text(browser: TestClient) -> None:
    for address in ("/features", "/features/5", "/compare?features=5,1", "/features/2"):
        page = browser.get(address).text
        assert "<script>alert" not in page and "<img src=x" not in page
        assert "\x1b" not in page and "\u202e" not in page and "style=" not in page


def test_a_token_of_a_million_characters_makes_no_large_page(tmp_path: Path) -> None:
    rows = make_rows(documents=60, windows=1)
    for document, context in list(zip(rows.documents, rows.contexts, strict=True))[::3]:
        wide = "\u202e<b>" + "w" * 1_000_000
        document["text"] = wide + document["text"]
        context["starts"] = [0, *(start + len(wide) for start in context["starts"][1:])]
        context["ends"] = [end + len(wide) for end in context["ends"]]
    write_shards(tmp_path / "store", rows)
    seal_shards(tmp_path / "store")
    with TestClient(application(tmp_path / "store"), base_url=HOME, headers={"accept": "text/html"}) as client:
        for address in ("/features", "/features/3", "/features/12", "/compare?features=3,12"):
            answer = client.get(address)
            assert answer.status_code == 200 and len(answer.text) < 300_000
            assert "\u202e" not in answer.text and "<b>w" not in answer.text
