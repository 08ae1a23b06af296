"""Where LangGraph keeps what a feature's thread has come to: `threads.sqlite` in the store."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.checkpoint.sqlite import SqliteSaver

THREADS = "threads.sqlite"


class Checkpoints(SqliteSaver):
    """LangGraph's checkpoints in SQLite, for one event loop.

    The asynchronous saver of langgraph hands every statement to another thread and back, some fifty times a feature; a statement
    itself takes microseconds, so that here the event loop executes it.
    """

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:
        """A cursor; what is written is committed in one transaction, or not at all."""
        self.setup()
        with closing(self.conn.cursor()) as cursor, self.conn:
            yield cursor

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """See `get_tuple`."""
        return self.get_tuple(config)

    async def aput(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, new_versions: ChannelVersions
    ) -> RunnableConfig:
        """See `put`."""
        return self.put(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """See `put_writes`."""
        self.put_writes(config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """See `delete_thread`."""
        self.delete_thread(thread_id)

    def left_open(self, run: str) -> set[int]:
        """Features of a run that have a thread: their work was interrupted."""
        query = "SELECT DISTINCT thread_id FROM checkpoints WHERE thread_id > ? AND thread_id < ?"
        with self.cursor() as cursor:
            return {int(name.rpartition(":")[2]) for (name,) in cursor.execute(query, (f"{run}:", f"{run};")).fetchall()}

    def undo(self, thread: str, tasks: Sequence[str]) -> None:
        """Remove what unfinished tasks of a thread wrote, so that they are done again from their beginning.

        A task that is cancelled leaves some of its writes, and langgraph then takes it for done.
        """
        with self.cursor() as cursor:
            cursor.executemany("DELETE FROM writes WHERE thread_id = ? AND task_id = ?", [(thread, task) for task in tasks])

    def forget(self, thread: str) -> None:
        """Remove all checkpoints of a thread but the newest."""
        newest = "(SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = '')"
        with self.cursor() as cursor:
            for table in ("checkpoints", "writes"):
                cursor.execute(f"DELETE FROM {table} WHERE thread_id = ? AND checkpoint_id < {newest}", (thread, thread))


@asynccontextmanager
async def threads(folder: Path) -> AsyncIterator[Checkpoints]:
    """The checkpoints of a store.

    The file is in WAL mode with synchronous=NORMAL, as the ledger is: a killed process loses nothing, a machine that loses its
    power at most the last steps, which are then done again.
    """
    with closing(sqlite3.connect(folder / THREADS, timeout=60.0, check_same_thread=False)) as connection:
        saver = Checkpoints(connection)
        saver.setup()
        connection.execute("PRAGMA synchronous = NORMAL")
        yield saver
