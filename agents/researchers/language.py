"""A language model in the researcher's seat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel

from dragoman.agents import prompting
from dragoman.agents.answers import (
    Acceptance,
    Arbitration,
    Claim,
    Contest,
    Design,
    Foretelling,
    Proposal,
    Revision,
    Test,
    Turn,
)
from dragoman.agents.board import Board, Case
from dragoman.agents.models import GatewayChat, Unreadable, structured
from dragoman.agents.researcher import Place, Unable
from dragoman.agents.settings import Settings
from dragoman.agents.structured import question
from dragoman.evals.gateway.calls import Message, Refused, Request, Unanswered
from dragoman.evals.gateway.calls import Place as CallPlace
from dragoman.store.errors import ToolError
from dragoman.store.findings import Experiment, Hypothesis, Outcome
from dragoman.tools.patterns import parse

A = TypeVar("A", bound=BaseModel)
SHOWN = 200
"""Characters of a rule that are repeated where it cannot be read."""


class LanguageResearcher:
    """Asks one question a step, and takes only answers that fill in the form."""

    def __init__(self, chat: GatewayChat, settings: Settings, chance: float, name: str = "labeler") -> None:
        """chance: what a label of nothing reaches on validation, said beside the figures."""
        self.name = name
        self.prompt: str | None = prompting.digest()
        self._chat, self._settings, self._chance = chat, settings, chance

    @property
    def model(self) -> str | None:
        """The model's name."""
        return self._chat.name_of_model

    async def propose(self, case: Case, most: int) -> Proposal:
        """See `Researcher`."""
        return await self._ask(case, "propose", self._for_proposal(case, most), Proposal)

    def proposal_question(self, case: Case, most: int) -> tuple[Request, CallPlace]:
        """The call that `propose` begins with, and where it stands in the run."""
        return question(self._chat, self._for_proposal(case, most), Proposal), CallPlace(case.feature, f"{self.name}/propose", 0)

    def _for_proposal(self, case: Case, most: int) -> prompting.Chat:
        parts = self._settings.parts
        return prompting.propose(case, most, parts.facets, parts.output)

    async def design(self, case: Case, board: Board, most: int) -> Design:
        """See `Researcher`."""
        chat = prompting.design(case, board, most, self._settings.parts.output)
        return await self._ask(case, f"design/{board.round + 1}", chat, Design)

    async def foretell(self, case: Case, hypothesis: Hypothesis, experiments: Sequence[Experiment], round: int) -> list[Outcome]:
        """See `Researcher`."""
        if not experiments:
            return []
        chat = prompting.foretell(case, hypothesis, experiments)
        told = await self._ask(case, f"foretell/{round}/{hypothesis.called}", chat, Foretelling)
        if len(told.outcomes) != len(experiments):
            raise Unable(f"it predicted {len(told.outcomes)} of {len(experiments)} experiments")
        return told.outcomes

    async def revise(self, case: Case, board: Board) -> Revision:
        """See `Researcher`."""
        return await self._ask(case, f"revise/{board.round}", prompting.revise(case, board, self._chance), Revision)

    async def contest(self, case: Case, place: Place, most: int) -> Design:
        """See `Researcher`."""
        said = await self._ask(case, f"{_round(place)}/contest", prompting.contest(case, place, most), Contest)
        return Design(tests=[Test(**one.model_dump()) for one in said.tests])

    async def answer_debate(self, case: Case, place: Place) -> Turn:
        """See `Researcher`."""
        return await self._ask(case, f"{_round(place)}/turn", prompting.turn(case, place), Turn)

    async def answer_merger(self, case: Case, place: Place, offer: Claim) -> Acceptance:
        """See `Researcher`."""
        return await self._ask(case, f"{_round(place)}/merger", prompting.merger(case, place, offer), Acceptance)

    async def arbitrate(self, case: Case, place: Place, so_far: str) -> Arbitration:
        """See `Arbiter`."""
        return await self._ask(case, f"debate/{place.board.round}/verdict", prompting.arbitrate(case, place, so_far), Arbitration)

    async def _ask(self, case: Case, step: str, messages: Sequence[Message], answer: type[A]) -> A:
        chat = self._chat.at(case.feature, f"{self.name}/{step}")
        try:
            found = await structured(chat, messages, answer)
        except Unreadable as error:
            raise Unable(f"the answer could not be read: {error}") from error
        except Refused as error:
            raise Unable(f"the model refused: {error}") from error
        except Unanswered as error:
            raise Unable(str(error)) from error
        wrong = unreadable_rules(found.value)
        return (
            found.value
            if not wrong
            else await self._mended(chat, [*messages, Message("assistant", found.raw)], found.value, wrong)
        )

    async def _mended(self, chat: GatewayChat, messages: Sequence[Message], value: A, wrong: Sequence[str]) -> A:
        """The same answer with its rules mended; as it was, where that fails: its words are still a hypothesis."""
        question = Message("user", prompting.mend(wrong))
        try:
            return (await structured(chat, [*messages, question], type(value))).value
        except Unanswered:
            return value


def unreadable_rules(answer: BaseModel) -> list[str]:
    """What is wrong with the rules in an answer, a sentence each; empty where all can be read."""
    wrong: list[str] = []
    for name in type(answer).model_fields:
        inner = getattr(answer, name)
        for one in inner if isinstance(inner, list) else [inner]:
            if isinstance(one, BaseModel):
                wrong += unreadable_rules(one)
        if name == "pattern" and inner:
            try:
                parse(inner)
            except ToolError as error:
                wrong.append(f"{inner[:SHOWN]}{'…' * (len(inner) > SHOWN)}: {error}")
    return wrong


def _round(place: Place) -> str:
    """Where a debater's questions stand; one model may hold both sides."""
    return f"debate/{place.board.round}/{place.seat}"
