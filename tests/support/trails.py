"""A trail written by hand, with every kind of step, experiment and cost that there is, around words of one's choice."""

from __future__ import annotations

import json

from dragoman.store.calls import Calls
from dragoman.store.features import Store
from dragoman.store.findings import Experiment, ExperimentKind, Hypothesis, Node, Outcome, Prediction, TrailStep, Verdict
from dragoman.store.records import Label, Run
from dragoman.store.traffic import ModelCall
from dragoman.store.trails import Trails

CONFIG = {"explainer": "vllm:big", "judge": "pattern", "features": "0:24", "settings": {"rung": "experiments"}}
COSTS = [
    ("labeler/propose", 100, 0.5, False),
    ("gauge/propose/H1", 10, 0.25, True),
    ("labeler/design/1", 200, 1.0, False),
    ("labeler/foretell/1/H2", 20, 0.0, False),
    ("labeler/revise/1", 50, 0.25, False),
    ("gauge/revise/1/H3", 5, 0.0, False),
    ("debater/debate/1", 7, 0.0, False),
    ("something else", 3, 0.0, False),
]
"""Step, tokens, dollars, and whether it came from another run."""


def write_trail(
    store: Store, feature: int = 2, words: str = "birds", run: str = "labeling", label: bool = True, settle: bool = True
) -> str:
    """A run with a trail on one feature. words stand everywhere a model or a corpus could put them.

    settle: without it the work was stopped after the experiments of the first round were planned.
    """
    store.ledger.start_run(Run(id=run, kind="label", config=json.dumps(CONFIG), status="running"))
    train = store.train_view()
    shown = [example.context.id for example in train.examples(feature, "top", 3)]
    silent = [example.context.id for example in train.examples(feature, "near_miss", 2)]
    one, two = _claim(run, feature, 1, words), _claim(run, feature, 2, f"not {words}")
    three = _claim(run, feature, 3, f"small {words}").model_copy(update={"parents": (one.id, two.id), "round": 1})
    wrote = _planned(run, feature, 1, "write", "activate", {"texts": [f"A {words} sings."]}, words, focus="sings")
    edited = _planned(
        run,
        feature,
        2,
        "edit",
        "edit_and_compare",
        {"context": shown[0], "edits": [{"kind": "substitute", "start": 1, "stop": 2, "text": words}], "position": 3},
        words,
    )
    odd = _planned(run, feature, 3, "write", "activate", {"nothing": "known"}, words)
    look = _planned(run, feature, 4, "look", "search_labels", {"words": words}, "")
    trails = Trails(store.ledger.path)
    steps: list[tuple[Node, dict[str, object]]] = [
        (
            "gather",
            {
                "shown": [
                    {"tool": "feature_stats", "arguments": {}, "contexts": []},
                    {"tool": "top_examples", "arguments": {"stratum": "top", "n": 3}, "contexts": shown},
                    {"tool": "top_examples", "arguments": {"stratum": "near_miss", "n": 2}, "contexts": silent},
                ],
                "read": 5,
            },
        ),
        (
            "propose",
            {
                "hypotheses": [one.id, two.id],
                "figures": {one.id: ["pattern.r", 0.5, 40, 0.4, 0.6, None], two.id: ["pattern.r", None, 0, None, None, words]},
                "confidence": 66,
                "fits a neighbour": False,
                "next": "design",
            },
        ),
        ("design", {"round": 1, "experiments": [wrote.id, edited.id, odd.id, look.id], "refused": [f"write: no {words}"]}),
    ]
    trails.propose([one, two])
    said = [_said(wrote, one, "fires"), _said(wrote, two, "silent"), _said(edited, one, "weaker"), _said(edited, two, "unsure")]
    trails.plan([wrote, edited, odd, look], said)
    if settle:
        trails.propose([three])
        tokens, values = ["A ", words, " sings", "."], [0.0, 0.5, 2.0, 0.0]
        result = {"value": 2.0, "threshold": 0.4, "tokens": tokens, "values": values}
        trails.settle(
            wrote.model_copy(update={"result": result, "forwarded": 4}),
            [_judged(said[0], "held", "fires: 2, and it fires above 0.4"), _judged(said[1], "failed", f"fires: 2, {words}")],
        )
        why = f"the token is gone: {words}"
        trails.settle(edited.model_copy(update={"reason": why}), [_judged(one, "inconclusive", why) for one in said[2:]])
        trails.settle(look.model_copy(update={"result": {"text": f"2 labels:\n{words}"}, "read": 2}), [])
        trails.judge({one.id: "supported", two.id: "refuted"})
        trails.add_note(run, feature, f"Looks like {words}.")
        steps += [
            (
                "revise",
                {
                    "round": 1,
                    "matched": {one.id: {"precision": 0.5, "recall": 0.25, "r": None}},
                    "statuses": {one.id: "supported", two.id: "refuted"},
                    "dropped": [two.id],
                    "hypotheses": [three.id],
                    "figures": {three.id: ["pattern.r", 0.75, 40, 0.7, 0.8, None]},
                    "read": 2,
                    "confidence": 80,
                    "gained": True,
                    "unable": None,
                    "next": "debate",
                },
            ),
            (
                "debate",
                {
                    "debate": "round",
                    "round": 1,
                    "labels": {"A": one.id, "B": two.id},
                    "held by": {"A": "vllm:big", "B": words},
                    "exchanges": [{"experiment": wrote.id, "by": "A", "held": {"A": one.id, "B": two.id}, "point": "A"}],
                    "refused": [f"write: no {words}"],
                    "unable": {"B proposes": f"no answer about {words}"},
                    "score": {"A": 1, "B": 0},
                    "turns": {
                        "A": {"move": "merge", "reason": words, "hypothesis": three.id, "accepted": False, "answer": words},
                        "B": {"move": "keep", "reason": words},
                    },
                    "ended": "all 1 rounds",
                },
            ),
            ("score", {"chosen": three.id, "figure": "pattern.r 0.750", "why": f"best: {words}", "ended": "2 rounds"}),
        ]
        if label:
            made = Label(
                id=f"label-{run}-{feature}",
                feature=feature,
                run=run,
                name=words,
                description=words,
                agent="labeler",
                confidence=0.75,
            )
            store.ledger.add_label(made)
            steps.append(("record", {"label": made.id}))
        else:
            store.ledger.add_failure(run, feature, "label", f"nothing speaks for {words}")
            steps.append(("record", {"label": None, "reason": f"nothing speaks for {words}"}))
    for ordinal, (node, content) in enumerate(steps):
        trails.add_step(TrailStep(run=run, feature=feature, ordinal=ordinal, node=node, content=content))
    trails.close()
    _spend(store, run, feature)
    return run


def _claim(run: str, feature: int, ordinal: int, words: str) -> Hypothesis:
    return Hypothesis(
        id=f"{run}-{feature}-h{ordinal}",
        run=run,
        feature=feature,
        round=0,
        ordinal=ordinal,
        side="input",
        name=words[:60],
        description=f"Fires on {words}.",
        pattern=f'strongly: "{words}"',
        author="labeler",
    )


def _planned(
    run: str, feature: int, ordinal: int, kind: ExperimentKind, tool: str, arguments: dict[str, object], why: str, focus: str = ""
) -> Experiment:
    return Experiment(
        id=f"{run}-{feature}-e{ordinal}",
        run=run,
        feature=feature,
        round=1,
        ordinal=ordinal,
        kind=kind,
        tool=tool,
        arguments=arguments,
        focus=focus,
        purpose=why,
        author="labeler",
    )


def _said(experiment: Experiment, hypothesis: Hypothesis, outcome: Outcome) -> Prediction:
    return Prediction(experiment=experiment.id, hypothesis=hypothesis.id, outcome=outcome)


def _judged(said: Prediction, verdict: Verdict, because: str) -> Prediction:
    return said.model_copy(update={"verdict": verdict, "because": because})


def _spend(store: Store, run: str, feature: int) -> None:
    calls = Calls(store.ledger.path)
    for number, (step, tokens, cost, hit) in enumerate(COSTS):
        call = ModelCall(
            id=f"{run}-{feature}-{number}",
            run=run,
            feature=feature,
            step=step,
            ordinal=0,
            attempt=0,
            key=f"{run}-{number}",
            model="vllm:big",
            request="{}",
            reply="{}",
            status="settled",
            tokens=tokens,
            cost=cost,
            hit=hit,
            started="2026-01-01T00:00:00+00:00",
        )
        calls.write([call])
    calls.close()
