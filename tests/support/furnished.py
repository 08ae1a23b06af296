"""A ledger with everything that pages show: two labeling runs, scores of both, a trail, and a debate."""

from __future__ import annotations

import json

import numpy as np

from dragoman.store.features import Store
from dragoman.store.findings import Experiment, Hypothesis, Outcome, Prediction, TrailStep
from dragoman.store.records import Failure, JudgeAnswer, Label, Run, Score
from dragoman.store.trails import Trails

from .trails import write_trail

FIRST, SECOND, JUDGED, TRAIL, DEBATE = "aaaa000000000001", "aaaa000000000002", "bbbb000000000001", "labeling", "dddd000000000001"
HUGE = "eeee000000000001"
"""A run whose one label, of feature 22, is a megabyte without a blank."""
LABELED = range(12)


def furnish(store: Store, words: str = "birds") -> None:
    """Write it. words stand everywhere a model or a corpus could put them."""
    ledger = store.ledger
    for place, run in enumerate((FIRST, SECOND)):
        config = json.dumps({"explainer": "induction" if place else words, "seed": place, "features": "0:24"})
        ledger.start_run(Run(id=run, kind="label", config=config, status="running"))
        ledger.record(
            labels=[
                Label(
                    id=f"{run}-{feature}",
                    feature=feature,
                    run=run,
                    name=f"{words} {place} {feature}",
                    description=f"Fires on {words}.",
                    pattern=f'strongly: "{words}"',
                    output_claim=words,
                    agent="induction",
                    confidence=0.5,
                )
                for feature in LABELED
            ],
            failures=[Failure(run=run, feature=20, step="label", reason=f"unscored: rare: {words}")],
        )
        ledger.finish_run(run)
    write_trail(store, words=words)
    config = json.dumps({"judge": "pattern", "labels": FIRST, "features": "0:24"})
    ledger.start_run(Run(id=JUDGED, kind="score", config=config, status="running"))
    ledger.record(scores=_scores(), answers=_answers(store))
    ledger.finish_run(JUDGED)
    _debate(store, words)
    ledger.start_run(Run(id=HUGE, kind="label", config=json.dumps({"explainer": "e" * 10_000, "features": "22"}), status="done"))
    huge = "\u202ex" * 500_000
    ledger.add_label(
        Label(id=f"{HUGE}-22", feature=22, run=HUGE, name=huge, description=huge, pattern=huge, output_claim=huge, agent=huge)
    )


def _scores() -> list[Score]:
    """The first run's labels do better by a tenth than the second's, on every feature."""
    return [
        Score(
            label=f"{run}-{feature}",
            feature=feature,
            run=JUDGED if place == 0 else f"{JUDGED[:-1]}2",
            scorer="detection.auroc",
            judge="pattern",
            contestant="label",
            split="test",
            value=0.8 + feature / 100 - 0.1 * place,
            low=0.5,
            high=0.95,
            n=40,
        )
        for place, run in enumerate((FIRST, SECOND))
        for feature in LABELED
    ]


def _answers(store: Store) -> list[JudgeAnswer]:
    """On feature 0 the first label is always right, the second as often wrong."""
    contexts = [
        int(row["context"]) for row in store.sql("SELECT context FROM context WHERE split = 'test' ORDER BY context LIMIT 20")
    ]
    random = np.random.default_rng(0)
    return [
        JudgeAnswer(
            run=run,
            feature=0,
            contestant="label",
            score="detection",
            item=item,
            context=context,
            truth=item % 2 == 0,
            probability=(0.9 if item % 2 == 0 else 0.1) if place == 0 else float(random.random()),
            way="read",
            unscored=None,
        )
        for place, run in enumerate((JUDGED, f"{JUDGED[:-1]}2"))
        for item, context in enumerate(contexts)
    ]


def _debate(store: Store, words: str) -> None:
    store.ledger.start_run(
        Run(id=DEBATE, kind="debate", config=json.dumps({"explainer": "induction", "features": "3"}), status="done")
    )
    labels = [
        Hypothesis(
            id=f"{DEBATE}-h{number}",
            run=DEBATE,
            feature=3,
            round=0,
            ordinal=number,
            side="input",
            name=words[:60],
            description=f"{number}: {words}",
            pattern=None,
            author="induction",
        )
        for number in (1, 2)
    ]
    experiment = Experiment(
        id=f"{DEBATE}-e1",
        run=DEBATE,
        feature=3,
        round=1,
        ordinal=1,
        kind="write",
        tool="activate",
        arguments={"texts": [f"the {words} sings"]},
        focus=words,
        purpose=words,
        author="induction",
    )
    outcomes: tuple[Outcome, Outcome] = ("fires", "silent")
    said = [
        Prediction(experiment=experiment.id, hypothesis=one.id, outcome=out) for one, out in zip(labels, outcomes, strict=True)
    ]
    held = {"A": labels[0].id, "B": labels[1].id}
    trails = Trails(store.ledger.path)
    trails.propose(labels)
    trails.plan([experiment], said)
    result = {"value": 2.0, "threshold": 0.4, "tokens": ["the", words], "values": [0.0, 2.0]}
    trails.settle(
        experiment.model_copy(update={"result": result}),
        [
            said[0].model_copy(update={"verdict": "held", "because": "fires: 10"}),
            said[1].model_copy(update={"verdict": "failed", "because": words}),
        ],
    )
    steps = [
        {"debate": "opened", "round": 0, "labels": held, "held by": {"A": "induction", "B": words}, "figures": {}},
        {
            "debate": "round",
            "round": 1,
            "of the debate": 1,
            "labels": held,
            "held by": {"A": "induction", "B": words},
            "experiments": [experiment.id],
            "exchanges": [{"experiment": experiment.id, "by": "A", "held": held, "point": "A"}],
            "refused": [words],
            "unable": {"A proposes": words},
            "score": {"A": 1, "B": 0},
            "turns": {"B": {"move": "concede", "reason": words}},
            "hypotheses": [],
            "figures": {},
        },
        {
            "debate": "verdict",
            "round": 1,
            "winner": "A",
            "label": labels[0].id,
            "text": f"A is right: {words}",
            "cites": ["E1"],
            "by": "code",
            "instead": "",
            "score": {"A": 1, "B": 0},
            "ended": words,
        },
    ]
    for ordinal, content in enumerate(steps):
        trails.add_step(TrailStep(run=DEBATE, feature=3, ordinal=ordinal, node="debate", content=content))
    trails.close()
