"""Which hypothesis becomes the label: the one that does best on validation; experiments decide where it cannot tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import log
from typing import NamedTuple

from dragoman.store.findings import Hypothesis, Status

from .board import Board
from .gauge import MARGIN, Gauged
from .verdicts import status

__all__ = ["MARGIN", "Choice", "best", "best_figure", "choose", "confidence", "ranked"]


class Choice(NamedTuple):
    """What is published of a feature."""

    hypothesis: Hypothesis | None
    """None where nothing may be published."""
    figure: Gauged | None
    """Its figure on validation."""
    why: str
    """Why this one, or why none."""
    tries: int = 1
    """Hypotheses it was chosen among."""


def choose(board: Board, chance: float, gain: float) -> Choice:
    """The hypothesis that does best on validation, if something besides its author's word speaks for it.

    That is a figure on validation above chance (its interval too, where there is one), or experiments that support it where no
    figure could be had. Experiments look for the edges of a hypothesis, so that one they refute may still predict unseen text
    better than what replaced it: they, and after them a debate, decide between hypotheses whose figures are within `gain` of
    the best.
    """
    rivals = [one for one in (*board.alive, *board.dropped) if one.side == "input"]
    if not rivals:
        return Choice(None, None, "no hypothesis was made")
    statuses = {one.id: status(board.verdicts_of(one)) for one in rivals}
    found = best(rivals, board.figures, statuses, gain, board.favoured)
    assert found is not None
    figure = board.figures.get(found.id)
    of = f"best of {len(rivals)} on validation" if len(rivals) > 1 else "the only hypothesis"
    if figure is None or figure.value is None:
        if statuses[found.id] == "supported":
            return Choice(found, figure, "supported by experiments; validation could not score it", len(rivals))
        reason = figure.unscored if figure is not None else "it was not gauged"
        return Choice(None, figure, f"{WORD} {found.called}: {reason}")
    if (figure.value if figure.low is None else figure.low) <= chance:
        return Choice(
            None, figure, f"no hypothesis predicts the feature: {found.called}, the best, has {figure} (chance {chance:g})"
        )
    return Choice(found, figure, of, len(rivals))


WORD = "nothing but a model's word speaks for"
"""How the reason begins where there is no label because its hypothesis could not be gauged."""
STANDING: Mapping[Status, int] = {"supported": 2, "inconclusive": 1, "proposed": 1, "refuted": 0}


def best(
    hypotheses: Iterable[Hypothesis],
    figures: Mapping[str, Gauged],
    statuses: Mapping[str, Status],
    gain: float,
    favoured: str = "",
) -> Hypothesis | None:
    """The one with the highest figure; of those within `gain` of it the one that experiments support, then the winner of the
    debate (`favoured`), then the shortest, then the first.
    """
    rivals = list(hypotheses)
    top = best_figure(rivals, figures)
    near = [one for one in rivals if _value(figures.get(one.id)) >= top - gain]

    def rank(one: Hypothesis) -> tuple[int, bool, int, int]:
        return STANDING[statuses.get(one.id, "proposed")], one.id == favoured, -len(one.description.split()), -one.ordinal

    return max(near, key=rank, default=None)


def ranked(hypotheses: Iterable[Hypothesis], figures: Mapping[str, Gauged]) -> list[Hypothesis]:
    """The highest figure first, then the first made."""
    return sorted(hypotheses, key=lambda one: (-_value(figures.get(one.id)), one.ordinal))


def best_figure(hypotheses: Iterable[Hypothesis], figures: Mapping[str, Gauged]) -> float:
    """The highest figure among hypotheses about the input, -1 where there is none."""
    return max((_value(figures.get(one.id)) for one in hypotheses if one.side == "input"), default=-1.0)


def confidence(figure: Gauged | None, tries: int, chance: float) -> float | None:
    """The score that may be expected of a label, from 0 (chance) to 1: its figure on validation, less what choosing the best of
    several flatters it by.

    Where there is an interval, a quarter of its width is one standard error, and the expected maximum of k normal figures lies
    above their mean by about sqrt(2 ln k) of it. Without one (the whole split was used) nothing is taken off.
    """
    if figure is None or figure.value is None:
        return None
    value = figure.value
    if figure.low is not None and figure.high is not None and tries > 1:
        value -= (figure.high - figure.low) / 4 * (2 * log(tries)) ** 0.5
    return min(1.0, max(0.0, (value - chance) / (1 - chance)))


def _value(figure: Gauged | None) -> float:
    return -1.0 if figure is None or figure.value is None else figure.value
