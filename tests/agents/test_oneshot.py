"""Labeling runs: resume, failures, locks, and kill -9 at random moments, with real processes and files."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from dragoman.agents.oneshot import label
from dragoman.evals.explainer import Explainer, Explanation
from dragoman.evals.scoring import score
from dragoman.evals.validation import Validator
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.locking import write_lock
from dragoman.store.view import TrainView
from dragoman.tools.induction import Fit
from dragoman.tools.patterns import Pattern, learn_usage
from tests.support.soak import FULL, record, table
from tests.support.synthetic import make_store

ROOT = Path(__file__).parents[2]


class Scripted:
    """Says what the top token is; refuses feature 3."""

    name = "scripted"

    def explain(self, view: TrainView, feature: int, validate: Callable[[Pattern], Fit], seed: int) -> Explanation:
        """A pattern of one token."""
        if feature == 3:
            raise ValueError("three is not explained")
        token = view.top_tokens(feature)[0].token.strip() or "the"
        return Explanation(name=token, description=f"Fires on {token}.", pattern=f'strongly: "{token}"', notes={"seed": seed})


def make_scripted(store: Store) -> tuple[Explainer, Validator]:
    train = store.tokens("train")
    return Scripted(), Validator(store, learn_usage(train.ids, train.row, train.vocabulary))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    make_store(tmp_path / "store", documents=200).close()
    return tmp_path / "store"


def ledger_rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of the ledger without times, in a fixed order."""
    with closing(sqlite3.connect(f"file:{path / 'ledger.sqlite'}?mode=ro", uri=True)) as connection:
        tables = {
            "run": "SELECT id, kind, config, status FROM run ORDER BY id",
            "label": "SELECT * FROM label ORDER BY id",
            "score": "SELECT * FROM score ORDER BY id",
            "failure": "SELECT * FROM failure ORDER BY id",
        }
        return {name: connection.execute(query).fetchall() for name, query in tables.items()}


def test_a_run_labels_every_live_feature_once_and_records_failures(path: Path) -> None:
    run = label(path, make_scripted, "scripted", workers=2, progress=False)
    with Store.open(path) as store:
        live = set(store.features("live"))
        labels = store.ledger.labels(run=run.id)
        assert {found.feature for found in labels} == live - {3} and len(labels) == len(live) - 1
        assert store.ledger.failures(run.id) == [(3, "label", "ValueError: three is not explained")]
        assert store.ledger.runs()[0].status == "done"
    before = ledger_rows(path)
    assert label(path, make_scripted, "scripted", workers=2, progress=False).id == run.id
    assert ledger_rows(path) == before, "the same command finds everything done"


def test_fresh_starts_anew_and_settings_are_another_run(path: Path) -> None:
    first = label(path, make_scripted, "scripted", [0, 1], workers=0, progress=False)
    fresh = label(path, make_scripted, "scripted", [0, 1], workers=0, fresh=True, progress=False)
    again = label(path, make_scripted, "scripted", [0, 1], workers=0, progress=False)
    seeded = label(path, make_scripted, "scripted", [0, 1], seed=1, workers=0, progress=False)
    assert len({first.id, fresh.id, seeded.id}) == 3 and again.id == fresh.id


def test_workers_and_this_process_make_the_same_labels(path: Path, tmp_path: Path) -> None:
    make_store(tmp_path / "other", documents=200).close()
    label(path, make_scripted, "scripted", workers=2, progress=False)
    label(tmp_path / "other", make_scripted, "scripted", workers=0, progress=False)
    assert ledger_rows(path) == ledger_rows(tmp_path / "other")


def test_two_processes_never_work_on_one_run(path: Path) -> None:
    run = label(path, make_scripted, "scripted", [0], workers=0, progress=False)
    with write_lock(path / "locks", f"{run.id}.lock"), pytest.raises(UserError, match="Another process"):
        label(path, make_scripted, "scripted", [0], workers=0, progress=False)


def test_nothing_live_is_one_sentence(path: Path) -> None:
    with pytest.raises(UserError, match="None of the 1 features asked for is live"):
        label(path, make_scripted, "scripted", [23], progress=False)


def test_a_failed_label_is_unscored_and_its_controls_are_scored(path: Path) -> None:
    label(path, make_scripted, "scripted", workers=0, progress=False)
    run = score(path, workers=0, progress=False)
    with Store.open(path) as store:
        found = {(s.scorer, s.contestant): s for s in store.ledger.scores(run=run.id, feature=3)}
        assert found["simulation.r", "label"].unscored == "no label: ValueError: three is not explained"
        assert found["simulation.r", "token_lookup"].value is not None
        dead = store.ledger.scores(run=run.id, feature=23)
        assert dead and all(s.value is None and s.unscored == "dead" for s in dead)
        good = {s.contestant: s for s in store.ledger.scores(run=run.id, feature=2, scorer="simulation.r")}
        assert good["label"].flags == ("scores the rule, not the words",) and good["label"].split == "test"
        assert good["token_lookup"].judge == "none" and not good["token_lookup"].flags
        shuffled = [s for s in store.ledger.scores(run=run.id, contestant="shuffled") if s.value is not None]
        owner = {found.id: found.feature for found in store.ledger.labels()}
        assert len(shuffled) > 10 and all(owner[s.label] != s.feature for s in shuffled)


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("command", ["label", "score"])
def test_killed_at_random_moments_the_ledger_equals_an_undisturbed_one(command: str, path: Path, tmp_path: Path) -> None:
    """kill -9, then the same command: every row equals that of a run nobody disturbed."""
    if command == "score":
        assert _run("label", path) == 0
    shutil.copytree(path, tmp_path / "calm")
    assert _run(command, tmp_path / "calm") == 0
    expected = ledger_rows(tmp_path / "calm")
    whole = len(expected[command])
    seed = random.SystemRandom().randrange(2**32)
    moments = random.Random(seed)
    kills = 10 if FULL else 1
    rows: list[tuple[object, ...]] = []
    while len(rows) < kills:
        low, high = len(rows) * whole // kills, (len(rows) + 1) * whole // kills
        store = tmp_path / f"killed-{len(rows)}"
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(path, store)
        begun, target = time.monotonic(), moments.randrange(low, high)
        process = subprocess.Popen(_command(command, store), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and _count(store, command) < target:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.02))
        process.kill()
        after = time.monotonic() - begun
        if process.wait() == 0:
            continue  # it had ended before
        left = _count(store, command)
        assert _run(command, store) == 0
        equal = ledger_rows(store) == expected
        rows.append((len(rows) + 1, f"{after:.2f}", f"{left} of {whole} rows", "yes" if equal else "**no**"))
    text = table(("kill", "after, s", "what it left", "equal"), rows) + f"\n\nMoments from seed {seed}."
    print(text)
    if FULL:
        record(command, text)
    assert all(row[-1] == "yes" for row in rows)


def _count(path: Path, table: str) -> int:
    """Rows of a table of the ledger; 0 where it does not exist yet."""
    try:
        return len(ledger_rows(path)[table])
    except sqlite3.OperationalError:
        return 0


def _run(command: str, path: Path) -> int:
    return subprocess.run(_command(command, path), cwd=ROOT, capture_output=True).returncode


def _command(command: str, path: Path) -> list[str]:
    return [sys.executable, "-m", "dragoman", command, str(path), "--quiet"]
