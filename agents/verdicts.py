"""Verdicts by code: what a result says of each prediction, and what the predictions say of a hypothesis.

Bands are fixed here, before anything is run:

- fires: above the feature's threshold on the word that is looked at (anywhere, where no word is named); silent: exactly 0 there;
  between the two nothing is decided.
- stronger and weaker compare with the text before the edit: a quarter more or less (`RATIO`); unchanged within a tenth
  (`SAME`); between the two nothing is decided, nor where the text did not fire before.
- promotes and suppresses: the log-probability of the word rises or falls by at least `NATS` and, when the feature is steered, at
  least twice as far as under a random direction of the same norm; unchanged: by less than half of that.

A hypothesis is refuted when predictions that failed are at least two and more than a third of those decided; supported when at
least three held and at most one in six failed; otherwise nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from dragoman.store.findings import FIRING, Outcome, Prediction, Status, Verdict, level

RATIO = 1.25
SAME = 1.1
NATS = 0.2


class Seen(NamedTuple):
    """What an experiment on the input side showed at the word that is looked at."""

    value: float
    """The activation there."""
    threshold: float
    """The feature fires above this."""
    before: float | None = None
    """The activation before the edit; None where nothing was edited."""


class Moved(NamedTuple):
    """What an intervention did to the word that is looked at."""

    change: float
    """Of its log-probability, in nats."""
    random: float
    """The same under a random direction of the same norm; 0 where the feature is ablated."""


class Judged(NamedTuple):
    """A verdict with its figures."""

    verdict: Verdict
    """What it says."""
    because: str
    """The figures, in one sentence."""


def judge(outcome: Outcome, seen: Seen | Moved) -> Judged:
    """What a result says of a prediction."""
    if outcome == "unsure":  # what came out is told all the same
        return Judged("inconclusive", judge(_mildest(seen), seen).because)
    if isinstance(seen, Moved):
        return _moved(outcome, seen)
    if outcome in ("fires", "silent"):
        return _fired(outcome, seen)
    if outcome in ("stronger", "weaker", "unchanged"):
        return _compared(outcome, seen)
    return Judged("inconclusive", f"no intervention was made that {outcome} a word")


def _mildest(seen: Seen | Moved) -> Outcome:
    """An outcome that this kind of result can be asked about."""
    return "unchanged" if isinstance(seen, Moved) or seen.before is not None else "fires"


def _fired(outcome: Outcome, seen: Seen) -> Judged:
    was = "" if seen.before is None else f"; {level(seen.before, seen.threshold)} before the edit"
    if seen.value > seen.threshold:
        return Judged("held" if outcome == "fires" else "failed", f"fires: {level(seen.value, seen.threshold)}{was}")
    if seen.value > 0:
        said = f"weak: {level(seen.value, seen.threshold)} does not reach {FIRING}, from which it fires, and is not silent"
        return Judged("inconclusive", said + was)
    return Judged("held" if outcome == "silent" else "failed", f"silent: 0{was}")


def _compared(outcome: Outcome, seen: Seen) -> Judged:
    if seen.before is None or seen.before <= seen.threshold:
        return Judged("inconclusive", "the text did not fire before the edit")
    ratio = seen.value / seen.before
    said = f"{level(seen.before, seen.threshold)} before, {level(seen.value, seen.threshold)} after"
    if ratio >= RATIO:
        came: Outcome = "stronger"
    elif ratio <= 1 / RATIO:
        came = "weaker"
    elif 1 / SAME <= ratio <= SAME:
        came = "unchanged"
    else:
        return Judged("inconclusive", f"neither changed nor unchanged: {said}")
    return Judged("held" if came == outcome else "failed", f"{came}: {said}")


def _moved(outcome: Outcome, seen: Moved) -> Judged:
    said = f"{seen.change:+.2f} nats" + (f", {seen.random:+.2f} under a random direction" if seen.random else "")
    needed = max(NATS, 2 * abs(seen.random))
    if abs(seen.change) >= needed:
        came: Outcome = "promotes" if seen.change > 0 else "suppresses"
    elif abs(seen.change) < needed / 2:
        came = "unchanged"
    else:
        return Judged("inconclusive", f"too little to tell: {said}")
    if outcome not in ("promotes", "suppresses", "unchanged"):
        return Judged("inconclusive", f"{outcome} was predicted of an intervention: {said}")
    return Judged("held" if came == outcome else "failed", f"{came}: {said}")


def status(verdicts: Iterable[Prediction]) -> Status:
    """Where a hypothesis stands after these."""
    decided = [one.verdict for one in verdicts if one.verdict in ("held", "failed")]
    held, failed = decided.count("held"), decided.count("failed")
    if failed >= 2 and failed > len(decided) / 3:
        return "refuted"
    if held >= 3 and failed <= len(decided) / 6:
        return "supported"
    return "inconclusive" if decided else "proposed"
