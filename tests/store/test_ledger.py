"""The ledger: what was acknowledged is there, nothing is there twice, readers never wait."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dragoman.store import database
from dragoman.store.errors import UserError
from dragoman.store.ledger import Ledger, label_id, score_id
from dragoman.store.records import Facet, Failure, Label, Run, Score

ROOT = Path(__file__).parents[2]


def label(feature: int = 0, run: str = "run", text: str = "fires on parks") -> Label:
    return Label(
        id=label_id(run, feature, text),
        feature=feature,
        run=run,
        name="park",
        description=text,
        facets=(Facet(description="a", pattern="p"), Facet(description="b")),
        pattern="token(' park')",
        output_claim=None,
        agent="induction",
        evidence=(3, 1, 2),
        notes='{"f1": 0.5}',
    )


def score(feature: int = 0, scorer: str = "simulation.r", value: float | None = 0.5, contestant: str = "label") -> Score:
    return Score(
        label=label_id("run", feature, "fires on parks"),
        feature=feature,
        run="run",
        scorer=scorer,
        judge="pattern",
        contestant=contestant,
        split="test",
        value=value,
        low=None if value is None else value - 0.1,
        high=None if value is None else value + 0.1,
        n=200,
        unscored="dense" if value is None else None,
        flags=("sampled", "scores the rule, not the words"),
    )


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    run = Run(id="run", kind="label", config='{"seed":0}', status="running")
    ledger.start_run(run)
    ledger.add_label(label())
    ledger.add_scores([score(), score(scorer="detection.auroc", value=None)])
    ledger.add_failure("run", 7, "induce", "it broke")
    for opened in (ledger, Ledger(tmp_path / "ledger.sqlite")):
        assert opened.runs() == [run]
        assert opened.labels() == opened.labels(feature=0) == opened.labels(run="run") == [label()]
        assert opened.labels(feature=1) == opened.labels(run="other") == []
        assert opened.scores() == [score(), score(scorer="detection.auroc", value=None)]
        assert opened.scores(scorer="simulation.r", split="test", judge="pattern", contestant="label", run="run") == [score()]
        assert opened.failures("run") == [(7, "induce", "it broke")]
        assert (opened.labeled_features("run"), opened.scored_features("run"), opened.labeled_features("x")) == ({0}, {0}, set())
    ledger.finish_run("run")
    assert ledger.runs()[0].status == "done"
    ledger.start_run(run)
    assert [r.status for r in ledger.runs()] == ["running"], "a run that goes on is the same run"


def test_repeating_work_adds_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    for value in (0.5, 0.9):
        ledger.record(
            labels=[label()], scores=[score(value=value)], failures=[Failure(run="run", feature=1, step="s", reason=str(value))]
        )
    assert len(ledger.labels()) == 1
    assert [s.value for s in ledger.scores()] == [0.5], "the first measurement stands"
    assert ledger.failures() == [(1, "s", "0.5")]
    assert score_id(score(value=0.1)) == score_id(score(value=0.2)) != score_id(score(contestant="shuffled"))


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_a_record_is_all_or_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    broken = score().model_copy(update={"n": "many"})  # the strict table refuses it
    with pytest.raises(sqlite3.Error):
        ledger.record(labels=[label()], scores=[score(), broken])
    assert ledger.labels() == [] and ledger.scores() == []
    ledger.add_label(label())
    assert len(ledger.labels()) == 1, "the ledger goes on after an error"


def test_any_text_can_be_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    odd = label(text="a\x00b\ud800\u202e'\"; DROP TABLE label; --")
    ledger.add_label(odd)
    assert ledger.labels()[0].description == odd.description.replace("\ud800", "?")


def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger(path).add_label(label())
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM label")
    assert len(Ledger(path).labels()) == 1, "what waits for a writer that never ends is refused in the end"
    writer.execute("ROLLBACK")


def test_threads_and_ledgers_write_together(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    shared = Ledger(path)

    def write(ledger: Ledger, first: int) -> None:
        for feature in range(first, first + 25):
            ledger.record(labels=[label(feature)], scores=[score(feature)])

    threads = [
        threading.Thread(target=write, args=(ledger, 100 * i))
        for i, ledger in enumerate([shared, shared, Ledger(path), Ledger(path)])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(shared.labels()) == len(shared.scores()) == 100


WRITER = """
import sys
from pathlib import Path
from dragoman.store.ledger import Ledger
from tests.store.test_ledger import label, score
ledger = Ledger(Path(sys.argv[1]))
for feature in range(int(sys.argv[2]), int(sys.argv[2]) + 100_000):
    ledger.record(labels=[label(feature)], scores=[score(feature), score(feature, "detection.auroc")])
    print(feature, flush=True)
"""


@pytest.mark.slow
def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    generator = random.Random(0)
    acknowledged: set[int] = set()
    for round_number in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(round_number * 1_000_000)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        acknowledged.add(int(process.stdout.readline()))
        time.sleep(generator.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        acknowledged |= {int(line) for line in process.stdout.read().split()[:-1]}  # the last line may be cut
        process.wait()
    ledger = Ledger(path)
    labeled = ledger.labeled_features("run")
    assert len(acknowledged) > 4 and acknowledged <= labeled
    assert len(labeled - acknowledged) <= 2 * 4, "at most what was being written"
    counts: dict[int, int] = dict.fromkeys(labeled, 0)
    for found in ledger.scores():
        counts[found.feature] += 1
    assert set(counts.values()) == {2}, "a label and its scores are there together"


def test_a_full_disk_is_said_in_one_sentence_and_keeps_what_was_there(tmp_path: Path) -> None:
    limited = (
        "import resource, signal, sys; from pathlib import Path; from dragoman.store.errors import UserError\n"
        "from dragoman.store.ledger import Ledger; from tests.store.test_ledger import label\n"
        "ledger = Ledger(Path(sys.argv[1])); ledger.add_label(label(0))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "try:\n    for feature in range(1, 5000): ledger.add_label(label(feature)); print(feature, flush=True)\n"
        "except UserError as error: print(error); sys.exit(2)\n"
    )
    path = tmp_path / "ledger.sqlite"
    ended = subprocess.run([sys.executable, "-c", limited, str(path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended.stderr
    *acknowledged, sentence = ended.stdout.splitlines()
    assert "disk is full" in sentence
    assert {int(line) for line in acknowledged} <= Ledger(path).labeled_features("run")


def test_migrations_and_their_records_are_one_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger(path).add_label(label())
    shipped = database.migrations("ledger")
    broken = "CREATE TABLE extra (id TEXT) STRICT;\nINSERT INTO nowhere VALUES (1);\n"
    monkeypatch.setattr(database, "migrations", lambda name: [*shipped, ("ledger_9999_extra", broken)])
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        Ledger(path)
    tables = {name for (name,) in sqlite3.connect(path).execute("SELECT name FROM sqlite_master")}
    assert "extra" not in tables
    mended = "CREATE TABLE extra (\n    id TEXT -- of what; with a semicolon\n) STRICT;\n"
    monkeypatch.setattr(database, "migrations", lambda name: [*shipped, ("ledger_9999_extra", mended)])
    assert len(Ledger(path).labels()) == 1
    assert Ledger(path).labels()[0].id == label().id
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"newer Dragoman.*ledger_9999_extra"):
        Ledger(path)


def test_every_column_of_the_ledger_is_explained() -> None:
    for _, text in database.migrations("ledger"):
        for statement in database.statements(text):
            if "CREATE TABLE" in statement:
                columns = [
                    line
                    for line in statement[statement.index("(") :].splitlines()[1:]
                    if line.strip() and not line.startswith(")")
                ]
                assert columns and all("-- " in line for line in columns)


def test_something_else_than_a_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(UserError, match="not a ledger or is damaged"):
        Ledger(path)


def test_arrow_tables_have_types_even_when_empty(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    assert [str(field.type) for field in ledger.arrow("score").schema][-6:] == [
        "double",
        "double",
        "double",
        "int64",
        "large_string",
        "large_string",
    ]
    ledger.add_scores([score()])
    assert ledger.arrow("score").to_pylist()[0]["value"] == 0.5
    with pytest.raises(ValueError, match="no table"):
        ledger.arrow("sqlite_master")


def test_labels_are_found_by_id_and_features_by_name_in_pages(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.record(labels=[label(feature) for feature in (5, 1, 3)])
    ledger.add_label(label(3, "later").model_copy(update={"name": "garden"}))
    assert ledger.label(label(3).id) == label(3) and ledger.label("no such id") is None
    assert ledger.names() == [(1, "park"), (3, "garden"), (5, "park")]
    assert ledger.names(most=2) == [(1, "park"), (3, "garden")] and ledger.names(after=3) == [(5, "park")]
    ledger.close()
