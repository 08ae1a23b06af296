"""The researcher's seat: who thinks about a feature. A language model sits in it, or induction, or a script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dragoman.store.findings import Experiment, Hypothesis, Outcome

from .answers import Acceptance, Arbitration, Claim, Design, Proposal, Revision, Test, Turn
from .board import Board, Case
from .standing import Seat, Standing, other


class Unable(Exception):
    """The researcher has no answer: a refusal, or one that cannot be read. The message is the reason; nothing is made up."""


@dataclass(frozen=True)
class Place:
    """Where a debater sits."""

    seat: Seat
    """Its seat."""
    mine: Hypothesis
    """The label it holds."""
    theirs: Hypothesis
    """The rival's."""
    board: Board
    """Both labels, what was given up, and every result so far."""
    standing: Standing
    """The score."""
    rounds: int
    """Rounds of the debate at most."""
    taken: tuple[Test, ...] = ()
    """What the rival proposed in this round already."""

    @property
    def behind(self) -> bool:
        """Whether the rival has more points."""
        return self.standing.points[self.seat] < self.standing.points[other(self.seat)]


class Arbiter(Protocol):
    """Writes verdicts of debates."""

    @property
    def name(self) -> str:
        """Recorded where there is no model's name."""
        ...

    @property
    def model(self) -> str | None:
        """The language model behind it."""
        ...

    async def arbitrate(self, case: Case, place: Place, so_far: str) -> Arbitration:
        """A verdict that cites experiments; `so_far` is the one that code wrote. Raises as a researcher does."""
        ...


class Researcher(Protocol):
    """Proposes, tests and revises. Every method raises `Unable` where there is no answer, and lets a gateway's `FeatureSpent`
    through.
    """

    @property
    def name(self) -> str:
        """Recorded as the agent, for example `induction` or `labeler`."""
        ...

    @property
    def model(self) -> str | None:
        """The language model behind it, if any."""
        ...

    @property
    def prompt(self) -> str | None:
        """Hash of the prompts it is given, if any."""
        ...

    async def propose(self, case: Case, most: int) -> Proposal:
        """At most so many hypotheses from the evidence, the most likely first."""
        ...

    async def design(self, case: Case, board: Board, most: int) -> Design:
        """At most so many tests, each with what every living hypothesis predicts."""
        ...

    async def foretell(self, case: Case, hypothesis: Hypothesis, experiments: Sequence[Experiment], round: int) -> list[Outcome]:
        """What a hypothesis says of experiments that others planned: one outcome each."""
        ...

    async def revise(self, case: Case, board: Board) -> Revision:
        """What follows from the results."""
        ...

    async def contest(self, case: Case, place: Place, most: int) -> Design:
        """In a debate: at most so many tests on which the two labels differ. What each says of them is asked by `foretell`."""
        ...

    async def answer_debate(self, case: Case, place: Place) -> Turn:
        """In a debate: what to do with one's label after a round."""
        ...

    async def answer_merger(self, case: Case, place: Place, offer: Claim) -> Acceptance:
        """In a debate: whether one hypothesis that the rival offers may stand for both labels."""
        ...
