"""One round of a debate: the inputs of both sides, what each side says of every one, what the dictionary says, and the points."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dragoman.store.findings import Experiment, Hypothesis, Outcome, Prediction

from . import planning, running
from .answers import Test
from .board import Board, Case
from .office import Office
from .researcher import Place, Researcher, Unable
from .standing import SEATS, Exchange, Seat, Standing, other


class Inputs(NamedTuple):
    """What is run in a round."""

    experiments: list[Experiment]
    """Planned, in their order."""
    by: list[Seat]
    """Who proposed each."""
    refused: list[str]
    """Tests that could not be made."""


def places(standing: Standing, board: Board, rounds: int) -> dict[Seat, Place]:
    """Where both debaters sit; the board holds their labels only, everything else counts as given up."""
    by_id = {one.id: one for one in (*board.alive, *board.dropped)}
    held = {seat: by_id[standing.held[seat]] for seat in SEATS}
    alive = tuple(sorted({one.id: one for one in held.values()}.values(), key=lambda one: one.ordinal))
    rest = tuple(one for one in (*board.alive, *board.dropped) if one not in alive and one.side == "input")
    seen = Board(
        alive=alive,
        dropped=rest,
        experiments=board.experiments,
        predictions=board.predictions,
        figures=board.figures,
        round=board.round,
    )
    return {seat: Place(seat, held[seat], held[other(seat)], seen, standing, rounds) for seat in SEATS}


async def proposed(
    office: Office,
    case: Case,
    seated: Mapping[Seat, Researcher],
    places: Mapping[Seat, Place],
    round: int,
    unable: dict[str, str],
) -> Inputs:
    """The inputs of both sides, half of a batch each. Who goes first changes every round; the second sees what the first made."""
    most = max(1, office.settings.tests // 2)
    first: Seat = SEATS[places["A"].standing.round % 2]
    inputs = Inputs([], [], [])
    taken: list[Test] = []
    board = places["A"].board
    for seat in (first, other(first)):
        place = _with(places[seat], taken)
        try:
            tests = (await seated[seat].contest(case, place, most)).tests[:most]
        except Unable as error:
            unable[f"{seat} proposes"] = str(error)
            continue
        fitting = [test for test in tests if planning.SIDES[test.kind] == "input"]
        inputs.refused.extend(f"{test.kind}: a debate is about the input" for test in tests if test not in fitting)
        known = Board(experiments=(*board.experiments, *inputs.experiments))
        made = planning.experiments_of(office, case, known, round, fitting, seated[seat].name, len(inputs.experiments))
        inputs.experiments.extend(made.experiments)
        inputs.by.extend(seat for _ in made.experiments)
        inputs.refused.extend(made.refused)
        taken += [fitting[n] for n in made.sources]
    return inputs


async def foretold(
    case: Case,
    seated: Mapping[Seat, Researcher],
    places: Mapping[Seat, Place],
    experiments: Sequence[Experiment],
    round: int,
    unable: dict[str, str],
) -> list[Prediction]:
    """What each side says of every input; one that cannot say is unsure of all, and wins and loses nothing."""
    made = []
    for seat in SEATS:
        outcomes: list[Outcome] = ["unsure"] * len(experiments)
        mine = places[seat].mine
        try:
            outcomes = await seated[seat].foretell(case, mine, experiments, round)
        except Unable as error:
            unable[f"{seat} foretells"] = str(error)
        made += [
            Prediction(experiment=experiment.id, hypothesis=mine.id, outcome=outcome)
            for experiment, outcome in zip(experiments, outcomes, strict=True)
        ]
    return made


async def settled(
    office: Office, case: Case, inputs: Inputs, predictions: Sequence[Prediction], held: Mapping[Seat, str]
) -> list[Exchange]:
    """Write inputs and predictions, then run what was not run yet, and say who won a point on each."""
    office.trails.plan(inputs.experiments, predictions)
    await asyncio.gather(*(running.run(office, case.feature, one.id) for one in inputs.experiments))
    known = {(one.experiment, one.hypothesis): one for one in office.trails.predictions(office.run, case.feature)}
    return [
        Exchange(experiment=one.id, by=by, held=dict(held), point=_point({s: known[one.id, held[s]] for s in SEATS}))
        for one, by in zip(inputs.experiments, inputs.by, strict=True)
    ]


def differ(predictions: Sequence[Prediction], one: Hypothesis, two: Hypothesis) -> bool | None:
    """Whether two hypotheses said different things of any experiment; None where no experiment has a word of both."""
    said: dict[str, dict[str, Outcome]] = {}
    for prediction in predictions:
        if prediction.outcome != "unsure":
            said.setdefault(prediction.experiment, {})[prediction.hypothesis] = prediction.outcome
    both = [(told[one.id], told[two.id]) for told in said.values() if one.id in told and two.id in told]
    return any(a != b for a, b in both) if both else None


def _point(said: Mapping[Seat, Prediction]) -> Seat | None:
    if said["A"].outcome == said["B"].outcome:
        return None
    for seat in SEATS:
        if (said[seat].verdict, said[other(seat)].verdict) == ("held", "failed"):
            return seat
    return None


def _with(place: Place, taken: Sequence[Test]) -> Place:
    return Place(place.seat, place.mine, place.theirs, place.board, place.standing, place.rounds, tuple(taken))
