"""What was said and found in a debate, round by round, from the ledger: each claim beside the experiments that settled it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from dragoman.store.findings import Experiment, Hypothesis, Outcome, Prediction, TrailStep
from dragoman.store.trails import Trails

from .gauge import Gauged
from .standing import SEATS, Seat
from .verdicts import status


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Labelled(_Record):
    """A label that was held or offered."""

    called: str
    """For example H1."""
    name: str
    """At most eight words."""
    description: str
    """What it says."""
    pattern: str | None
    """The same as a rule."""
    author: str
    """Who made it."""
    parents: list[str]
    """The labels it was made from."""
    figure: str | None
    """Its figure on validation; None where it was not gauged."""
    held: int
    """Predictions that held."""
    failed: int
    """Predictions that failed."""
    status: str
    """Where that leaves it."""

    @property
    def on_validation(self) -> str:
        """The figure in words, or why there is none."""
        figure = self.figure or ""
        reason = figure.removeprefix("unscored: ")
        return f"unscored on validation: {reason}" if reason != figure else f"{figure} on validation"


class Settled(_Record):
    """One experiment of a debate."""

    called: str
    """For example E1."""
    by: Seat
    """Who proposed it."""
    kind: str
    """write or edit."""
    input: str
    """The text, or the change."""
    focus: str
    """The word that is looked at; empty for the whole text."""
    why: str
    """What it was to decide, in the words of its author."""
    said: dict[Seat, Outcome]
    """What each side predicted beforehand."""
    verdicts: dict[Seat, str]
    """What code says of it."""
    came: str
    """What came out."""
    point: Seat | None
    """Who won a point."""


class Answered(_Record):
    """What a side did after a round."""

    move: str
    """keep, amend, concede or merge; `no answer` where it could not be read."""
    reason: str
    """Why."""
    label: str | None = None
    """The label it made, or would have."""
    offer: str = ""
    """merge: the label for both in words, where it was not taken."""
    note: str = ""
    """What became of it, where that is not plain."""


class Round(_Record):
    """One round."""

    number: int
    """From 1."""
    labels: dict[Seat, str]
    """What each side held, for example H1."""
    experiments: list[Settled]
    """What was run."""
    refused: list[str]
    """Inputs that could not be run."""
    unable: dict[str, str]
    """Who had no answer to what, and why."""
    score: dict[Seat, int]
    """After the round."""
    turns: dict[Seat, Answered]
    """What each side did then."""


class Transcript(_Record):
    """A debate."""

    sides: dict[Seat, str]
    """Who sat there."""
    labels: list[Labelled]
    """All labels that were held or offered, in the order they were made."""
    rounds: list[Round]
    """In their order."""
    ended: str
    """Why it ended."""
    winner: Seat | None
    """Who was ahead."""
    label: str | None
    """The label that won; None for a draw."""
    verdict: str
    """In words."""
    cites: list[str]
    """Experiments that the verdict rests on."""
    by: str
    """Who wrote it."""
    instead: str
    """Why the arbiter did not."""


def transcript(trails: Trails, run: str, feature: int) -> Transcript | None:
    """The debate about a feature in a run; None where there was none, or it is not over."""
    steps = [step for step in trails.steps(run, feature) if step.node == "debate"]
    opened, over = _one(steps, "opened"), _one(steps, "verdict")
    if opened is None or over is None:
        return None
    hypotheses = {one.id: one for one in trails.hypotheses(run, feature)}
    experiments = {one.id: one for one in trails.experiments(run, feature)}
    predictions = trails.predictions(run, feature)
    rounds = [step.content for step in steps if step.content["debate"] == "round"]
    figures = _figures(trails.steps(run, feature))
    made = [opened.content["labels"], *(content["labels"] for content in rounds)]
    ids = {name for labels in made for name in labels.values()} | {name for content in rounds for name in content["hypotheses"]}
    labels = [
        _labelled(one, hypotheses, figures, [said for said in predictions if said.hypothesis == one.id])
        for one in hypotheses.values()
        if one.id in ids or one.id == over.content["label"]
    ]
    winner = hypotheses.get(over.content["label"])
    return Transcript(
        sides=opened.content["held by"],
        labels=labels,
        rounds=[_round(content, hypotheses, experiments, predictions) for content in rounds],
        ended=over.content["ended"],
        winner=over.content["winner"],
        label=winner.called if winner else None,
        verdict=over.content["text"],
        cites=over.content["cites"],
        by=over.content["by"],
        instead=over.content["instead"],
    )


def shown_input(experiment: Experiment) -> str:
    """What is run, as plain text."""
    if experiment.kind != "edit":
        return experiment.texts[0]
    if experiment.texts:
        return "{!r} becomes {!r}".format(*experiment.texts)
    edit = experiment.arguments["edits"][0]
    where = f"context {experiment.arguments['context']}, tokens {edit['start']} to {edit['stop'] - 1}"
    return f"{where} become {edit['text']!r}" if edit.get("text") else f"{where} are left out"


def _round(
    content: Mapping[str, Any],
    hypotheses: Mapping[str, Hypothesis],
    experiments: Mapping[str, Experiment],
    predictions: list[Prediction],
) -> Round:
    said = {(one.experiment, one.hypothesis): one for one in predictions}
    rows = []
    for exchange in content["exchanges"]:
        experiment = experiments[exchange["experiment"]]
        told = {seat: said[experiment.id, exchange["held"][seat]] for seat in SEATS}
        decided = (one.because for one in told.values() if one.because)
        rows.append(
            Settled(
                called=experiment.called,
                by=exchange["by"],
                kind=experiment.kind,
                input=shown_input(experiment),
                focus=experiment.focus,
                why=experiment.purpose,
                said={seat: one.outcome for seat, one in told.items()},
                verdicts={seat: one.verdict or "inconclusive" for seat, one in told.items()},
                came=experiment.reason or next(decided, "it was not run"),
                point=exchange["point"],
            )
        )
    turns: dict[Seat, Answered] = {}
    for seat in SEATS:
        if seat in content["turns"]:
            turns[seat] = _answered(content["turns"][seat], hypotheses)
        elif f"{seat} answers" in content["unable"]:
            turns[seat] = Answered(move="no answer", reason=content["unable"][f"{seat} answers"])
    return Round(
        number=content["of the debate"],
        labels={seat: hypotheses[content["labels"][seat]].called for seat in SEATS},
        experiments=rows,
        refused=content["refused"],
        unable=content["unable"],
        score=content["score"],
        turns=turns,
    )


def _answered(turn: Mapping[str, Any], hypotheses: Mapping[str, Hypothesis]) -> Answered:
    label = hypotheses.get(turn.get("hypothesis", ""))
    note = ""
    if "said before" in turn:
        note = f"{turn['said before']} says the same already"
    elif "accepted" in turn:
        note = f"{'accepted' if turn['accepted'] else 'refused'}: {turn['answer']}"
    elif "answer" in turn:
        note = turn["answer"]
    offer = "" if label else turn.get("offer", "")
    return Answered(move=turn["move"], reason=turn["reason"], label=label.called if label else None, offer=offer, note=note)


def _labelled(
    one: Hypothesis, hypotheses: Mapping[str, Hypothesis], figures: Mapping[str, str], told: list[Prediction]
) -> Labelled:
    return Labelled(
        called=one.called,
        name=one.name,
        description=one.description,
        pattern=one.pattern,
        author=one.author,
        parents=[hypotheses[name].called for name in one.parents if name in hypotheses],
        figure=figures.get(one.id),
        held=sum(said.verdict == "held" for said in told),
        failed=sum(said.verdict == "failed" for said in told),
        status=status(told),
    )


def _figures(steps: list[TrailStep]) -> dict[str, str]:
    return {name: str(Gauged(*figure)) for step in steps for name, figure in step.content.get("figures", {}).items()}


def _one(steps: list[TrailStep], kind: str) -> TrailStep | None:
    return next((step for step in steps if step.content["debate"] == kind), None)
