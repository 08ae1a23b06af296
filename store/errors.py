"""Errors that are not bugs."""

from __future__ import annotations


class UserError(Exception):
    """Bad input or a missing prerequisite: one clear sentence that says what to do.
    The command line prints it and exits with code 2.
    """


class Stopped(KeyboardInterrupt):
    """Work was stopped by a signal, in good order: what is done is kept. The command line exits as the signal wants it."""

    def __init__(self, signal: int) -> None:
        """signal: its number."""
        super().__init__()
        self.code = 128 + signal


class ToolError(Exception):
    """A wrong call by a model or an agent: the sentence goes back to the caller, who can try again."""
