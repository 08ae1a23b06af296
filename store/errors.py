"""The two kinds of error that are not bugs."""

from __future__ import annotations


class UserError(Exception):
    """Bad input or a missing prerequisite: one clear sentence that says what to do.
    The command line prints it and exits with code 2.
    """


class ToolError(Exception):
    """A wrong call by a model or an agent: the sentence goes back to the caller, who can try again."""
