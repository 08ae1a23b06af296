"""What people say of labels: a verdict, and a label of their own in its place.

Both are kept apart from what models say. A verdict is a row of its own table. A correction is a label like any other, by the
agent `human`, in a run that holds one person's labels and nothing else, so that it can be scored like any other.
"""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from typing import Literal, get_args

from .errors import UserError
from .hashing import row_id
from .ledger import clean, label_id
from .opened import OpenedLedger
from .ranges import spec
from .records import HUMAN, Record, Run

Opinion = Literal["right", "partly", "wrong", "unsure"]
"""What a person thinks of a label."""
OPINIONS: tuple[Opinion, ...] = get_args(Opinion)
LONGEST = 4_000
"""Characters of a comment or a description."""
NAME = 80
"""Characters of the name of a person or of a label."""


class Verdict(Record):
    """What somebody thought of a label."""

    id: str
    """Hash of everything else."""
    feature: int
    """Global id of the feature."""
    label: str | None
    """The label that is meant; None where the feature had none."""
    verdict: Opinion | None
    """What they think; None where they only wrote a label of their own."""
    comment: str
    """Why."""
    correction: str | None
    """Id of the label that they wrote instead."""
    person: str
    """The name they gave; may be empty."""
    given: str
    """UTC time."""


class Correction(Record):
    """A label in a person's words."""

    description: str
    """What the feature fires on."""
    name: str = ""
    """At most eight words; by default the first of the description."""
    pattern: str | None = None
    """The same as an executable pattern, checked by the caller."""
    output_claim: str | None = None
    """What the feature makes the model say."""


class Verdicts(OpenedLedger):
    """Reads and writes them over a connection of its own; safe to use from several threads."""

    def give(
        self,
        feature: int,
        label: str | None,
        verdict: str | None,
        *,
        comment: str = "",
        correction: Correction | None = None,
        person: str = "",
    ) -> Verdict:
        """Write a verdict and the label that goes with it, in one transaction.

        Raises UserError where there is neither, for an unknown verdict, and for texts that are too long.
        """
        comment, person = clean(comment).strip(), " ".join(clean(person).split())
        if verdict is not None and verdict not in OPINIONS:
            raise UserError(f"A verdict is {', '.join(OPINIONS[:-1])} or {OPINIONS[-1]}: choose one of them.")
        if verdict is None and correction is None:
            raise UserError("Choose a verdict, or write a label of your own.")
        if verdict is not None and label is None:
            raise UserError("This feature has no label to judge: write one of your own instead.")
        if len(comment) > LONGEST or len(person) > NAME:
            raise UserError(f"A comment has at most {LONGEST:,} characters and a name {NAME}: make it shorter.")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._transaction("writing a verdict") as connection:
            made = None if correction is None else self._correct(connection, feature, label, correction, person, now)
            row = {
                "feature": feature,
                "label": label,
                "verdict": verdict,
                "comment": comment,
                "correction": made,
                "person": person,
                "given": now,
            }
            row = {"id": row_id("verdict", *row.values()), **row}
            marks = ", ".join("?" * len(row))
            connection.execute(
                f"INSERT OR IGNORE INTO verdict ({', '.join(row)}) VALUES ({marks})",
                tuple(row.values()),  # type: ignore[arg-type]
            )
        return Verdict.model_validate(row)

    def of(self, feature: int) -> list[Verdict]:
        """Those of a feature, the newest first."""
        return self._read("SELECT * FROM verdict WHERE feature = ? ORDER BY rowid DESC", feature)

    def since(self, after: int) -> tuple[list[tuple[str, Opinion]], int]:
        """Label and verdict of the rows written after row `after`, in their order; and the last row there is."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT rowid, label, verdict FROM verdict WHERE rowid > ? AND verdict IS NOT NULL ORDER BY rowid", (after,)
            ).fetchall()
        return [(label, verdict) for _, label, verdict in rows], max([after, *(row[0] for row in rows)])

    def _correct(
        self, connection: sqlite3.Connection, feature: int, about: str | None, said: Correction, person: str, now: str
    ) -> str:
        """Write a person's label into their run; the id of the label."""
        description = clean(said.description).strip()
        name = " ".join(clean(said.name).split()) or _beginning(description)
        if not description:
            raise UserError("Say in a sentence what the feature fires on.")
        if len(description) > LONGEST or len(name) > NAME or len(name.split()) > 8:
            raise UserError(f"A label's name has at most 8 words and {NAME} characters, its description {LONGEST:,}: shorten it.")
        run = run_of(person)
        content = [description, name, said.pattern, said.output_claim]
        notes = {"human": {"person": person, "given": now, "about": about}}
        row = {
            "id": label_id(run, feature, *content),
            "feature": feature,
            "run": run,
            "name": name,
            "description": description,
            "facets": "[]",
            "pattern": said.pattern,
            "output_claim": None if said.output_claim is None else clean(said.output_claim),
            "agent": HUMAN,
            "model": None,
            "evidence": "[]",
            "notes": json.dumps(notes, ensure_ascii=True, sort_keys=True),
        }
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT OR IGNORE INTO label ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
        features = [f for (f,) in connection.execute("SELECT DISTINCT feature FROM label WHERE run = ?", (run,))]
        config = json.dumps(
            {"explainer": HUMAN, "person": person, "features": spec(features)}, sort_keys=True, separators=(",", ":")
        )
        connection.execute("INSERT OR IGNORE INTO run VALUES (?, 'label', ?, 'done', ?, ?)", (run, config, now, now))
        connection.execute("UPDATE run SET config = ?, finished = ? WHERE id = ?", (config, now, run))
        return str(row["id"])

    def _read(self, query: str, *parameters: int | str) -> list[Verdict]:
        return [Verdict.model_validate(row) for row in self._records(query, *parameters)]


def run_of(person: str) -> str:
    """Id of the run that holds the labels of a person."""
    return row_id("run", {"explainer": HUMAN, "person": person})[:16]


def made_by_people(run: Run) -> bool:
    """Whether a run holds what a person wrote."""
    return run.kind == "label" and json.loads(run.config).get("explainer") == HUMAN


def _beginning(text: str) -> str:
    name = " ".join(text.split(maxsplit=8)[:8])
    return name if len(name) <= NAME else name[: NAME - 1] + "…"
