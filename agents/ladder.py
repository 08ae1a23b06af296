"""What each rung and each part of the loop is worth: the same features labeled in several ways, scored on test, compared.

1. Every contestant labels the same features in a run of its own, and is scored on test by the same judge with the same questions.
2. Differences are paired by feature against the first contestant, with bootstrap intervals. A feature that a contestant leaves
   without a label counts as chance there: what says nothing predicts nothing.
3. Beside the figures stands what was spent: model tokens, tokens run through the subject, examples read, tool calls.

A dearer rung is compared with the cheaper one at equal budget too: `more` gives the one-shot contestant more evidence, so that
it spends about as many model tokens as the experiments do. Induction reads all of train in any case: only its tests cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np

from dragoman.evals.statistics import Interval, Pairing, median_interval, paired
from dragoman.store.features import Store
from dragoman.store.trails import Trails

from .campaign import Means, Wish, campaign
from .settings import EVIDENCE, Parts, Rung, Settings

FIGURES: Mapping[str, float] = {"simulation.r": 0.0, "detection.balanced_accuracy": 0.5, "detection.auroc": 0.5}
"""What is compared, and what a label of nothing reaches."""
RUNGS: tuple[Rung, ...] = get_args(Rung)
"""All rungs, the cheapest first."""
MOST = 20
"""Examples of a stratum at most."""


@dataclass(frozen=True)
class Contestant:
    """One way of labeling."""

    name: str
    """What it is called in the table."""
    settings: Settings
    """How it works."""


class Spent(NamedTuple):
    """What a contestant spent on all its features."""

    model: int
    """Tokens of prompts and replies."""
    dollars: float
    """US dollars."""
    forwarded: int
    """Tokens run through the subject."""
    read: int
    """Examples read."""
    calls: int
    """Tools called."""


@dataclass(frozen=True)
class Place:
    """How a contestant did."""

    name: str
    """Which."""
    run: str
    """Its labeling run."""
    labeled: int
    """Features with a label."""
    figures: Mapping[str, Interval]
    """Medians on test over all features."""
    against: Mapping[str, Pairing]
    """Its figures minus those of the first contestant, by feature; empty for the first."""
    spent: Spent
    """What it cost."""


def rungs(base: Settings, names: Sequence[Rung]) -> list[Contestant]:
    """The ladder: every rung, each for all features."""
    return [Contestant(name, base.model_copy(update={"rung": name, "ladder": False})) for name in names]


def parts(base: Settings, tools: Sequence[str] = ()) -> list[Contestant]:
    """The experiments rung whole, then without each part, then without each of these tools."""
    whole = base.model_copy(update={"rung": "experiments", "ladder": False})
    found = [Contestant("experiments", whole)]
    for name in Parts.model_fields:
        found.append(Contestant(f"without {name}", whole.model_copy(update={"parts": Parts(**{name: False})})))
    for name in tools:
        left = tuple(tool for tool in (whole.tools or _tools()) if tool != name)
        found.append(Contestant(f"without the tool {name}", whole.model_copy(update={"tools": left})))
    return found


def more(one_shot: Contestant, spent: Spent, aim: Spent) -> Contestant | None:
    """The one-shot contestant with as much more evidence as the aim spends in model tokens; None where nothing is left to add."""
    if not spent.model or aim.model <= 1.5 * spent.model:
        return None
    factor = aim.model / spent.model
    evidence = {stratum: min(MOST, round(n * factor)) for stratum, n in (one_shot.settings.evidence or EVIDENCE).items()}
    return Contestant(f"{one_shot.name}, more evidence", one_shot.settings.model_copy(update={"evidence": evidence}))


def climb(
    path: Path,
    contestants: Sequence[Contestant],
    features: Sequence[int],
    explainer: str,
    judge: str,
    means: Means,
    score: Callable[[str], str],
    *,
    seed: int = 0,
    equal: bool = True,
    progress: bool = True,
) -> list[Place]:
    """Label and score with every contestant; every part resumes where it was stopped.

    score: scores a labeling run on test and returns the scoring run. equal: add the one-shot contestant at equal budget.
    Raises what `campaign` raises.
    """
    found: list[tuple[Contestant, str, dict[str, dict[int, float]], int, Spent]] = []

    def enter(contestant: Contestant) -> None:
        wish = Wish(explainer, judge, tuple(features), contestant.settings, seed)
        outcome = campaign(path, wish, means, progress=progress)
        scored = score(outcome.run.id) if outcome.labels else None
        own = values(path, scored, features)
        found.append((contestant, outcome.run.id, own, outcome.labels, spent(path, outcome.run.id, features)))

    for contestant in contestants:
        enter(contestant)
    cheap = next((entry for entry in found if entry[0].settings.rung == "one-shot"), None)
    dear = next((entry for entry in found if entry[0].settings.rung == "experiments"), None)
    richer = more(cheap[0], cheap[4], dear[4]) if equal and cheap and dear else None
    if richer is not None:
        enter(richer)
    first = found[0][2]
    return [
        Place(
            name=contestant.name,
            run=run,
            labeled=labels,
            figures={name: _median(own[name], features, seed) for name in FIGURES},
            against={} if own is first else {name: _paired(own[name], first[name], features, seed) for name in FIGURES},
            spent=cost,
        )
        for contestant, run, own, labels, cost in found
    ]


def values(path: Path, run: str | None, features: Sequence[int]) -> dict[str, dict[int, float]]:
    """Test figures of the labels by scorer and feature; chance for a feature that has no label.

    Features that are unscored for a reason of their own (dense, a constant truth) are left out.
    """
    found: dict[str, dict[int, float]] = {}
    with Store.open(path) as store:
        for name, chance in FIGURES.items():
            own = found[name] = {}
            for feature in features:
                own[feature] = chance
            if run is None:
                continue
            for score in store.ledger.scores(run=run, scorer=name, contestant="label", split="test"):
                if score.value is not None:
                    own[score.feature] = score.value
                elif not (score.unscored or "").startswith("no label"):
                    own.pop(score.feature, None)
    return found


def spent(path: Path, run: str, features: Sequence[int]) -> Spent:
    """What a labeling run cost, by its ledger."""
    with Store.open(path) as store:
        trails = Trails(store.ledger.path)
        forwarded = read = calls = 0
        for feature in features:
            experiments = [one for one in trails.experiments(run, feature) if one.settled]
            shown = [step.content for step in trails.steps(run, feature) if step.node == "gather"]
            forwarded += sum(one.forwarded for one in experiments)
            read += sum(one.read for one in experiments) + sum(int(content.get("read", 0)) for content in shown)
            calls += len(experiments) + sum(len(content.get("shown", ())) for content in shown)
        trails.close()
        query = f"SELECT coalesce(sum(tokens), 0) AS tokens, coalesce(sum(cost), 0) AS cost FROM model_call WHERE run = '{run}'"
        (row,) = list(store.sql(query))
    return Spent(int(row["tokens"]), float(row["cost"]), forwarded, read, calls)


def _median(own: Mapping[int, float], features: Sequence[int], seed: int) -> Interval:
    figures = np.array([own[feature] for feature in features if feature in own], np.float64)
    return median_interval(figures, np.random.default_rng([seed, len(figures), 20]))


def _paired(own: Mapping[int, float], first: Mapping[int, float], features: Sequence[int], seed: int) -> Pairing:
    both = [feature for feature in features if feature in own and feature in first]
    ours, theirs = (np.array([side[feature] for feature in both], np.float64) for side in (own, first))
    return paired(ours, theirs, np.random.default_rng([seed, len(both), 21]))


def _tools() -> tuple[str, ...]:
    from dragoman.tools.toolbox import registry

    return tuple(registry())
