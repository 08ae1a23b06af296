"""A run again, from its recorded calls alone: no model, no server; is what comes out the same?

1. A scratch folder inside the store holds links to the sealed features and a ledger of its own, with the run's model calls.
2. Every feature that the run took up goes through the labeler once more, under the same run id, so that the ids of all rows
   agree. The gateway answers from the recorded calls; what failed fails, and what a budget stopped stops.
3. Labels, reasons, hypotheses, experiments, predictions with verdicts, steps and notes are compared. Of features that the run
   left unfinished (a budget, a signal, a kill), what it has must come again; the replay may get further.

What tools told of the ledger itself (labels of other features, SQL) is taken from the run: it depends on when they were asked.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from dragoman.evals.gateway.budget import Budget
from dragoman.evals.progress import Progress
from dragoman.evals.runs import features_of
from dragoman.store.database import open_ledger
from dragoman.store.errors import ToolError, UserError
from dragoman.store.features import Store
from dragoman.store.findings import Experiment
from dragoman.store.manifest import FEATURES, LEDGER, MANIFEST
from dragoman.store.trails import Trails
from dragoman.tools.toolbox import Tell, Toolbox, ToolResult

from .campaign import SEATS, Means, Wish
from .crew import DEEPEST, STEP, TRIES, reason_of
from .heartbeat import FOLDER
from .labeler import Labeler
from .opening import opening
from .runs import named
from .settings import Settings

RECORDED = "recorded"
"""The run of the scratch ledger that holds the recorded calls."""
FROM_LEDGER = ("search_labels", "query_store")
"""Tools whose results depend on what the ledger held when they were called."""
AT_ONCE = 8
"""Features in flight."""
COMPARED: Mapping[str, str] = {
    "label": "SELECT * FROM label WHERE run = ?",
    "reason": "SELECT * FROM failure WHERE run = ?",
    "hypothesis": "SELECT * FROM hypothesis WHERE run = ?",
    "experiment": "SELECT * FROM experiment WHERE run = ?",
    "prediction": "SELECT e.feature, p.* FROM prediction p JOIN experiment e ON e.id = p.experiment WHERE e.run = ?",
    "step": "SELECT id, run, feature, ordinal, node, content FROM step WHERE run = ?",
    "note": "SELECT * FROM note WHERE run = ?",
}
"""What is compared, row by row, without times."""


class Difference(NamedTuple):
    """A row that is not the same."""

    feature: int
    """Global id of the feature."""
    what: str
    """label, reason, hypothesis, experiment, prediction, step or note."""
    id: str
    """Id of the row."""
    then: Mapping[str, Any] | None
    """The run's row, its columns that differ; None where only the replay has it."""
    now: Mapping[str, Any] | None
    """The replay's; None where only the run has it."""


class Replayed(NamedTuple):
    """What a replay came to."""

    run: str
    """The run."""
    features: int
    """Features that it finished."""
    unfinished: Mapping[int, str]
    """Features that it left unfinished, with what ended the replay of them."""
    missing: Mapping[int, str]
    """Features that it finished, and the replay could not, with why."""
    rows: Mapping[str, int]
    """Rows compared, by what they are."""
    differences: Sequence[Difference]
    """Rows that are not the same."""


def replay(path: Path, run: str, progress: bool = True) -> Replayed:
    """Replay a labeling run.

    Raises UserError where there is no such run, it is going on, or it is not one of the labeler's.
    """
    with Store.open(path) as store:
        line = named(store, run)
    if line.status in ("running", "paused", "stopping"):
        raise UserError(f"Run {line.row.id} is going on: wait until it has ended, or stop it, then replay it.")
    config = json.loads(line.row.config)
    if line.row.kind != "label" or "each" not in config:
        raise UserError(
            f"Run {line.row.id} has no trail to replay: only runs of dragoman label with a language model, or with --rung "
            "experiments, have one."
        )
    with _scratch(path, line.row.id) as scratch:
        unfinished = asyncio.run(_replay(path, scratch, line.row.id, config, progress))
        return _compared(path, scratch, line.row.id, unfinished)


async def _replay(path: Path, scratch: Path, run: str, config: Mapping[str, Any], progress: bool) -> dict[int, str]:
    """Every feature that was taken up; those that the record does not finish, with why."""
    with closing(Trails(path / LEDGER)) as trails:
        events = trails.events(run)
        features = list(dict.fromkeys(event.feature for event in events if event.kind == "admitted"))
        known = {feature: trails.experiments(run, feature) for feature in features}
    said = next((event.content for event in events if event.kind == "started"), config)
    wish = Wish(
        **{name: _with_name(said.get(name), config.get(name)) for name in SEATS},
        features=tuple(features_of(config["features"])),
        settings=Settings(**config["settings"]),
        seed=config["seed"],
        each=Budget(*config["each"]),
    )
    unfinished: dict[int, str] = {}
    with Store.open(scratch) as store, Progress("replay", len(features), 0, progress) as bar:
        async with opening(store, wish, Means(), recorded=RECORDED) as opened, opened.office(run) as office:
            plain = office.toolbox
            office = replace(office, toolbox=lambda feature: _Remembering(plain(feature), known[feature]))
            graph = Labeler(office).graph().compile()
            waiting = iter(features)

            async def work() -> None:
                for feature in waiting:
                    for left in reversed(range(TRIES)):
                        try:
                            await graph.ainvoke({"feature": feature}, {"recursion_limit": DEEPEST})
                            break
                        except UserError as error:
                            unfinished[feature] = str(error)
                            break
                        except Exception as error:  # as the run met it, and wrote it down
                            if not left:
                                store.ledger.add_failure(run, feature, STEP, reason_of(error))
                        finally:
                            office.leave(feature)
                    bar.advance()

            await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return unfinished


def _with_name(spec: Any, recorded: Any) -> Any:
    """A model's spec with the name that its server gave it, which nobody can ask now; None where the seat is empty."""
    if spec is None:
        return None
    return f"{spec}#{recorded.partition(':')[2]}" if "://" in spec and "#" not in spec else spec


class _Remembering(Toolbox):
    """A toolbox that tells of the ledger what it told then."""

    def __init__(self, toolbox: Toolbox, known: Sequence[Experiment]) -> None:
        self.__dict__.update(toolbox.__dict__)
        self._known = [one for one in known if one.tool in FROM_LEDGER and one.settled]

    def call(self, name: str, arguments: Mapping[str, Any], tell: Tell | None = None) -> ToolResult:
        """See `Toolbox.call`."""
        if name in FROM_LEDGER:
            for one in self._known:
                if (one.tool, dict(one.arguments)) == (name, dict(arguments)):
                    if one.result is None:
                        raise ToolError(one.reason or "")
                    return ToolResult(one.result["text"], {}, forwarded=one.forwarded, read=one.read)
        return super().call(name, arguments, tell)


@contextmanager
def _scratch(path: Path, run: str) -> Iterator[Path]:
    """A store that shares the sealed features, with a ledger that holds nothing but the run's model calls."""
    folder = path / FOLDER / run
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="replay-") as name:
        scratch = Path(name)
        for file in (FEATURES, MANIFEST):
            (scratch / file).symlink_to((path / file).resolve())
        with closing(open_ledger(scratch / LEDGER)) as connection:
            connection.execute("ATTACH ? AS original", (str(path / LEDGER),))
            columns = [column for (column,) in connection.execute("SELECT name FROM pragma_table_info('model_call')").fetchall()]
            changed = {"id": "? || id", "run": "?"}
            said = ", ".join(changed.get(column, column) for column in columns)
            source = "original.model_call WHERE run = ? ORDER BY rowid"
            query = f"INSERT INTO model_call ({', '.join(columns)}) SELECT {said} FROM {source}"
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(query, (f"{RECORDED}-", RECORDED, run))
            connection.execute("COMMIT")
            connection.execute("DETACH original")
        yield scratch


def _compared(path: Path, scratch: Path, run: str, unfinished: Mapping[int, str]) -> Replayed:
    """The rows of both ledgers, side by side."""
    differences: list[Difference] = []
    counts: dict[str, int] = {}
    with closing(_read(path)) as then, closing(_read(scratch)) as now:
        finished = {feature for (feature,) in then.execute("SELECT feature FROM label WHERE run = ?", (run,))}
        finished |= {feature for (feature,) in then.execute("SELECT feature FROM failure WHERE run = ?", (run,))}
        for what, query in COMPARED.items():
            old, new = _rows(then, query, run), _rows(now, query, run)
            counts[what] = len(old)
            for id in (*old, *(id for id in new if id not in old)):
                before, after = old.get(id), new.get(id)
                feature = int((before or after or {})["feature"])
                if before == after or (feature not in finished and _goes_on(what, before, after)):
                    continue
                differences.append(Difference(feature, what, id, *_unlike(before, after)))
    left = {feature: reason for feature, reason in unfinished.items() if feature not in finished}
    missing = {feature: reason for feature, reason in unfinished.items() if feature in finished}
    return Replayed(run, len(finished), left, missing, counts, sorted(differences, key=lambda one: one.feature))


def _goes_on(what: str, then: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> bool:
    """Whether the replay of an unfinished feature only got further: new rows, results and verdicts that were still to come."""
    if then is None or now is None:
        return then is None
    later = {"experiment": ("result", "reason", "forwarded", "read"), "prediction": ("verdict", "because")}.get(what, ())
    open_then = what == "hypothesis" or all(then[name] in (None, 0) for name in later)
    later = ("status",) if what == "hypothesis" else later
    return open_then and all(then[name] == now[name] for name in then if name not in later)


def _unlike(then: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> tuple[Mapping[str, Any] | None, ...]:
    """The columns that differ; whole rows where there is but one."""
    if then is None or now is None:
        return then, now
    names = [name for name in then if then[name] != now[name]]
    return {name: then[name] for name in names}, {name: now[name] for name in names}


def _rows(connection: sqlite3.Connection, query: str, run: str) -> dict[str, dict[str, Any]]:
    cursor = connection.execute(query, (run,))
    names = [column[0] for column in cursor.description]
    found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return {str(row["id"]): row for row in found}


def _read(folder: Path) -> sqlite3.Connection:
    return open_ledger(folder / LEDGER)
