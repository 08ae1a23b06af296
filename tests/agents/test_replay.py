"""Runs again from their recorded calls: no server, the same rows; and what is said of runs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dragoman.agents.campaign import Means
from dragoman.agents.crew import Crew
from dragoman.agents.replay import replay
from dragoman.agents.runs import lines, report
from dragoman.agents.settings import Parts, Settings
from dragoman.evals.gateway.budget import Budget
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.locking import write_lock
from tests.agents.ledgers import left_by, outcomes
from tests.agents.running import SETTINGS, live, run, run_of, scripted
from tests.dragoman.command import here

pytestmark = pytest.mark.slow


def changed(path: Path, statement: str, *given: Any) -> None:
    """Change a store's ledger behind everybody's back."""
    with closing(sqlite3.connect(path / "ledger.sqlite")) as connection:
        assert connection.execute(statement, given).rowcount == 1
        connection.commit()


def test_a_run_with_failures_comes_out_the_same_without_a_server(organism: Path) -> None:
    with scripted() as server:
        outcome = run(organism, server.url, live(organism, 8))
        asked = len(server.seen)
        before = left_by(organism, outcome.run.id)
        server.die()
        found = replay(organism, outcome.run.id, progress=False)
        assert len(server.seen) == asked
    assert found.differences == [] and not found.unfinished and not found.missing
    assert found.features == 8 and outcome.failures >= 2, "the script refuses and breaks off"
    assert {what: found.rows[what] for what in ("label", "step")} == {what: len(before[what]) for what in ("label", "step")}
    assert left_by(organism, outcome.run.id) == before, "nothing in the store was changed"
    assert not list((organism / "runs" / outcome.run.id).glob("replay-*"))

    with Store.open(organism) as store:
        (line,) = lines(store)
        said = report(store, outcome.run.id[:6])
    assert (line.row.labels, line.row.failures, line.features, line.status) == (outcome.labels, outcome.failures, 8, "done")
    assert (line.row.tokens, line.explainer, line.judge) == (outcome.tokens, "vllm:researcher", "pattern")
    assert sum(said.failures.values()) == outcome.failures and "the model refused" in said.failures
    assert {"labeler/propose", "labeler/design", "labeler/revise"} == {step.step for step in said.steps}
    assert sum(step.tokens for step in said.steps) == outcome.tokens
    assert sum(said.rungs.values()) == 8 and set(said.rungs) <= {"one-shot", "experiments"}
    assert {tool.tool for tool in said.tools} == {"activate", "feature_stats"} and all(tool.calls for tool in said.tools)
    assert said.validation is not None and -1 <= said.validation <= 1

    changed(organism, "UPDATE label SET description = 'Something else.' WHERE rowid = 1")
    changed(organism, "DELETE FROM step WHERE rowid = 3")
    found = replay(organism, outcome.run.id, progress=False)
    assert sorted(one.what for one in found.differences) == ["label", "step"]
    (label,) = [one for one in found.differences if one.what == "label"]
    assert label.then == {"description": "Something else."} and label.now != label.then
    assert next(one for one in found.differences if one.what == "step").then is None

    listed = here("runs", organism)
    assert outcome.run.id in listed.stdout and "done" in listed.stdout
    shown = here("runs", "show", organism, outcome.run.id)
    assert "labeler/propose" in shown.stdout and "the model refused" in shown.stdout
    again = here("replay", organism, outcome.run.id, "--quiet")
    assert again.returncode == 1 and "2 differences" in again.stdout and "Something else." in again.stdout
    wrong = here("replay", organism, "nothing")
    assert wrong.returncode == 2 and wrong.stderr.startswith("There is no run 'nothing'")


def test_budget_stops_of_run_and_features_are_followed(organism: Path) -> None:
    features = live(organism, 8)
    with scripted() as server:
        with pytest.raises(UserError, match="The budget of"):
            run(organism, server.url, features, Means(Budget(tokens=160_000), concurrency=3), each=80_000)
        server.die()
        id = run_of(organism)
        found = replay(organism, id, progress=False)
        assert 0 < len(found.unfinished) <= 3 and found.features == outcomes(organism, id) < 8
        assert any(reason.startswith("The budget of") for reason in found.unfinished.values())
        assert found.differences == []
        server.come_back()
        run(organism, server.url, features, each=80_000)
        server.die()
        found = replay(organism, id, progress=False)
    assert found.differences == [] and not found.unfinished and found.features == 8


def test_a_run_that_was_killed_and_went_on_comes_out_the_same(organism: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        """What a kill is to a process."""

    def die(*given: Any) -> None:
        raise Killed

    features = live(organism, 5)
    with scripted() as server:
        with monkeypatch.context() as patch, pytest.raises(BaseExceptionGroup):
            patch.setattr(Crew, "_finished", die)
            run(organism, server.url, features)
        id = run_of(organism)
        found = replay(organism, id, progress=False)
        assert found.differences == [] and found.unfinished, "the kill came in the middle"
        run(organism, server.url, features)
        assert replay(organism, id, progress=False).differences == []


def test_every_part_of_the_loop_replays(organism: Path) -> None:
    """Predictions asked for one by one, drawn tests, a judge in words: each at places of its own."""
    settings = Settings(rounds=1, tests=2, parts=Parts(targeted=False, facets=False))
    with scripted() as server:
        outcome = run(organism, server.url, live(organism, 3), settings=settings)
    assert replay(organism, outcome.run.id, progress=False).differences == []


def test_a_run_that_is_going_on_or_has_no_trail_is_not_replayed(organism: Path) -> None:
    with scripted() as server:
        outcome = run(organism, server.url, live(organism, 1), settings=SETTINGS.model_copy(update={"rung": "one-shot"}))
    with write_lock(organism / "locks", f"{outcome.run.id}.lock"):
        with Store.open(organism) as store:
            assert lines(store)[0].status == "running"
        with pytest.raises(UserError, match="is going on"):
            replay(organism, outcome.run.id)
    changed(organism, "UPDATE run SET status = 'running'")
    with Store.open(organism) as store:
        assert lines(store)[0].status == "killed"
    here("label", organism, "--features", "2", "--quiet")
    with Store.open(organism) as store:
        induced = lines(store)[1].row.id
    with pytest.raises(UserError, match="has no trail to replay"):
        replay(organism, induced)
