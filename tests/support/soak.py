"""The page on kills and resumes: docs/soak.md, a section a command, written by `make soak`."""

from __future__ import annotations

import os
import platform
from pathlib import Path

FULL = os.environ.get("DRAGOMAN_SOAK") == "full"
PAGE = Path(__file__).parents[2] / "docs" / "soak.md"
_OPENING = """# Killed and run again

`make soak` kills commands with `kill -9` at random moments, one in each tenth of an undisturbed run, and then runs the same
command to its end. "Equal" means: every row of every table of the final store is that of an undisturbed store (times left out).
"""


def record(section: str, text: str) -> None:
    """Put a section into the page, in the place of what it said before."""
    parts = PAGE.read_text().split("\n## ")[1:] if PAGE.exists() else []
    sections = dict(part.split("\n", 1) for part in parts)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end."
    sections[section] = f"\n{text}\n\nMeasured on {machine}\n"
    PAGE.write_text(_OPENING + "".join(f"\n## {name}\n{sections[name]}" for name in sorted(sections)))


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """A table in Markdown."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])
