"""What a user sees when something goes wrong: one sentence on stderr and an exit code, never a traceback.

2: bad input (UserError) or a full disk. 130: Ctrl-C (143: SIGTERM). 1: a mistake of ours, with the traceback in a log file.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup


class Commands(TyperGroup):
    """The group of all commands; it turns exceptions into sentences and exit codes."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        from dragoman.store.disk import is_full_disk
        from dragoman.store.errors import Stopped, ToolError, UserError

        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stopped:
            say("Stopped. What is done is kept: run the same command to go on.")
            sys.exit(stopped.code if isinstance(stopped, Stopped) else 130)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of our output has left; nothing to say
            sys.exit(0)
        except (UserError, ToolError) as error:
            say(str(error))
            sys.exit(2)
        except Exception as error:
            if isinstance(error, typer.Abort) or hasattr(error, "exit_code"):
                raise  # wrong flags and the like: typer explains them
            if is_full_disk(error):
                say(f"The disk is full ({error}): make room and run the same command to go on.")
                sys.exit(2)
            say(f"Something went wrong that should not have: {_line(error)}. The traceback is in {_keep()}; please report it.")
            sys.exit(1)


def say(text: str) -> None:
    """One line to stderr."""
    print(" ".join(text.split()), file=sys.stderr)


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def _keep() -> Path:
    """Write the traceback of the current exception to a file."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="dragoman-", suffix=".log", delete=False, encoding="utf-8", errors="replace"
    ) as file:
        file.write(" ".join(sys.argv) + "\n" + traceback.format_exc())
    return Path(file.name)
