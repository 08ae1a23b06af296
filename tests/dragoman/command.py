"""Runs the command line as a user does."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

ROOT = Path(__file__).parents[2]


def dragoman(*arguments: str | Path, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `dragoman ARGUMENTS` in a process of its own and wait for it."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("DRAGOMAN_")}
    return subprocess.run(
        [sys.executable, "-m", "dragoman", *map(str, arguments)],
        cwd=cwd or ROOT,
        env={**known, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


def refused(*arguments: str | Path, cwd: Path | None = None, **environment: str) -> str:
    """Run a command that must be refused with one sentence on stderr and exit code 2; returns the sentence."""
    return _sentence(dragoman(*arguments, cwd=cwd, **environment))


def here(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, which has imported torch already; everything else is the same."""
    from dragoman.cli import main

    before, sys.argv = sys.argv, ["dragoman", *map(str, arguments)]
    out, errors, code = io.StringIO(), io.StringIO(), 0
    try:
        with redirect_stdout(out), redirect_stderr(errors):
            main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv = before
    return subprocess.CompletedProcess([*map(str, arguments)], code, out.getvalue(), errors.getvalue())


def refused_here(*arguments: str | Path) -> str:
    """As `refused`, in this process."""
    return _sentence(here(*arguments))


def _sentence(done: subprocess.CompletedProcess[str]) -> str:
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2, done
    assert len(lines) == 1 and "Traceback" not in done.stderr and not done.stdout, done
    return lines[0]
