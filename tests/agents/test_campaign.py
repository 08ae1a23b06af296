"""Campaigns: signals, budgets, servers that go away, two processes, the queue and the heartbeat."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dragoman.agents.campaign import Means
from dragoman.agents.crew import Crew
from dragoman.agents.heartbeat import Heartbeat, Pulse, pulse_of
from dragoman.agents.labeler import Labeler
from dragoman.agents.queue import queue
from dragoman.evals.gateway.budget import Budget
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.findings import Event
from dragoman.store.trails import Trails
from tests.agents.answering import MODEL, ROOT, Held, researcher
from tests.agents.ledgers import left_by, outcomes, rows, spent
from tests.agents.running import live, run, run_of, scripted
from tests.agents.running import run as run_again
from tests.evals.gateway.server import BROKEN, ScriptedServer


def events(path: Path, run: str) -> list[Event]:
    trails = Trails(path / "ledger.sqlite")
    try:
        return trails.events(run)
    finally:
        trails.close()


def until(true: Callable[[], Any], seconds: float = 300.0) -> None:
    """Wait until something is true."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds, "it never came"
        time.sleep(0.02)


@pytest.fixture
def calm(organism: Path, tmp_path: Path) -> Path:
    """A copy of the store on which a run of six features ended undisturbed."""
    path = tmp_path / "calm"
    shutil.copytree(organism, path)
    with scripted() as server:
        run(path, server.url, live(path, 6))
    return path


def start(path: Path, server: Held, features: tuple[int, ...]) -> subprocess.Popen[str]:
    chosen = ",".join(map(str, features))
    flags = ["--rounds", "1", "--tests", "2", "--concurrency", "2", "--quiet", "--features", chosen]
    command = [sys.executable, "-m", "dragoman", "label", str(path), "--explainer", f"vllm:{server.url}", *flags]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


@pytest.mark.slow
def test_signals_pause_go_on_and_stop_and_the_same_command_goes_on(organism: Path, calm: Path) -> None:
    features, run = live(organism, 6), run_of(calm)

    def pulse() -> Pulse:
        found = pulse_of(organism, run)
        assert found is not None
        return found

    with Held(5) as server:  # more than two features can ask without an outcome
        process = start(organism, server, features)
        until(lambda: outcomes(organism, run) >= 1)
        process.send_signal(signal.SIGUSR1)
        until(lambda: pulse().going == "paused")
        server.let_go()
        until(lambda: pulse().in_flight == 0)
        paused = outcomes(organism, run)
        other = start(organism, server, features)
        _, said = other.communicate(timeout=300)
        assert other.returncode == 2 and said.count("\n") == 1
        assert said.startswith(f"Another process (process {process.pid}) works on run {run} of ")
        assert outcomes(organism, run) == paused < len(features), "nothing was begun while it was paused"
        assert pulse().pid == process.pid and pulse().features == 6 and pulse().done == paused
        server.hold()
        process.send_signal(signal.SIGUSR2)
        until(lambda: pulse().going == "running" and server.open)
        process.send_signal(signal.SIGTERM)
        until(lambda: pulse().going == "stopping")
        server.let_go()
        _, said = process.communicate(timeout=300)
        assert process.returncode == 143 and said == "Stopped. What is done is kept: run the same command to go on.\n"
        assert (pulse().going, pulse().reason) == ("stopped", "by SIGTERM")
        assert not rows(organism, "SELECT * FROM model_call WHERE status = 'reserved'"), "steps under way were finished"
        server.hold()
        process = start(organism, server, features)
        until(lambda: server.open)
        process.send_signal(signal.SIGINT)
        until(lambda: pulse().going == "stopping")
        process.send_signal(signal.SIGINT)
        assert process.wait(300) == 130 and rows(organism, "SELECT * FROM model_call WHERE status = 'reserved'")
        server.let_go()
        run_again(organism, server.url, features)
    assert pulse().going == "done" and pulse().done == 6 and pulse().labeled == len(rows(organism, "SELECT * FROM label"))
    assert left_by(organism, run) == left_by(calm, run)
    kinds = [event.kind for event in events(organism, run)]
    assert kinds.count("admitted") == 6 and kinds.count("started") == 3
    assert kinds.index("paused") < kinds.index("resumed")


@pytest.mark.slow
def test_a_budget_that_is_reached_stops_the_run_and_loses_nothing(organism: Path, calm: Path) -> None:
    features, run_id = live(organism, 6), run_of(calm)
    with scripted() as server:
        for budget in (40_000, 90_000):
            with pytest.raises(UserError, match=rf"^The budget of {budget:,} tokens is reached: .* run the same command again"):
                run(organism, server.url, features, Means(Budget(tokens=budget), concurrency=2))
            assert spent(organism) <= budget
            found = pulse_of(organism, run_id)
            assert found is not None and found.going == "stopped" and str(found.reason).startswith("The budget of")
            assert events(organism, run_id)[-1].kind == "budget"
        run(organism, server.url, features)
    assert left_by(organism, run_id) == left_by(calm, run_id)


@pytest.mark.slow
def test_a_server_that_goes_away_stops_the_run_and_is_asked_again_by_the_next(organism: Path, calm: Path) -> None:
    features, run_id = live(organism, 6), run_of(calm)
    with ScriptedServer(models=(MODEL,), context=100_000) as server:
        model = researcher(trouble=True)

        def answer(body: dict[str, Any]) -> Any:
            if server.answered == 7:
                server._loop.create_task(server._die())
            return model(body)

        server.answer = answer
        with pytest.raises(UserError, match=f"{server.url}.*") as raised:
            run(organism, server.url, features, Means(patience=1.0))
        assert str(raised.value).count("\n") == 0
        assert 0 < outcomes(organism, run_id) < 6 or rows(organism, "SELECT * FROM step")
    with scripted() as server:
        server.fail(BROKEN, 2)  # tried again
        run(organism, server.url, features)
    assert left_by(organism, run_id) == left_by(calm, run_id)


@pytest.mark.slow
def test_what_goes_wrong_unexpectedly_is_tried_again_and_then_recorded(organism: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features, tried = live(organism, 3), list[int]()
    gather = Labeler.gather

    async def sometimes(self: Labeler, state: Any) -> Any:
        if state["feature"] == features[1]:
            tried.append(1)
            if len(tried) % 3:
                raise RuntimeError("the roof is leaking\nbadly")
        return await gather(self, state)

    monkeypatch.setattr(Labeler, "gather", sometimes)
    with scripted() as server:
        outcome = run(organism, server.url, features)
        assert len(tried) == 2 and outcome.labels + outcome.failures == 3
        with Store.open(organism) as store:
            assert (features[1], "label", "RuntimeError: the roof is leaking") in store.ledger.failures(outcome.run.id)
        assert run(organism, server.url, features) == outcome and len(tried) == 2, "what failed is not done again"


@pytest.mark.slow
def test_a_kill_after_the_label_and_before_the_last_step_leaves_a_whole_trail(
    organism: Path, calm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, run_id = live(organism, 6), run_of(calm)

    class Killed(BaseException):
        """What a kill is to a process."""

    def die(*given: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch, scripted() as server:
        patch.setattr(Crew, "_finished", die)
        with pytest.raises(BaseExceptionGroup):
            run(organism, server.url, features, Means(concurrency=1))
    assert outcomes(organism, run_id) == 1
    with scripted() as server:
        run(organism, server.url, features)
    assert left_by(organism, run_id) == left_by(calm, run_id)


def test_features_that_explain_most_come_first_and_dense_ones_last(organism: Path) -> None:
    with Store.open(organism) as store:
        order = queue(store, None)
        stats = {row["feature"]: row for row in store.stats_table().to_pylist()}
        weights = [stats[f]["mean"] * stats[f]["active"] / stats[f]["max"] for f in order]
        dense = [bool(stats[f]["dense"]) for f in order]
        assert sorted(order) == store.features("live") and dense == sorted(dense)
        for kind in (False, True):
            kept = [w for w, d in zip(weights, dense, strict=True) if d == kind]
            assert kept == sorted(kept, reverse=True)
        assert queue(store, order[:5][::-1]) == order[:5]
        other = next(feature for feature in range(store.width) if feature not in order)
        with pytest.raises(UserError, match="None of the 1 features asked for is live"):
            queue(store, [other])


def test_the_heartbeat_counts_and_says_how_it_is_going(tmp_path: Path) -> None:
    heart = Heartbeat(tmp_path, "r", features=10, done=4, figures=[0.2, None], spent=lambda: (1200, 0.5))
    heart.beat("running")
    heart._begun -= 60
    heart.finished(True, 0.6)
    heart.finished(False, None)
    heart.beat("stopped", "by SIGTERM")
    found = pulse_of(tmp_path, "r")
    assert found is not None
    assert (found.features, found.done, found.labeled, found.validation) == (10, 6, 3, 0.4)
    assert (found.tokens, found.dollars, found.going, found.reason) == (1200, 0.5, "stopped", "by SIGTERM")
    assert 0 < found.per_minute <= 2 and found.seconds_left is not None
    assert found.seconds_left == pytest.approx(4 * 60 / found.per_minute, rel=0.01)
    assert "a minute, 1,200 tokens, $0.5000, median on validation 0.40" in heart.remark()
    (tmp_path / "runs" / "r" / "heartbeat.json").write_text(json.dumps({"what": 1}))
    assert pulse_of(tmp_path, "r") is None and pulse_of(tmp_path, "other") is None
