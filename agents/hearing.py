"""One debate on its own: two labels that somebody gives, held against each other until one is left or the rounds are over.

It is a run of its own kind: the same command finds the same run, goes on where it was stopped, and shows the same transcript. It
publishes no label.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from dragoman.evals.runs import resolve, working_on
from dragoman.store.errors import ToolError, UserError
from dragoman.store.features import Store
from dragoman.store.findings import Hypothesis
from dragoman.store.records import Run
from dragoman.store.trail import Cost, read_trail
from dragoman.store.trails import Trails
from dragoman.tools.patterns import parse
from dragoman.tools.patterns.naming import name_of
from dragoman.tools.patterns.render import render

from . import claims
from .answers import LONGEST, NAME_WORDS, Claim
from .board import Board
from .campaign import Means, Wish, identity
from .debate import Debate, hold
from .models import is_induction
from .office import Office
from .opening import opening
from .queue import queue
from .standing import SEATS
from .state import LabelState
from .transcript import Transcript, transcript


@dataclass(frozen=True)
class Motion:
    """What is debated."""

    claims: tuple[str, ...] = ()
    """The labels in words; none, where their rules say all."""
    patterns: tuple[str, ...] = ()
    """The labels as rules, in the same order; none, where words say all."""


class Heard(NamedTuple):
    """How a debate ended."""

    run: Run
    """The run."""
    transcript: Transcript
    """What was said and found."""
    spent: Cost
    """What it took."""


def debate(path: Path, feature: int, motion: Motion, wish: Wish, means: Means, fresh: bool = False) -> Heard:
    """Hold the two labels of a motion against each other.

    wish.features is not looked at. Raises UserError for a feature that is not live, for labels that cannot be debated by those
    who are asked to, and as `campaign` does.
    """
    said = _claims(motion, wish)
    return asyncio.run(_debate(path, feature, said, wish, means, fresh))


async def _debate(path: Path, feature: int, said: list[Claim], wish: Wish, means: Means, fresh: bool) -> Heard:
    with Store.open(path) as store:
        queue(store, (feature,))
        async with opening(store, wish, means) as opened:
            config: dict[str, Any] = {**identity(store, wish, opened), "features": str(feature)}
            config["labels"] = [one.model_dump(mode="json") for one in said]
            run = resolve(store.ledger, "debate", config, fresh)
            with working_on(path, store.ledger, run):
                async with opened.office(run.id) as office:
                    await _held(office, feature, said)
        trails = Trails(store.ledger.path)
        try:
            found = transcript(trails, run.id, feature)
            assert found is not None
            return Heard(run, found, read_trail(trails, store.ledger, run, feature).cost)
        finally:
            trails.close()


async def _held(office: Office, feature: int, said: list[Claim]) -> LabelState:
    """The debate itself; whatever of it was done before is taken from the ledger."""
    held = Debate(office)
    made: list[Hypothesis] = []
    for seat, claim in zip(SEATS, said, strict=True):
        made.append(claims.debated(office, feature, Board(dropped=tuple(made)), 0, claim, (), held.seated[seat].name))
    figures = {one.id: await office.gauge.of(one, f"gauge/motion/{one.called}") for one in made}
    office.trails.propose(made)
    state: LabelState = {
        "feature": feature,
        "alive": [one.id for one in made],
        "figures": {name: list(figure) for name, figure in figures.items()},
    }
    state.update(held.seat(state, *made))  # type: ignore[typeddict-item]  # keys of the state
    return await hold(held, state)


def _claims(motion: Motion, wish: Wish) -> list[Claim]:
    """The two labels. Raises UserError where there are not two, or where one cannot be debated."""
    count = max(len(motion.claims), len(motion.patterns))
    if count != 2 or len(motion.claims) not in (0, 2) or len(motion.patterns) not in (0, 2):
        raise UserError(
            "A debate is between two labels: give --claim twice, and --pattern twice in the same order where there are rules."
        )
    seated = (wish.explainer, wish.rival or wish.explainer)
    if not motion.patterns and any(is_induction(spec) for spec in seated):
        raise UserError(
            "induction debates rules, not words: give --pattern for both claims, or language models as --explainer and --rival."
        )
    made = []
    for number in range(2):
        words = motion.claims[number] if motion.claims else ""
        rule = motion.patterns[number] if motion.patterns else None
        try:
            pattern = None if rule is None else parse(rule)
        except ToolError as error:
            raise UserError(f"The pattern {rule!r} cannot be read: {error}") from None
        name = " ".join(words.split()[:NAME_WORDS]) if words or pattern is None else name_of(pattern.clauses[0])
        words = words or (render(pattern)[:LONGEST] if pattern is not None else "")
        try:
            made.append(Claim(name=name, description=words, pattern=None if pattern is None else str(pattern)))
        except ValidationError as error:
            raise UserError(
                f"The claim {words[:60]!r} cannot be used: it {error.errors()[0]['msg'].removeprefix('Value error, ')}."
            ) from None
    if (made[0].description, made[0].pattern) == (made[1].description, made[1].pattern):
        raise UserError("Both labels are the same: a debate needs two that differ.")
    return made
