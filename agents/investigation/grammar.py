"""How direct commands are read: what follows the first word becomes a call of the toolbox, or an investigation.

`|` stands between pieces of a command and `->` before what something becomes or what comes next; `\\|` is the character itself.
A command that cannot be read raises one sentence with an example that works.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dragoman.store.display import visible
from dragoman.store.errors import ToolError

CONTROLS = 16
"""Random directions that an ablation stands beside."""
FEATURE = re.compile(r"(?:[\w.\-:]+/)?\d{1,12}")
"""The address of a feature."""
_TIMES = re.compile(r"[x×](-?\d+(?:\.\d+)?)")
_ARROW = re.compile(r"\s*(?:->|→)\s?")
_BAR = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Call:
    """A call of a tool."""

    tool: str
    """Its name."""
    arguments: Mapping[str, Any]
    """Its arguments."""


@dataclass(frozen=True)
class Explain:
    """What a feature fires on: its label, or a rule induced now, and how well the rule does."""

    feature: str
    """Address of the feature."""


@dataclass(frozen=True)
class Differ:
    """How two features differ."""

    one: str
    """Address of the first."""
    other: str
    """Address of the second."""


@dataclass(frozen=True)
class Investigate:
    """A guided investigation of a text."""

    text: str
    """The text."""
    token: str | None
    """The next token that is asked about; None for the model's own."""


@dataclass(frozen=True)
class Help:
    """What can be typed."""

    command: Command | None = None
    """About this one; None for all."""


Request = Call | Explain | Differ | Investigate | Help


@dataclass(frozen=True)
class Command:
    """Something that can be typed."""

    name: str
    """The first word."""
    form: str
    """What follows it."""
    said: str
    """What it does, in one line."""
    example: str
    """A line that works."""
    read: Callable[[str, Command], Request]
    """Reads what follows the first word."""

    def wrong(self, problem: str) -> ToolError:
        """A sentence that says what is wrong and shows how it is right."""
        return ToolError(f"{self.name}: {problem}, for example: {self.example}")


def _feature(rest: str, command: Command) -> tuple[str, str]:
    """The feature that comes first, and what follows it."""
    first, _, after = rest.partition(" ")
    if not FEATURE.fullmatch(first):
        shown = f" and not {visible(first[:40])!r}" if first else ""
        raise command.wrong(f"it needs a feature first (DICT/INDEX or INDEX){shown}")
    return first, after.strip(" ")


def _pieces(rest: str) -> list[str]:
    """What stands between the bars, without the blanks around it."""
    return [piece.strip(" ").replace("\\|", "|") for piece in _BAR.split(rest)]


def _texts(rest: str, command: Command) -> list[str]:
    texts = [piece for piece in _pieces(rest) if piece]
    if not texts:
        raise command.wrong("it needs a text")
    return texts


def alone(make: Callable[[str], Request]) -> Callable[[str, Command], Request]:
    """A command that takes a feature and nothing else."""

    def read(rest: str, command: Command) -> Request:
        feature, after = _feature(rest, command)
        if after:
            raise command.wrong(f"it takes one feature, and {visible(after[:40])!r} is too much")
        return make(feature)

    return read


def with_texts(tool: str, name: str) -> Callable[[str, Command], Request]:
    """A command that takes a feature and texts."""

    def read(rest: str, command: Command) -> Request:
        feature, after = _feature(rest, command)
        return Call(tool, {"feature": feature, name: _texts(after, command)})

    return read


def with_text(tool: str) -> Callable[[str, Command], Request]:
    """A command that takes a feature and one text."""

    def read(rest: str, command: Command) -> Request:
        feature, after = _feature(rest, command)
        if not after:
            raise command.wrong("it needs a text")
        return Call(tool, {"feature": feature, "text": after})

    return read


def whole(tool: str, name: str, what: str) -> Callable[[str, Command], Request]:
    """A command of which all that follows is one argument."""

    def read(rest: str, command: Command) -> Request:
        if not rest:
            raise command.wrong(f"it needs {what}")
        return Call(tool, {name: rest})

    return read


def edit(rest: str, command: Command) -> Request:
    feature, after = _feature(rest, command)
    text, *edits = _pieces(after)
    edits = [edit for edit in edits if edit]
    if not text or not edits:
        raise command.wrong("it needs a text and, after a bar, what to change")
    return Call(
        "edit_and_compare", {"feature": feature, "text": text, "edits": [_one_edit(edit, text, command) for edit in edits]}
    )


_VERBS: dict[str, dict[str, str]] = {
    "delete": {"kind": "delete"},
    "upper": {"kind": "case", "how": "upper"},
    "lower": {"kind": "case", "how": "lower"},
    "title": {"kind": "case", "how": "title"},
    "repeat": {"kind": "repeat"},
    "like": {"kind": "of_its_kind"},
    "cut": {"kind": "truncate"},
}
"""Edits that are a word and what it is about."""


def _one_edit(edit: str, text: str, command: Command) -> dict[str, Any]:
    """An edit in words as the tool takes it: OLD -> NEW, or a verb and OLD."""
    arrow = _ARROW.search(edit)
    if arrow:
        old, new = edit[: arrow.start()], _unquoted(edit[arrow.end() :])
        place = _place(old, text, command)
        if not new:
            return {"kind": "delete", **place}
        spaced = place.get("find", "").startswith(" ") and not old.startswith('"') and not edit[arrow.end() :].startswith('"')
        return {"kind": "substitute", **place, "text": (" " if spaced else "") + new}
    verb, _, old = edit.partition(" ")
    if verb.lower() not in _VERBS or not old:
        raise command.wrong(f"{visible(edit[:40])!r} is no edit: write OLD -> NEW, or {', '.join(_VERBS)} and what it is about")
    place = _place(old, text, command)
    return {**_VERBS[verb.lower()], **place}


def _place(old: str, text: str, command: Command) -> dict[str, Any]:
    """Where an edit is made: `#3` is token 3, a word is found with the space before it where it has one, quotes are exact."""
    if re.fullmatch(r"#\d{1,6}", old.strip()):
        return {"start": int(old.strip()[1:])}
    if old.startswith('"'):
        return {"find": _unquoted(old)}
    if not old.strip():
        raise command.wrong("an edit says what to change before the arrow")
    spaced = f" {old}"
    return {"find": spaced if spaced in text else old}


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def ablate(rest: str, command: Command) -> Request:
    feature, after = _feature(rest, command)
    if not after:
        return Call("ablate", {"feature": feature, "controls": CONTROLS})
    texts, token = _next(after)
    if not texts:
        raise command.wrong("there is no text before the arrow")
    watch = {} if token is None else {"watch": [token]}
    arguments = {"feature": feature, "texts": _texts(texts, command), "at": "last", "controls": CONTROLS, **watch}
    return Call("ablate", arguments)


def _next(rest: str) -> tuple[str, str | None]:
    """A text and the token that is asked about after the last arrow. Unquoted, it is a word with a space before it."""
    arrows = list(_ARROW.finditer(rest))
    if not arrows:
        return rest, None
    text, token = rest[: arrows[-1].start()], rest[arrows[-1].end() :].strip(" ")
    if not token:
        return text, None
    return text, _unquoted(token) if token.startswith('"') else f" {token}"


def predict(rest: str, command: Command) -> Request:
    text, token = _next(rest)
    if not text:
        raise command.wrong("there is no text before the arrow")
    return Call("explain_prediction", {"text": text} if token is None else {"text": text, "next": token})


def steer(rest: str, command: Command) -> Request:
    feature, strengths, after = _turned(rest, command)
    if len(strengths) > 1:
        raise command.wrong("it takes one strength")
    texts, token = _next(after)
    arguments: dict[str, Any] = {"feature": feature, "prompts": _texts(texts, command), "strength": [*strengths, 2.0][0]}
    return Call("steer", arguments if token is None else {**arguments, "watch": [token]})


def generate(rest: str, command: Command) -> Request:
    feature, strengths, after = _turned(rest, command)
    return Call("generate_steered", {"feature": feature, "prompts": _texts(after, command), "strengths": strengths or [2.0, 4.0]})


def _turned(rest: str, command: Command) -> tuple[str, list[float], str]:
    """A feature, strengths written as x2, and what follows."""
    feature, after = _feature(rest, command)
    strengths: list[float] = []
    while match := _TIMES.match(after):
        if after[match.end() : match.end() + 1] not in ("", " "):
            break
        strengths.append(float(match[1]))
        after = after[match.end() :].lstrip(" ")
    return feature, strengths, after


def examples(rest: str, command: Command) -> Request:
    feature, after = _feature(rest, command)
    return Call("top_examples", {"feature": feature, **({"stratum": after.replace(" ", "_")} if after else {})})


def pattern(rest: str, command: Command) -> Request:
    feature, after = _feature(rest, command)
    if not after:
        raise command.wrong("it needs a rule after the feature")
    return Call("match_pattern", {"feature": feature, "pattern": after})


def contrast(rest: str, command: Command) -> Request:
    sides = re.split(r" vs ", rest)
    if len(sides) != 2:
        raise command.wrong("it needs two texts with vs between them")
    a, b = (_texts(side, command) for side in sides)
    return Call("contrast", {"a": a, "b": b})


def differ(rest: str, command: Command) -> Request:
    words = rest.split()
    if len(words) != 2 or not all(FEATURE.fullmatch(word) for word in words):
        raise command.wrong("it needs two features")
    return Differ(words[0], words[1])


def investigate(rest: str, command: Command) -> Request:
    text, token = _next(rest)
    if not text:
        raise command.wrong("it needs a text")
    return Investigate(text, token)
