"""Runs, debates and comparisons as pages."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from dragoman.agents.heartbeat import Pulse, heartbeat_of
from dragoman.evals.beside import auroc_difference, runs_beside
from dragoman.store.features import Store
from dragoman.store.locking import write_lock
from dragoman.store.records import JudgeAnswer, Label, Run
from dragoman.web.app import application
from dragoman.web.progress import duration
from tests.support.furnished import DEBATE, FIRST, HUGE, JUDGED, SECOND, TRAIL
from tests.support.synthetic import make_store

from .conftest import HOME

PAGES = [
    "/",
    "/runs",
    f"/runs/{FIRST}",
    f"/runs/{TRAIL}",
    f"/runs/{JUDGED}",
    f"/runs/{DEBATE}",
    "/debates",
    f"/debates/{DEBATE}/sae/3",
    "/compare?feature=sae/0",
    f"/compare/runs?a={FIRST}&b={SECOND}",
    f"/compare/labels?a={FIRST}-0&b={SECOND}-0",
    f"/labels/{FIRST}-0",
]
QUIET = (f"/runs/{JUDGED}", f"/runs/{DEBATE}")
"""No words of others stand on these."""


@pytest.mark.parametrize("path", PAGES)
def test_nothing_on_a_page_acts(visitor: TestClient, path: str) -> None:
    answer = visitor.get(path)
    assert answer.status_code == 200, answer.text
    text = answer.text
    assert "<script>" not in text and "<img src=x" not in text and "onerror=alert" not in re.sub(r"&lt;.*?&gt;", "", text)
    assert "\u202e" not in text and "\x1b" not in text and "style=" not in text
    assert ("&lt;script&gt;" in text) == (path not in QUIET), "the words are there, as words"


@pytest.mark.parametrize(
    "path", ["/", "/runs", f"/runs/{HUGE}", f"/labels/{HUGE}-22", "/compare?feature=sae/22", "/features", "/features/sae/22"]
)
def test_a_megabyte_without_a_blank_is_cut_and_says_so(visitor: TestClient, path: str) -> None:
    answer = visitor.get(path)
    assert answer.status_code == 200 and len(answer.content) < 400_000, len(answer.content)
    assert "\u202e" not in answer.text
    if "22" in path and "compare" not in path:
        assert "more characters" in answer.text


def test_a_run_says_what_came_of_each_feature(visitor: TestClient) -> None:
    text = visitor.get(f"/runs/{FIRST}").text
    assert "13 <small>of 13" in text and "unscored: rare" in text
    assert f"/labels/{FIRST}-11" in text and "/features/sae/11" in text
    trail = visitor.get(f"/runs/{TRAIL}").text
    assert f"/trail/{TRAIL}/sae/2" in trail and "labeler/propose" in trail and "Model calls" in trail


def test_a_debate_puts_each_claim_beside_its_experiment(visitor: TestClient) -> None:
    text = visitor.get(f"/debates/{DEBATE}/sae/3").text
    assert 'id="E1"' in text and 'href="#E1"' in text and "A is ahead" in text
    assert re.search(r"fires <span class=\"state held\">", text) and re.search(r"silent <span class=\"state failed\">", text)
    assert visitor.get(f"/debates/{DEBATE}/sae/4").status_code == 404
    assert f"/debates/{DEBATE}/sae/3" in visitor.get("/debates").text


def test_two_runs_are_compared_in_pairs(visitor: TestClient, full: Path) -> None:
    with Store.open(full) as store:
        runs = {run.id: run for run in store.ledger.runs()}
        (found,) = runs_beside(store, runs[FIRST], runs[SECOND])
    assert found.pairing.median.value == pytest.approx(0.1) and found.pairing.better == 1.0
    assert found.pairing.median.low == pytest.approx(0.1) and found.pairing.median.n == 12
    text = visitor.get(f"/compare/runs?a={FIRST}&b={SECOND}").text
    assert "100 %" in text and f"/compare/labels?a={FIRST}-0" in text
    assert visitor.get(f"/compare/runs?a={FIRST}&b={JUDGED}").status_code == 400, "two kinds"
    assert visitor.get("/compare/runs?a=nothing&b=neither").status_code == 400
    assert visitor.get(f"/compare/labels?a={FIRST}-0&b=none").status_code == 404


def test_a_difference_of_two_labels_is_paired_by_question() -> None:
    """Two labels that are right on the same questions differ by nothing at all, however few there are."""

    def answers(values: list[float]) -> list[JudgeAnswer]:
        known = {"run": "r", "feature": 0, "contestant": "label", "score": "detection", "way": "read", "unscored": None}
        return [
            JudgeAnswer(item=n, context=n, truth=n % 2 == 0, probability=value, **known)  # type: ignore[arg-type]
            for n, value in enumerate(values)
        ]

    import numpy as np

    good, bad, documents = [0.9, 0.2, 0.8, 0.85, 0.9, 0.1], [0.1, 0.9, 0.2, 0.8, 0.3, 0.7], dict(enumerate(range(6)))
    same = auroc_difference(answers(good), answers(good), documents, np.random.default_rng(0))
    assert same is not None and (same.value, same.low, same.high) == (0, 0, 0)
    found = auroc_difference(answers(good), answers(bad), documents, np.random.default_rng(0))
    assert found is not None and found.value == pytest.approx(8 / 9) and found.low > 0
    assert auroc_difference(answers(good)[:1], answers(bad), documents, np.random.default_rng(0)) is None


def test_an_experiment_leads_to_its_place_in_the_trail(visitor: TestClient) -> None:
    answer = visitor.get(f"/experiments/{TRAIL}-2-e2", follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"] == f"/trail/{TRAIL}/sae/2#f2-E2"
    assert 'id="f2-E2"' in visitor.get(f"/trail/{TRAIL}/sae/2").text
    assert visitor.get("/experiments/none").status_code == 404


def test_progress_is_streamed_until_the_run_is_over(tmp_path: Path) -> None:
    """The stream ends with the run; what it sent is the piece of the page, escaped."""
    with make_store(tmp_path / "store") as store:
        run = Run(id="1234", kind="label", config=json.dumps({"explainer": "<b>", "features": "0:24"}), status="running")
        store.ledger.start_run(run)
        store.ledger.add_label(Label(id="l", feature=1, run="1234", name="x", description="x", agent="induction"))
        pulse = Pulse("1234", 1, "running", "2026-01-01T00:00:00+00:00", 24, 1, 1, 3, 6.0, 500, 0.25, 0.625, 230.0)
        heartbeat_of(tmp_path / "store", "1234").parent.mkdir(parents=True)
        heartbeat_of(tmp_path / "store", "1234").write_text(json.dumps(asdict(pulse)))
        with TestClient(application(tmp_path / "store"), base_url=HOME) as client:
            with write_lock(tmp_path / "store" / "locks", "1234.lock", "works"):
                text = client.get("/runs/1234").text
                assert 'data-events="/runs/1234/events"' in text and "3 min 50 s left" in text and "3 in work" in text
                assert "0.625" in text and "&lt;b&gt;" in text
            killed = client.get("/runs/1234/events")
            assert killed.headers["content-type"].startswith("text/event-stream")
            assert "event: now\n" in killed.text and killed.text.endswith('event: over\ndata: "killed"\n\n')
            assert client.get("/runs/none/events").status_code == 404


def test_times_in_words() -> None:
    assert [duration(s) for s in (0.4, 59, 61, 700, 7_300)] == ["0 s", "59 s", "1 min 1 s", "11 min", "2 h 1 min"]
