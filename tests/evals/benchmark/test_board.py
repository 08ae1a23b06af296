"""The leaderboard from entries made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from dragoman.evals.benchmark.board import board, compare, values
from dragoman.evals.benchmark.entrants import Spent
from dragoman.evals.benchmark.page import called, html, markdown
from dragoman.evals.benchmark.running import Result, Row


def row(feature: int, truth: str | None = "t", hard: bool = False, level: int | None = None, **figures: float) -> Row:
    named = {name.replace("__", "."): figure for name, figure in figures.items()}
    return Row(feature, named, None, True, {"description": "<b>says</b> | so"}, truth, level, "kind", hard, True, False)


def result(contestant: str, rows: list[Row], seed: int = 0, endless: bool = False, **more: Any) -> Result:
    config = {"suite": "s", "seed": seed, "contestant": contestant, "features": 4, "texts": 20, "judge": None, "flags": []}
    return Result("s", seed, contestant, config, rows, Spent(**more), 2.0, True, endless)


def test_seeds_of_the_same_features_are_averaged_and_those_of_an_endless_suite_are_not() -> None:
    same = [result("a", [row(1, recovery__mcc=0.2)]), result("a", [row(1, recovery__mcc=0.6)], seed=1)]
    assert values(same, "a", "recovery.mcc") == {"s/1": pytest.approx(0.4)}
    other = [result("a", [row(1, recovery__mcc=0.2)], endless=True), result("a", [row(1, recovery__mcc=0.6)], 1, True)]
    assert values(other, "a", "recovery.mcc") == {"s/0/1": 0.2, "s/1/1": 0.6}


def test_contestants_are_ranked_and_compared_on_the_same_features() -> None:
    good = result("induction", [row(n, recovery__mcc=0.9 - n / 100, simulation__r=0.5) for n in range(8)], calls=16)
    bad = result("toptoken", [row(n, recovery__mcc=0.1) for n in range(6)])
    found = board([bad, good])[0]
    assert [line.contestant for line in found.lines] == ["induction", "toptoken"]
    assert found.lines[0].cost["calls"] == 2
    assert found.lines[0].cost["seconds"] == 0.25
    pairing = found.lines[1].against["recovery.mcc"]
    assert pairing.mean.n == 6
    assert pairing.mean.value == pytest.approx(np.mean([0.1 - (0.9 - n / 100) for n in range(6)]))
    assert pairing.mean.high < 0
    assert compare([bad, good], "induction", "toptoken", "recovery.mcc").mean.value == pytest.approx(-pairing.mean.value)


def test_hard_cases_and_levels_stand_apart() -> None:
    rows = [
        row(1, level=1, recovery__mcc=1.0),
        row(2, level=4, recovery__mcc=0.5),
        row(3, hard=True, level=5, recovery__mcc=-1.0),
    ]
    found = board([result("induction", rows)])[0]
    assert found.lines[0].n == 2
    assert found.lines[0].figures["recovery.mcc"].value == pytest.approx(0.75)
    parts = {part.name: part.figures["induction"].value for part in found.parts}
    assert parts == {
        "level 1": 1.0,
        "level 4": 0.5,
        "level 3 and above": 0.5,
        "the truth is no pattern": -1.0,
        "level 3 and above, with and without a pattern": -0.25,
    }
    plain = board([result("induction", [row(1, recovery__mcc=1.0), row(2, hard=True, recovery__mcc=0.0)])])[0]
    assert [part.name for part in plain.parts] == ["hard cases"]


def test_the_worth_of_a_score_is_its_rank_correlation_with_recovery() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((2, 30))
    r = truth + 0.3 * rng.standard_normal((2, 30))
    results = [
        result(name, [row(n, recovery__mcc=truth[k, n], simulation__r=r[k, n]) for n in range(30)])
        for k, name in enumerate(("a", "b"))
    ]
    oracle = result("oracle", [row(n, recovery__mcc=1.0, simulation__r=-1.0) for n in range(30)])
    worth = {one.score: one for one in board([*results, oracle])[0].worth}["simulation.r"]
    assert worth.labels == 60
    assert worth.rho.n == 30
    assert worth.rho.value == pytest.approx(stats.spearmanr(r.ravel(), truth.ravel()).statistic)
    assert worth.rho.low < worth.rho.value < worth.rho.high
    pairs = [(a, b) for a, b in zip(truth.T, r.T, strict=True) if abs(a[0] - a[1]) >= 0.05]
    assert worth.chooses.value == pytest.approx(np.mean([(a[0] > a[1]) == (b[0] > b[1]) for a, b in pairs]))


def test_what_others_wrote_is_escaped() -> None:
    results = [result("one-shot:<i>", [row(1, truth="<script>x</script>", recovery__mcc=0.5, simulation__r=0.1)])]
    page, text = html(board(results), results), markdown(board(results))
    assert "<script>" not in page
    assert "<b>says</b>" not in page
    assert "&lt;script&gt;" in page
    assert "http://" not in page
    assert "https://" not in page
    assert "| one-shot:&lt;i> | 1 |" in text


def test_without_a_truth_nothing_is_said_of_one() -> None:
    results = [result("induction", [row(1, truth=None, simulation__r=0.5), row(2, truth=None, simulation__r=0.3)])]
    page, text = html(board(results), results), markdown(board(results))
    for told in (page, text):
        assert "predictive scores only" in told
        assert "ecovery" not in told
    assert "beside the truth" not in page
    assert "fits a sibling" not in page


def test_markdown_says_each_reason_on_a_line_of_its_own_before_the_next_heading() -> None:
    rows = [replace(row(1), unscored="no pattern"), replace(row(2), unscored="its pattern cannot be read: x")]
    text = markdown(board([result("import:csv", [*rows, row(3, simulation__r=0.2)])]))
    assert "\n\n- import:csv: 1 unscored, no pattern.\n- import:csv: 1 unscored, its pattern cannot be read.\n\n###" in text


def test_what_a_judge_read_stands_apart_with_its_name_and_bill() -> None:
    rows = [row(n, recovery__mcc=0.5, recovery__read_balanced_accuracy=0.75) for n in range(3)]
    rows += [replace(row(3, hard=True, recovery__read_balanced_accuracy=0.25), unscored="no pattern"), row(4, recovery__mcc=0.1)]
    one = replace(result("induction", rows), judged=Spent(tokens=800, requests=12))
    one = replace(one, config={**one.config, "judge": "openai:http://127.0.0.1:1/v1#reader"})
    found = board([one])[0]
    assert found.judge == "openai:http://127.0.0.1:1/v1#reader"
    assert {part.name: (part.n, part.figures["induction"].value) for part in found.read} == {
        "all that were read": (4, pytest.approx(0.625)),
        "hard cases": (1, 0.25),
    }
    for told in (html([found], [one]), markdown([found])):
        assert "reader: 12 requests, 800 tokens, dollars: 0, own server." in told
        assert "n 3" in told
        assert "[0.250, 0.250]" not in told


def test_dollars_that_nobody_knows_are_not_nought() -> None:
    bills = {"a": Spent(tokens=9, unpriced=2), "b": Spent(tokens=9, dollars=3.0, unpriced=1), "c": Spent(tokens=9), "d": Spent()}
    results = [replace(result(name, [row(1, recovery__mcc=0.5)]), spent=spent) for name, spent in bills.items()]
    last = {line.split(" | ")[0][2:]: line.split(" | ")[-1] for line in markdown(board(results)).splitlines() if line[:1] == "|"}
    assert last["a"] == "price not known |"
    assert last["b"] == "≥ 3.0000, not all prices known |"
    assert last["c"] == "0, own server |"
    assert last["d"] == "0 |"


def test_models_are_called_by_their_own_names_as_long_as_that_tells_them_apart() -> None:
    assert called(["one-shot:openai:http://h:1/v1#m", "one-shot:openai:http://g:1/v1#m", "labeler:vllm:http://g:1/v1", "x"]) == {
        "one-shot:openai:http://h:1/v1#m": "one-shot:openai:http://h:1/v1#m",
        "one-shot:openai:http://g:1/v1#m": "one-shot:openai:http://g:1/v1#m",
        "labeler:vllm:http://g:1/v1": "labeler:g:1",
        "x": "x",
    }
    assert called(["one-shot:openai:http://h:1/v1#m", "labeler:openai:http://h:1/v1#m"]) == {
        "one-shot:openai:http://h:1/v1#m": "one-shot:m",
        "labeler:openai:http://h:1/v1#m": "labeler:m",
    }


def test_a_line_names_the_command_that_makes_it_again() -> None:
    results = [result("labeler:a b", [row(1, recovery__mcc=0.5)], seed) for seed in (4, 5)]
    assert board(results)[0].lines[0].command == (
        "dragoman bench labels --suite s --contestants 'labeler:a b' --seed 4 --seeds 2 --features 4 --texts 20 --out AGAIN"
    )
