"""The ledger's tables of chats: threads, what was said in them, tool calls with their results, findings.

Rows are inserted or ignored by ids that hash their place, so that a step that is repeated after a kill changes nothing. A thread
that is deleted is gone with all its rows, except the tool calls that a finding cites.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from .hashing import row_id
from .ledger import clean
from .opened import OpenedLedger

EntryKind = Literal["asked", "said", "step", "told", "question", "reply", "answer", "stopped"]
"""asked: by the user; said: by the model, with the tools it asks for; step: a tool call was made; told: the model was told
something in the place of a tool's result; question: the user was asked; reply: what the user said to that; answer: checked;
stopped: why it went no further."""


@dataclass(frozen=True)
class Entry:
    """Something that happened in a thread."""

    id: str
    """Hash of thread and place."""
    turn: int
    """Which question of the user it belongs to, from 1."""
    kind: EntryKind
    """What happened."""
    content: Mapping[str, Any]
    """JSON values."""


@dataclass(frozen=True)
class ChatStep:
    """A tool call of a chat with its result."""

    id: str
    """Hash of thread and number."""
    thread: str
    """Id of the thread."""
    number: int
    """Which tool call of the thread, from 1."""
    tool: str
    """Its name."""
    arguments: Any
    """As the model gave them: an object, or text that is none."""
    result: str
    """What the model was shown."""
    data: Mapping[str, Any] | None
    """The same as JSON values; None where it failed."""
    failed: bool
    """Whether it was called wrongly, or not run."""
    forwarded: int = 0
    """Tokens run through the subject."""
    read: int = 0
    """Stored examples shown."""

    @property
    def name(self) -> str:
        """How it is cited in its thread."""
        return f"E{self.number}"


@dataclass(frozen=True)
class Finding:
    """What an investigation found."""

    id: str
    """Hash of thread, features and content."""
    thread: str
    """Id of the thread it was made in, which may be deleted since."""
    features: tuple[int, ...]
    """Global ids of the features it is about."""
    text: str
    """What was found."""
    citations: tuple[str, ...]
    """Ids of the tool calls it rests on."""
    conjecture: bool
    """Whether what it cites does not bear it out, as far as code can tell."""
    because: str
    """Why not."""
    model: str
    """Who found it."""


@dataclass(frozen=True)
class ThreadRow:
    """A thread, for a list."""

    id: str
    """Random."""
    name: str
    """What people call it."""
    first: str
    """What was asked first."""
    turns: int
    """How often the user asked."""
    last: str
    """Kind of its last entry; empty where there is none."""
    updated: str
    """UTC time of its last entry."""


class Chats(OpenedLedger):
    """Reads and writes the chats of a ledger over a connection of its own; safe to use from several threads."""

    # Writing

    def begin(self, name: str) -> str:
        """Id of the thread of this name, which is made where there is none."""
        with self._transaction("writing a thread") as connection:
            _insert(connection, "chat_thread", {"id": uuid4().hex, "name": clean(name), "started": _now()})
        found = self.find(name)
        assert found is not None
        return found

    def add(self, thread: str, turn: int, kind: EntryKind, place: str, content: Mapping[str, Any]) -> None:
        """Append an entry; one of the same turn, kind and place is written once."""
        with self._transaction("writing a chat") as connection:
            self._add(connection, thread, turn, kind, place, content)

    def add_step(self, step: ChatStep, turn: int) -> None:
        """Append a tool call with its result, and an entry that says so, in one transaction."""
        row = {
            "id": step.id,
            "thread": step.thread,
            "number": step.number,
            "tool": clean(step.tool),
            "arguments": _json(step.arguments),
            "result": clean(step.result),
            "data": None if step.data is None else _json(step.data),
            "failed": int(step.failed),
            "forwarded": step.forwarded,
            "read": step.read,
            "written": _now(),
        }
        with self._transaction("writing a chat") as connection:
            _insert(connection, "chat_step", row)
            self._add(connection, step.thread, turn, "step", str(step.number), {"number": step.number})

    def keep(self, thread: str, features: Sequence[int], text: str, citations: Sequence[str], because: str, model: str) -> str:
        """Append a finding, and return its id. because: why what it cites does not bear it out; empty where it does."""
        id = row_id("finding", thread, list(features), clean(text), list(citations))
        row = {
            "id": id,
            "thread": thread,
            "features": _json(list(features)),
            "text": clean(text),
            "citations": _json(list(citations)),
            "conjecture": int(bool(because)),
            "because": clean(because),
            "model": model,
            "written": _now(),
        }
        with self._transaction("writing a finding") as connection:
            _insert(connection, "finding", row)
        return id

    def delete(self, thread: str) -> None:
        """Remove a thread with all that belongs to it, its model calls and notes too; tool calls that a finding cites stay."""
        with self._transaction("deleting a thread") as connection:
            cited = "SELECT value FROM finding, json_each(finding.citations) WHERE finding.thread = ?"
            connection.execute(f"DELETE FROM chat_step WHERE thread = ? AND id NOT IN ({cited})", (thread, thread))
            for table, column in (("chat_entry", "thread"), ("model_call", "run"), ("note", "run"), ("chat_thread", "id")):
                connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (thread,))

    # Reading

    def find(self, name: str) -> str | None:
        """Id of the thread of this name."""
        rows = self._records("SELECT id FROM chat_thread WHERE name = ?", clean(name))
        return rows[0]["id"] if rows else None

    def threads(self) -> list[ThreadRow]:
        """All threads, the last changed first."""
        rows = self._records(
            "SELECT t.id, t.name, t.started, "
            "(SELECT content FROM chat_entry WHERE thread = t.id AND kind = 'asked' ORDER BY rowid LIMIT 1) AS first, "
            "(SELECT count(*) FROM chat_entry WHERE thread = t.id AND kind = 'asked') AS turns, "
            "(SELECT kind FROM chat_entry WHERE thread = t.id ORDER BY rowid DESC LIMIT 1) AS last, "
            "(SELECT written FROM chat_entry WHERE thread = t.id ORDER BY rowid DESC LIMIT 1) AS updated, "
            "(SELECT max(rowid) FROM chat_entry WHERE thread = t.id) AS place "
            "FROM chat_thread t ORDER BY place DESC, t.rowid DESC"
        )
        return [
            ThreadRow(
                id=row["id"],
                name=row["name"],
                first=json.loads(row["first"])["text"] if row["first"] else "",
                turns=row["turns"],
                last=row["last"] or "",
                updated=row["updated"] or row["started"],
            )
            for row in rows
        ]

    def entries(self, thread: str) -> list[Entry]:
        """What happened in a thread, in its order."""
        rows = self._records("SELECT id, turn, kind, content FROM chat_entry WHERE thread = ? ORDER BY rowid", thread)
        return [Entry(row["id"], row["turn"], row["kind"], json.loads(row["content"])) for row in rows]

    def steps(self, thread: str) -> list[ChatStep]:
        """Its tool calls."""
        return [_step(row) for row in self._records("SELECT * FROM chat_step WHERE thread = ? ORDER BY number", thread)]

    def step(self, id: str) -> ChatStep | None:
        """A tool call by its id."""
        return next((_step(row) for row in self._records("SELECT * FROM chat_step WHERE id = ?", id)), None)

    def reply(self, thread: str, number: int) -> str | None:
        """What the user said when asked about a tool call; None where that did not happen."""
        replies = (entry.content for entry in self.entries(thread) if entry.kind == "reply")
        return next((content["text"] for content in replies if content["number"] == number), None)

    def findings(self, feature: int | None = None) -> list[Finding]:
        """Findings, about one feature if asked, in the order they were made."""
        rows = self._records("SELECT * FROM finding ORDER BY rowid")
        found = [_finding(row) for row in rows]
        return [one for one in found if feature is None or feature in one.features]

    def _add(
        self, connection: sqlite3.Connection, thread: str, turn: int, kind: EntryKind, place: str, content: Mapping[str, Any]
    ) -> None:
        id = row_id("chat entry", thread, turn, kind, place)
        row = {"id": id, "thread": thread, "turn": turn, "kind": kind, "content": _json(content), "written": _now()}
        _insert(connection, "chat_entry", row)


def step_id(thread: str, number: int) -> str:
    """Id of a thread's tool call of this number."""
    return row_id("chat step", thread, number)


def _step(row: Mapping[str, Any]) -> ChatStep:
    return ChatStep(
        id=row["id"],
        thread=row["thread"],
        number=row["number"],
        tool=row["tool"],
        arguments=json.loads(row["arguments"]),
        result=row["result"],
        data=None if row["data"] is None else json.loads(row["data"]),
        failed=bool(row["failed"]),
        forwarded=row["forwarded"],
        read=row["read"],
    )


def _finding(row: Mapping[str, Any]) -> Finding:
    return Finding(
        id=row["id"],
        thread=row["thread"],
        features=tuple(json.loads(row["features"])),
        text=row["text"],
        citations=tuple(json.loads(row["citations"])),
        conjecture=bool(row["conjecture"]),
        because=row["because"],
        model=row["model"],
    )


def _insert(connection: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> None:
    """Append a row that is not there yet."""
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
