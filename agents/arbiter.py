"""The verdict of a debate: by code from the score, or by a language model that may only cite experiments that there are."""

from __future__ import annotations

import re
from typing import NamedTuple

from dragoman.evals.gateway.calls import FeatureSpent

from .board import Case
from .office import Office
from .researcher import Place, Unable
from .standing import SEATS, Seat, other


class Verdict(NamedTuple):
    """What comes of a debate."""

    winner: Seat | None
    """Who is ahead by the score; None for a draw, and where both hold one label."""
    label: str
    """Id of the label that won; empty for a draw."""
    text: str
    """The verdict."""
    cites: list[str]
    """Experiments it rests on, as E1."""
    by: str
    """`code`, or the arbiter."""
    instead: str = ""
    """Why code wrote it although there is an arbiter."""


async def verdict(office: Office, case: Case, place: Place) -> Verdict:
    """The arbiter's verdict; code's where there is none, or where its answer cannot be used. Winner and label are always code's.

    place: the first side's at the end of the debate.
    """
    found = by_code(place)
    if office.arbiter is None or not place.standing.exchanges:
        return found
    try:
        said = await office.arbiter.arbitrate(case, place, found.text)
    except Unable as error:
        return found._replace(instead=str(error))
    except FeatureSpent:
        return found._replace(instead="the feature's budget is spent")
    known = list(_called(place).values())
    cites = list(dict.fromkeys(re.sub(r"\W", "", name).upper() for name in said.cites))
    unknown = [name for name in (*cites, *re.findall(r"\bE\d+\b", said.verdict)) if name not in known]
    if unknown:
        return found._replace(instead=f"the arbiter cited {unknown[0][:20]}, which is no experiment of this debate")
    return found._replace(text=said.verdict, cites=cites, by=office.arbiter.model or office.arbiter.name)


def by_code(place: Place) -> Verdict:
    """The verdict from the score."""
    standing, called = place.standing, _called(place)
    won = {seat: [called[one.experiment] for one in standing.exchanges if one.point == seat] for seat in SEATS}
    labels = {place.seat: place.mine.called, other(place.seat): place.theirs.called}
    score = f"{standing.points['A']} : {standing.points['B']}"
    winner = standing.winner
    if standing.merged:
        tested = " No experiment has tested it." if standing.untested("A") else ""
        sentences = [f"Both sides hold {place.mine.called} now; the score was {score}.{tested}"]
    elif winner is None:
        sentences = [f"A draw, {score}: neither {labels['A']} nor {labels['B']} predicted better."]
    else:
        ahead, behind = standing.points[winner], standing.points[other(winner)]
        why = f"{labels[winner]}, which {winner} holds, wins"
        if standing.conceded:
            why += f", because {other(winner)} conceded; points {ahead} : {behind}."
        else:
            why += f" by {ahead} points to {behind}."
        sentences = [why]
        own = sum(one.point == winner and one.held[winner] == standing.held[winner] for one in standing.exchanges)
        if ahead and own < ahead:
            won_with = f"{own or 'None'} of {winner}'s points {'was' if own < 2 else 'were'} won with {labels[winner]}"
            sentences.append(f"{won_with}, the others with what it held before.")
    sentences += [
        f"{_listed(won[seat])} came out as {seat} predicted and not as {other(seat)} did." for seat in SEATS if won[seat]
    ]
    if not any(won.values()):
        sentences.append("No experiment held for one side and failed for the other.")
    cites = [called[one.experiment] for one in standing.exchanges if one.point]
    return Verdict(winner, standing.favoured, " ".join(sentences), cites, "code")


def _called(place: Place) -> dict[str, str]:
    known = {one.id: one.called for one in place.board.experiments}
    return {one.experiment: known[one.experiment] for one in place.standing.exchanges}


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
