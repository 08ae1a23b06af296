"""The kinds of edits: what each does to the tokens of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, get_args

from dragoman.store.errors import UserError

from .gauge import Gauge
from .kinds import LONGEST
from .prompt import Prompt

CaseKind = Literal["upper", "lower", "title", "swap"]
SpaceKind = Literal["add", "remove", "double", "newline"]
MOST_INSERTED = 256
"""Tokens that one edit may add."""


class Piece(NamedTuple):
    """Old tokens start … stop - 1 give way to new ones."""

    start: int
    """First old token."""
    stop: int
    """One after the last; equal to `start` for an insertion."""
    ids: tuple[int, ...]
    """The new tokens."""
    origin: tuple[int | None, ...]
    """Which old token each of them is."""


class Edit(Protocol):
    """One change of a text."""

    def pieces(self, prompt: Prompt, gauge: Gauge) -> list[Piece]:
        """What it does to the tokens. Raises `UserError` where that is impossible."""
        ...

    def __str__(self) -> str:
        """In a few words."""
        ...


@dataclass(frozen=True)
class Substitute:
    """Another text in the place of some tokens."""

    start: int
    """First token."""
    text: str
    """What stands there afterwards; mind a leading space."""
    stop: int | None = None
    """One after the last token; by default only `start`."""

    def pieces(self, prompt: Prompt, gauge: Gauge) -> list[Piece]:
        """What it does to the tokens."""
        stop = self.start + 1 if self.stop is None else self.stop
        _check_span(prompt, self.start, stop)
        return [_replaced(self.start, stop, gauge.speaker.tokenize_inside(self.text))]

    def __str__(self) -> str:
        return f"substitute {_span(self.start, self.stop)} by {self.text!r}"


@dataclass(frozen=True)
class Insert:
    """A text before a token."""

    at: int
    """The token before which it stands; the number of tokens for the end."""
    text: str
    """What is inserted."""

    def pieces(self, prompt: Prompt, gauge: Gauge) -> list[Piece]:
        """What it does to the tokens."""
        _check_place(prompt, self.at)
        return [_inserted(self.at, gauge.speaker.tokenize_inside(self.text))]

    def __str__(self) -> str:
        return f"insert {self.text!r} before {self.at}"


@dataclass(frozen=True)
class Delete:
    """Some tokens taken out."""

    start: int
    """First token."""
    stop: int | None = None
    """One after the last token; by default only `start`."""

    def pieces(self, prompt: Prompt, gauge: Gauge) -> list[Piece]:
        """What it does to the tokens."""
        stop = self.start + 1 if self.stop is None else self.stop
        _check_span(prompt, self.start, stop)
        return [Piece(self.start, stop, (), ())]

    def __str__(self) -> str:
        return f"delete {_span(self.start, self.stop)}"


@dataclass(frozen=True)
class Swap:
    """Two tokens change places."""

    first: int
    """One of them."""
    second: int
    """The other."""

    def pieces(self, prompt: Prompt, gauge: Gauge) -> list[Piece]:
        """What it does to the tokens."""
        a, b = sorted((self.first, self.second))
        for place in (a, b):
            _check_span(prompt, place, place + 1)
        if a == b:
            raise UserError(f"Token {a} cannot change places with itself: name two tokens.")
        return [Piece(a, a + 1, (prompt.ids[b],), (b,)), Piece(b, b + 1, (prompt.ids[a],), (a,))]

    def __str__(self) -> str:
        return f"swap {self.first} and {self.second}"


@dataclass(frozen=True)
class Repeat:
    """Some tokens several times over; the first time is the original."""

    start: int
    """First token."""
    stop: int | None = None
    """One after the last token; by default only `start`."""
    times: int = 2
    """How often they stand there afterwards."""

    def pieces(self, prompt: Prompt, gauge: Gauge) -> list[Piece]:
        """What it does to the tokens."""
        stop = self.start + 1 if self.stop is None else self.stop
        _check_span(prompt, self.start, stop)
        if not 2 <= self.times <= 100:
            raise UserError(f"Tokens can be repeated 2 to 100 times, not {self.times}.")
        return [_inserted(stop, prompt.ids[self.start : stop] * (self.times - 1))]

    def __str__(self) -> str:
        return f"repeat {_span(self.start, self.stop)} {self.times} times"


@dataclass(frozen=True)
class Case:
    """Some tokens in another case."""

    start: int
    """First token."""
    kind: CaseKind
    """`upper`, `lower`, `title` (first letter of each word) or `swap`."""
    stop: int | None = None
    """One after the last token; by default only `start`."""

    def pieces(self, prompt: Prompt, gauge: Gauge) -> list[Piece]:
        """What it does to the tokens; none where the text has no letters to change."""
        stop = self.start + 1 if self.stop is None else self.stop
        _check_span(prompt, self.start, stop)
        if self.kind not in get_args(CaseKind):
            raise UserError(f"There is no case {self.kind!r}: write {', '.join(get_args(CaseKind))}.")
        old = "".join(prompt.strings[self.start : stop])
        new = str(getattr(old, {"swap": "swapcase"}.get(self.kind, self.kind))())
        return [] if new == old else [_replaced(self.start, stop, gauge.speaker.tokenize_inside(new))]

    def __str__(self) -> str:
        return f"{self.kind} case of {_span(self.start, self.stop)}"


@dataclass(frozen=True)
class Space:
    """Other white space before a token."""

    at: int
    """The token."""
    kind: SpaceKind
    """`add` or `remove` a leading space, `double` it, or put a `newline` in its place."""

    def pieces(self, prompt: Prompt, gauge: Gauge) -> list[Piece]:
        """What it does to the tokens; none where the space is so already."""
        _check_span(prompt, self.at, self.at + 1)
        if self.kind not in get_args(SpaceKind):
            raise UserError(f"There is no white space {self.kind!r}: write {', '.join(get_args(SpaceKind))}.")
        old = prompt.strings[self.at]
        bare = old.lstrip()
        lead = {"add": " ", "remove": "", "double": "  ", "newline": "\n"}[self.kind]
        new = lead + bare
        return [] if new == old or not bare else [_replaced(self.at, self.at + 1, gauge.speaker.tokenize_inside(new))]

    def __str__(self) -> str:
        return f"{self.kind} space before {self.at}"


@dataclass(frozen=True)
class Truncate:
    """The prefix cut off."""

    start: int
    """The token with which the text begins afterwards."""

    def pieces(self, prompt: Prompt, gauge: Gauge) -> list[Piece]:
        """What it does to the tokens."""
        _check_span(prompt, 0, self.start)
        if self.start >= len(prompt):
            raise UserError(f"Nothing would be left: cut the prefix before one of the tokens 1 to {len(prompt) - 1}.")
        return [Piece(0, self.start, (), ())]

    def __str__(self) -> str:
        return f"cut off everything before {self.start}"


@dataclass(frozen=True)
class Shift:
    """Every token further right: filler in front of the text."""

    by: int
    """How many tokens of filler."""
    filler: str | None = None
    """The filler, a single token; by default the commonest train token on which the feature is never active."""

    def pieces(self, prompt: Prompt, gauge: Gauge) -> list[Piece]:
        """What it does to the tokens."""
        if not 1 <= self.by <= MOST_INSERTED:
            raise UserError(f"A text can be shifted by 1 to {MOST_INSERTED} tokens, not by {self.by}.")
        filler = gauge.neutral if self.filler is None else gauge.token(self.filler)
        return [_inserted(0, [filler] * self.by)]

    def __str__(self) -> str:
        return f"shift by {self.by}"


@dataclass(frozen=True)
class OfItsKind:
    """A span replaced by another of its kind: of the same form and used alike on train (see kinds.py)."""

    start: int
    """First token."""
    stop: int | None = None
    """One after the last token; by default only `start`."""
    choice: int = 0
    """Which of those that are possible, the most alike being 0."""

    def pieces(self, prompt: Prompt, gauge: Gauge) -> list[Piece]:
        """What it does to the tokens."""
        stop = self.start + 1 if self.stop is None else self.stop
        _check_span(prompt, self.start, stop)
        if stop - self.start > LONGEST:
            raise UserError(f"A span of at most {LONGEST} tokens can be replaced by another of its kind: name a shorter one.")
        if gauge.kinds is None:
            raise UserError("A span of the same kind is looked for in a corpus: open a store.")
        found = gauge.kinds.like(prompt.ids[self.start : stop], self.choice + 1)
        if not 0 <= self.choice < len(found):
            text = "".join(prompt.strings[self.start : stop])
            raise UserError(f"The train split holds only {len(found)} other spans of the kind of {text!r}: choose another one.")
        return [_replaced(self.start, stop, found[self.choice])]

    def __str__(self) -> str:
        return f"another of the kind of {_span(self.start, self.stop)}" + (f" ({self.choice + 1})" if self.choice else "")


EDITS: dict[str, type] = {
    "substitute": Substitute,
    "insert": Insert,
    "delete": Delete,
    "swap": Swap,
    "repeat": Repeat,
    "case": Case,
    "space": Space,
    "truncate": Truncate,
    "shift": Shift,
    "of_its_kind": OfItsKind,
}
"""All edits by name."""


def _replaced(start: int, stop: int, ids: Sequence[int]) -> Piece:
    """New tokens for old ones, matched from the end."""
    old: list[int | None] = [*[None] * max(0, len(ids) - (stop - start)), *range(max(start, stop - len(ids)), stop)]
    return Piece(start, stop, tuple(ids), tuple(old))


def _inserted(at: int, ids: Sequence[int]) -> Piece:
    return Piece(at, at, tuple(ids), (None,) * len(ids))


def _check_span(prompt: Prompt, start: int, stop: int) -> None:
    if not 0 <= start < stop <= len(prompt):
        what = f"token {start}" if stop == start + 1 else f"span {start}:{stop}"
        raise UserError(f"There is no {what} in this text: it has {len(prompt)} tokens, numbered from 0.")


def _check_place(prompt: Prompt, at: int) -> None:
    if not 0 <= at <= len(prompt):
        raise UserError(f"Nothing can be inserted before token {at}: the text has {len(prompt)} tokens, numbered from 0.")


def _span(start: int, stop: int | None) -> str:
    return str(start) if stop is None or stop == start + 1 else f"{start}:{stop}"
