"""A small store with labels, scores and a judge's answers, for export."""

from __future__ import annotations

import json
from pathlib import Path

from dragoman.store.features import Store
from dragoman.store.records import Facet, JudgeAnswer, Label, Run, Score
from tests.support.synthetic import make_store

LABELING, OTHER, SCORING = "labeling-run", "other-run", "scoring-run"


def rich_store(path: Path) -> Store:
    """A synthetic store whose first 12 features are labeled and scored."""
    store = make_store(path)
    config = json.dumps({"features": "0:24"})
    runs = [Run(id=name, kind="label", config=config, status="done") for name in (OTHER, LABELING)]
    runs.append(Run(id=SCORING, kind="score", config=json.dumps({"labels": LABELING}), status="done"))
    labels = [label(feature, run) for run in (OTHER, LABELING) for feature in range(12)]
    scores = [score for feature in range(12) for score in _scores(feature)]
    answers = [answer for feature in range(4) for answer in _answers(store, feature)]
    store.ledger.record(runs=runs, labels=labels, scores=scores, answers=answers)
    return store


def label(feature: int, run: str = LABELING) -> Label:
    """A label with every field."""
    return Label(
        id=f"{run}/{feature}",
        feature=feature,
        run=run,
        name=f"name {feature}",
        description=f"fires on the word number {feature} ({run})",
        facets=(Facet(description="a facet", pattern='token " a"'), Facet(description="another")),
        pattern=f'token " {feature}"',
        output_claim="says <b>so</b>",
        agent="labeler",
        model="vllm:big",
        evidence=(3, 1),
        experiments=("e1",),
        prompt="p",
        confidence=0.75,
        notes=json.dumps({"train": {"r": 0.5}}),
    )


def _scores(feature: int) -> list[Score]:
    def made(scorer: str, value: float | None, contestant: str = "label") -> Score:
        name = f"{LABELING}/{feature}" if contestant == "label" else f"{contestant}/{feature}"
        return Score(
            label=name,
            feature=feature,
            run=SCORING,
            scorer=scorer,
            judge="vllm:judge",
            contestant=contestant,
            split="test",
            value=value,
            low=None if value is None else value - 0.1,
            high=None if value is None else value + 0.1,
            n=40,
            unscored="rare" if value is None else None,
            flags=("sampled",),
        )

    return [
        made("detection.auroc", 0.5 + feature / 100),
        made("fuzzing.auroc", None),
        made("detection.auroc", 0.4, "shuffled"),
    ]


def _answers(store: Store, feature: int) -> list[JudgeAnswer]:
    """Answers about test windows; the second positive could not be read, and one is neither."""
    fires = [context for context, _, _ in store.top(feature, "test", 200)]
    fires = list(dict.fromkeys(fires))[:4]
    every = store.tokens("test").context_ids.tolist()
    active = {context for context, _, _ in store.top(feature, "test", 10_000)}
    silent = [context for context in every if context not in active][:4]
    made = []
    for item, context in enumerate([*fires, *silent]):
        truth: bool | None = item < len(fires)
        made.append(
            JudgeAnswer(
                run=SCORING,
                feature=feature,
                contestant="label",
                score="detection",
                item=item,
                context=context,
                truth=None if item == 0 else truth,
                probability=None if item == 1 else (0.9 if truth else 0.05 * item),
                way="log-probabilities",
                unscored="no answer" if item == 1 else None,
            )
        )
    return made
