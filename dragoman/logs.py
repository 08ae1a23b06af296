"""Logs go to stderr and, as JSON lines, to STORE/logs; stdout is for results."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

FOLDER = "logs"
"""Folder inside the store."""


class Lines(logging.Formatter):
    """A record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Time in UTC, level, logger, message, and the traceback if there is one."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry)


class Brief(logging.Formatter):
    """The first line of a message, for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Level and first line."""
        return f"{record.levelname.lower()}: {record.getMessage().splitlines()[0] if record.getMessage() else ''}"


@contextmanager
def logging_to(store: Path, command: str, also: Sequence[str] = ()) -> Iterator[None]:
    """Log to stderr (warnings) and to STORE/logs/COMMAND.jsonl (everything of ours) while the block runs.

    The file is made with the first record, so that a mistyped path leaves nothing behind.

    also: loggers of libraries whose warnings go there as well.
    """
    loggers = {logging.getLogger("dragoman"): logging.INFO, **{logging.getLogger(name): logging.WARNING for name in also}}
    people = logging.StreamHandler(sys.stderr)
    people.setLevel(logging.WARNING)
    people.setFormatter(Brief())
    lines = _Late(store / FOLDER / f"{command}.jsonl")
    lines.setFormatter(Lines())
    before = {logger: (logger.level, logger.propagate) for logger in loggers}
    for logger, level in loggers.items():
        logger.setLevel(level)
        logger.propagate = False
        logger.addHandler(people)
        logger.addHandler(lines)
    try:
        yield
    finally:
        for logger, (level, propagate) in before.items():
            logger.removeHandler(people)
            logger.removeHandler(lines)
            logger.setLevel(level)
            logger.propagate = propagate
        lines.close()


class _Late(logging.Handler):
    """Appends to a file that it makes, with its folder, when the store exists and there is something to say."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self.path.parent.parent.is_dir():
                self.path.parent.mkdir(exist_ok=True)
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(self.format(record) + "\n")
        except OSError:
            pass  # a full disk must not hide the message of the error that it causes
