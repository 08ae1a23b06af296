"""Judges that read words: what they are shown, what they are asked, and what an answer is.

A reader never sees an activation. It is given a claim (a label's description, or one facet's) and texts, and every answer is a
number, or the reason why there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

Way = Literal["log-probabilities", "sampled", "schema", "executed", "scripted", ""]
"""How an answer was read; empty where there is none."""

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Names of options, and of texts that are asked about together."""


class Passage(NamedTuple):
    """A text as tokens of the subject; the strings concatenate to the text."""

    strings: tuple[str, ...]
    """What each token contributes to the text."""
    ids: tuple[int, ...] = ()
    """Their ids in the subject's vocabulary; empty where nobody needs them."""

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.strings)


class Marked(NamedTuple):
    """A passage with some of its tokens highlighted."""

    passage: Passage
    """The text."""
    highlights: tuple[int, ...]
    """Positions of the highlighted tokens, ascending."""

    def shown(self, before: str = "<<", after: str = ">>") -> str:
        """The text with every run of highlighted tokens between marks, which leave out the spaces before it.

        The text's own << and >> become look-alikes.
        """
        pieces, on = [], set(self.highlights)
        for at, string in enumerate(self.passage.strings):
            core = string.lstrip(" ") if at in on and at - 1 not in on else string
            opens = "\x02" if at in on and at - 1 not in on else ""
            closes = "\x03" if at in on and at + 1 not in on else ""
            pieces.append(string[: len(string) - len(core)] + opens + core + closes)
        plain = "".join(pieces).replace("<<", "‹‹").replace(">>", "››")
        return plain.replace("\x02", before).replace("\x03", after)


class Answer(NamedTuple):
    """One prediction."""

    value: float | None
    """Probability of yes, from 0 to 1; None where it could not be read."""
    way: Way = ""
    """How it was read."""
    unscored: str | None = None
    """Why there is no value."""
    place: int = 0
    """Where its text stood among those of the request, from 1; 0 where it was asked about alone."""


class Simulated(NamedTuple):
    """Predicted activations of one passage."""

    values: tuple[float, ...] | None
    """One for each token, as a share of the feature's maximum (0 to 1); None where they could not be read."""
    way: Way = ""
    """How they were read."""
    unscored: str | None = None
    """Why there are none."""


class Chosen(NamedTuple):
    """A choice among options."""

    probabilities: tuple[float, ...] | None
    """One for each option, in the order given, summing to 1; None where it could not be read."""
    way: Way = ""
    """How it was read."""
    unscored: str | None = None
    """Why there is none."""


class Written(NamedTuple):
    """Texts written from a claim."""

    texts: tuple[str, ...]
    """At most as many as asked for."""
    unscored: str | None = None
    """Why there are none."""


@dataclass(frozen=True)
class Step:
    """Whose question it is: where its calls stand in the ledger and the cache. A step is asked once, with all its passages."""

    feature: int
    """Global id of the feature."""
    name: str
    """For example `score/label/detection/0`."""


class Reader(Protocol):
    """A judge that reads words. Every method answers each item by itself: one that cannot be read leaves the others as they are.

    Raises UserError where no further question makes sense: a budget is reached, the key is wrong, the server stays away.
    """

    @property
    def name(self) -> str:
        """Recorded with every score, for example `vllm:judge-1b`."""
        ...

    async def detect(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Answer]:
        """Probability that a feature so described fires anywhere in each text."""
        ...

    async def fuzz(self, claim: str, marked: Sequence[Marked], step: Step, among: Sequence[Passage] = ()) -> list[Answer]:
        """Probability that the highlighted tokens are the ones on which a feature so described fires.

        `among`: texts that detection asks about together, the marked ones among them, so that a judge may be shown them again.
        """
        ...

    async def simulate(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Simulated]:
        """How active a feature so described is on every token."""
        ...

    async def choose(self, claim: str, task: Literal["passage", "continuations"], options: Sequence[str], step: Step) -> Chosen:
        """Which option belongs to the claim: the passage on which such a feature fires, or the continuations that it caused."""
        ...

    async def write(self, claim: str, fires: bool, n: int, step: Step) -> Written:
        """Texts on which a feature so described fires, or texts near to those on which it does not."""
        ...
