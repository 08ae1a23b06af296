"""The researcher's seat: who thinks about a feature. A language model sits in it, or induction, or a script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dragoman.store.findings import Experiment, Hypothesis, Outcome

from .answers import Design, Proposal, Revision
from .board import Board, Case


class Unable(Exception):
    """The researcher has no answer: a refusal, or one that cannot be read. The message is the reason; nothing is made up."""


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
