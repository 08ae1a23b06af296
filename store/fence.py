"""Untrusted text made fit for a prompt: it cannot close its fence, pose as a chat's control token or break out of its line.

Corpus text and labels may hold anything, also a `</text>` followed by orders. Only what would act as a delimiter is changed, by a
look-alike that a reader still recognises; everything else stays as it is, because a feature may fire on it.
"""

from __future__ import annotations

import re

_TAGS = "claim|texts?|marked|tokens|evidence"
_CONTROLS = "s|bos|eos|pad|unk|mask|start_of_turn|end_of_turn|start_of_image|think|tool_call|tool_response"
_DELIMITER = re.compile(rf"<(?=\s*/?\s*(?:{_TAGS}|{_CONTROLS})\s*>|[|｜]|<SYS>>|</SYS>>)|\[(?=/?INST\])", re.IGNORECASE)
_LOOKALIKE = {"<": "‹", "[": "⟦"}
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_ESCAPED = re.compile(r"\\(?:u([0-9a-f]{6})|(.))", re.DOTALL)
_EMPTY = "\\-"


def fenced(text: str) -> str:
    """The text without anything that acts as a delimiter in a prompt or in a chat template."""
    return _DELIMITER.sub(lambda match: _LOOKALIKE[match.group()], text)


def line(token: str) -> str:
    """A token as part of one line, reversibly: line breaks, tabs and what cannot be printed are escaped as in program text.

    A token that contributes no text is written as a backslash and a hyphen.
    """
    if not token:
        return _EMPTY
    return "".join(_ESCAPES.get(c) or (c if c.isprintable() else f"\\u{ord(c):06x}") for c in token)


def unline(text: str) -> str:
    """The token that `line` wrote."""
    plain = {"n": "\n", "t": "\t", "r": "\r", "-": "", "\\": "\\"}
    return _ESCAPED.sub(lambda m: chr(int(m[1], 16)) if m[1] else plain[m[2]], text)
