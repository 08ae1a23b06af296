"""An experiment is run, and code says what came out of it for every prediction."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from math import log
from typing import Any

from dragoman.store.errors import ToolError
from dragoman.store.findings import Experiment, Prediction

from .office import Office
from .planning import core
from .verdicts import Judged, Moved, Seen, judge

LEAST = 1e-9
"""Probabilities below count as this one."""
KEPT = 4000
"""Characters of a result's text that are kept for looks."""


async def run(office: Office, feature: int, experiment: str) -> None:
    """Run one experiment and write its verdicts; nothing happens where that was done already."""
    planned, predictions = office.trails.experiment(experiment)
    if planned.settled:
        return
    case = await office.case(feature)
    try:
        result = await asyncio.to_thread(case.toolbox.call, planned.tool, planned.arguments)
        seen = None if planned.kind == "look" else read(planned, result.data)
    except ToolError as error:
        office.trails.settle(planned.model_copy(update={"reason": str(error)}), _undecided(predictions, str(error)))
        return
    if seen is None:
        kept: dict[str, Any] = {"text": result.text[:KEPT]}
        verdicts: list[Prediction] = []
    else:
        kept = summary(planned, result.data, seen)
        verdicts = [_judged(one, judge(one.outcome, seen)) for one in predictions]
    done = planned.model_copy(update={"result": kept, "forwarded": result.forwarded, "read": result.read})
    office.trails.settle(done, verdicts)


def read(experiment: Experiment, data: Mapping[str, Any]) -> Seen | Moved:
    """What a tool's data show at the word that is looked at. Raises ToolError where it is not there."""
    if experiment.kind == "write":
        found = data["texts"][0]
        return Seen(at_word(found["tokens"], found["values"], experiment.focus), float(data["threshold"]))
    if experiment.tool == "activate":  # a text of the author's own, before and after
        before, after = (at_word(one["tokens"], one["values"], experiment.focus) for one in data["texts"])
        return Seen(after, float(data["threshold"]), before)
    if experiment.kind == "edit":
        after = data["variants"][0]["after"]
        if after is None:
            raise ToolError("the token that is looked at is gone after the edit")
        return Seen(float(after), float(data["threshold"]), float(data["before"]))
    (found,) = data["watched"]
    control = data.get("control", {}).get("watched")
    return Moved(_nats(found), _nats(control[0]) if control else 0.0)


def _nats(watched: Mapping[str, Any]) -> float:
    """Change of a token's log-probability."""
    return log(max(float(watched["after"]), LEAST)) - log(max(float(watched["before"]), LEAST))


def at_word(tokens: Sequence[str], values: Sequence[float], word: str) -> float:
    """The largest activation on the tokens that touch a word, wherever it stands; of the whole text, where no word is named.

    Raises ToolError where the word does not stand in the text.
    """
    word = core(word)
    if not word:
        return float(max(values, default=0.0))
    text, best, found = "".join(tokens), 0.0, False
    for at in (at for at in range(len(text)) if text.startswith(word, at)):
        begin = 0
        for token, value in zip(tokens, values, strict=True):
            if begin < at + len(word) and begin + len(token) > at:
                best, found = max(best, float(value)), True
            begin += len(token)
    if not found:
        raise ToolError(f"the word {word!r} does not stand in the text")
    return best


def summary(experiment: Experiment, data: Mapping[str, Any], seen: Seen | Moved) -> dict[str, Any]:
    """What is kept of a result: the figures behind the verdict, and the tokens with their activations."""
    kept: dict[str, Any] = {key: value for key, value in seen._asdict().items() if value is not None}
    if experiment.tool == "activate":
        kept |= {"tokens": data["texts"][-1]["tokens"], "values": data["texts"][-1]["values"]}
    elif experiment.kind == "edit":
        variant = data["variants"][0]
        kept |= {"edits": variant["edits"], "tokens": variant["tokens"], "values": variant["values"]}
    return kept


def _judged(prediction: Prediction, found: Judged) -> Prediction:
    return prediction.model_copy(update={"verdict": found.verdict, "because": found.because})


def _undecided(predictions: Sequence[Prediction], reason: str) -> list[Prediction]:
    return [_judged(one, Judged("inconclusive", f"it could not be run: {reason}")) for one in predictions]
