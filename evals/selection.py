"""Choosing among several claims about a feature, so that the published score is not inflated by the choice.

The best of k noisy figures is larger than any of them is on average, whether the claims are good or not. So the choice is made on
validation, and what is published is measured on test, which the choice has not seen. The shuffled control gets the same number of
tries: the best of as many other features' labels on validation is published on test as well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dragoman.evals.judge.reader import Step

from .scorers.asked import within
from .scorers.exam import Exam
from .scorers.measure import Measure, remarked

Asking = Callable[[str, Exam, Step], Awaitable[list[Measure]]]
"""Scores a claim on an exam: one of the scorers' `ask` functions with its reader filled in."""


@dataclass(frozen=True)
class Selected:
    """The claim that did best on validation."""

    chosen: int
    """Its number among the candidates."""
    validation: tuple[float | None, ...]
    """The figure of each candidate on validation, None where it is unscored; nothing here is to be published."""
    published: tuple[Measure, ...]
    """The figures of the chosen one on test."""


async def select(
    candidates: Sequence[str], scorer: str, ask: Asking, validation: Exam, test: Exam, step: Step, final: Asking | None = None
) -> Selected:
    """Choose the candidate with the best `scorer` on validation and measure it on test, with `final` if given, else with `ask`.

    The first of equally good ones wins; so does the first of all where none is scored, which a flag says. Raises ValueError where
    there are no candidates, where `ask` returns no figure of this name, or where an exam is given as the other split's.
    """
    if not candidates:
        raise ValueError("there is nothing to choose from")
    if validation.tokens.split != "validation" or test.tokens.split != "test":
        raise ValueError(f"chosen on {validation.tokens.split} and published on {test.tokens.split}: want validation and test")
    if len(candidates) == 1:
        return Selected(0, (None,), tuple(await (final or ask)(candidates[0], test, within(step, "test"))))
    figures = []
    for number, claim in enumerate(candidates):
        measures = await ask(claim, validation, within(step, f"validation/{number}"))
        figures.append(_named(measures, scorer).value)
    chosen = max(range(len(figures)), key=lambda i: (-np.inf if figures[i] is None else figures[i], -i))
    published = await (final or ask)(candidates[chosen], test, within(step, "test"))
    flags = [f"best of {len(candidates)} on validation by {scorer}"]
    if all(figure is None for figure in figures):
        flags = [f"first of {len(candidates)}: none could be scored on validation"]
    return Selected(chosen, tuple(figures), tuple(remarked(published, tuple(flags))))


def shuffled(labels: Mapping[int, str], feature: int, tries: int, seed: int) -> list[str]:
    """Claims about `tries` other features, none twice: the control's candidates. Fewer where there are not so many others.

    `labels` holds a claim for each feature; which are drawn depends on the set of features, the feature and the seed only.
    """
    others = sorted(other for other in labels if other != feature)
    rng = np.random.default_rng([seed, feature, len(others), 10])
    return [labels[others[i]] for i in rng.permutation(len(others))[:tries]]


def _named(measures: Sequence[Measure], scorer: str) -> Measure:
    for measure in measures:
        if measure.scorer == scorer:
            return measure
    raise ValueError(f"no figure is called {scorer}")
