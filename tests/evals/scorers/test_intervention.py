"""Which continuations belong to a label: planted effects, controls, and readers of which it is known what they are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from scipy import stats

from dragoman.evals.judge.reader import Chosen, Passage, Reader, Step
from dragoman.evals.judge.scripted import Agreeing, Copying, Guessing, Refusing
from dragoman.evals.scorers.intervention import NAMES, Question, Sizes, ask, ask_about, draw_prompts, score
from dragoman.evals.scorers.laboratory import Steer
from dragoman.evals.scorers.measure import Measure
from dragoman.store.errors import UserError
from dragoman.store.records import Label
from tests.support.planted import NAMES as FEATURES
from tests.support.planted import PlantedLaboratory, PlantedWorld


def asked(
    reader: Reader, claim: str, planted: PlantedWorld, laboratory: PlantedLaboratory, feature: int = 0, sizes: Sizes | None = None
) -> dict[str, Measure]:
    step = Step(feature, "score/label/intervention")
    measures = asyncio.run(ask(reader, claim, planted.exam(feature), laboratory, step, "output claim", sizes))
    assert tuple(m.scorer for m in measures) == NAMES
    return {m.scorer: m for m in measures}


class Recording(Copying):
    """Copies the order, and keeps what it is shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, tuple[str, ...]]] = []

    async def choose(self, claim: str, task: Literal["passage", "continuations"], options: Sequence[str], step: Step) -> Chosen:
        assert task == "continuations"
        self.shown.append((step.name, tuple(options)))
        return await super().choose(claim, task, options, step)


def test_who_knows_the_truth_finds_planted_effects_and_nothing_in_the_control(
    planted: PlantedWorld, laboratory: PlantedLaboratory
) -> None:
    reader = planted.reader()
    right, control, shuffled = [], [], []
    for feature in range(len(FEATURES)):
        own = asked(reader, planted.claim(feature), planted, laboratory, feature)
        right.append(own[NAMES[0]].value)
        control.append(own[NAMES[1]].value)
        shuffled.append(asked(reader, planted.other(feature), planted, laboratory, feature)[NAMES[0]].value)
        assert "read from the output claim" in own[NAMES[0]].flags and "chance 1/4" in own[NAMES[0]].flags
    assert np.mean(np.array(right, float)) > 0.95, right
    assert np.mean(np.array(control, float)) == pytest.approx(0.25, abs=0.05), control
    assert np.mean(np.array(shuffled, float)) == pytest.approx(0.25, abs=0.1), shuffled


@pytest.mark.parametrize("effect", [0.0, 0.5])
def test_the_score_follows_the_planted_probability(planted: PlantedWorld, effect: float) -> None:
    """One continuation an option: right where the effect shows, at chance where it does not."""
    sizes = Sizes(questions=150, texts=1)
    laboratory = PlantedLaboratory(planted, effect)
    found = asked(planted.reader(), planted.claim(0), planted, laboratory, 0, sizes)[NAMES[0]]
    assert found.value == pytest.approx(effect + (1 - effect) / 4, abs=0.1)


def test_readers_without_an_opinion_are_at_chance(planted: PlantedWorld, laboratory: PlantedLaboratory) -> None:
    for reader in (Agreeing(), Copying(), Guessing()):
        for measure in asked(reader, "anything", planted, laboratory, 2, Sizes(questions=100)).values():
            assert measure.n == 100 and measure.low is not None and measure.high is not None
            assert measure.value == pytest.approx(0.25, abs=0.12), reader.name
            assert ("constant prediction" in measure.flags) == (reader.name != "scripted:guessing")
    refused = asked(Refusing(), "anything", planted, laboratory, 2)
    assert refused[NAMES[0]].unscored == "too few readable answers: 16 of 16 unreadable: the judge refused"


def test_options_are_steered_as_stated_and_mixed(planted: PlantedWorld, laboratory: PlantedLaboratory) -> None:
    reader = Recording()
    asked(reader, "anything", planted, laboratory, 3)
    shown = dict(reader.shown)
    assert len(shown) == len(reader.shown) and set(shown) == {
        f"score/label/intervention/{name}/{n}" for name in ("accuracy", "control") for n in range(16)
    }
    assert all(len(options) == 4 and all(option.count("\n") == 2 for option in options) for options in shown.values())
    steers = {steer for steer in laboratory.steered if steer}
    assert {s.feature for s in steers if s.random is None} > {3}, "the feature and others"
    assert len({s.random for s in steers if s.random is not None}) == 8, "four to be told from, four as targets of the control"
    for n in range(16):
        main, control = (shown[f"score/label/intervention/{name}/{n}"] for name in ("accuracy", "control"))
        assert len(set(main) & set(control)) == 3, "the control differs in the target alone"
    again = Recording()
    asked(again, "something else", planted, laboratory, 3)
    assert again.shown == reader.shown, "the same questions whatever is claimed"


def test_asking_ends_when_the_interval_is_narrow(planted: PlantedWorld, laboratory: PlantedLaboratory) -> None:
    exam, step = planted.exam(1), Step(1, "score/label/intervention")
    asking = ask(planted.reader(), planted.claim(1), exam, laboratory, step, sizes=Sizes(questions=60), width=0.4)
    main, control = asyncio.run(asking)
    assert main.n == 8 and "stopped early: 8 of 60 asked" in main.flags and control.n > 8
    for measure in (main, control):
        assert measure.low is not None and measure.high is not None and measure.high - measure.low <= 0.4


def test_prompts_are_of_the_split_one_a_document_and_the_same_for_every_feature(planted: PlantedWorld) -> None:
    prompts = draw_prompts(planted.tokens, Sizes(), 0)
    assert len(prompts) == 48 and all(len(p.ids) == len(p.strings) == 12 for p in prompts)
    tokens = planted.tokens
    begins = {tuple(tokens.ids[a : a + 12].tolist()): d for a, d in zip(tokens.starts[:-1], tokens.document, strict=True)}
    assert len({begins[p.ids] for p in prompts}) >= 46, "two documents may begin alike"
    assert prompts != draw_prompts(tokens, Sizes(), 1)


def test_accuracy_agrees_with_an_independent_count() -> None:
    rng = np.random.default_rng(0)
    questions = [Question(("a", "b", "c"), int(rng.integers(3))) for _ in range(40)]
    chosen = [Chosen(tuple(rng.choice([0.2, 0.4, 0.4], 3)), "log-probabilities") for _ in range(38)]
    hits = 0.0
    for question, answer in zip(questions, chosen, strict=False):
        assert answer.probabilities is not None
        best = [i for i in range(3) if answer.probabilities[i] == max(answer.probabilities)]
        hits += (question.right in best) / len(best)
    measure = score("x", questions, [*chosen, *[Chosen(None, "", "lost")] * 2])
    assert measure.value == pytest.approx(hits / 38) and measure.n == 38
    assert measure.flags == ("2 of 40 unreadable: lost", "read from log-probabilities")
    z, p, n = stats.norm.ppf(0.975), hits / 38, 38
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    assert (measure.low, measure.high) == pytest.approx((middle - half, middle + half))


def test_reasons_instead_of_figures(planted: PlantedWorld, laboratory: PlantedLaboratory) -> None:
    few = asked(Copying(), "anything", planted, PlantedLaboratory(planted, rivals=(0, 1)), 0)
    assert few[NAMES[0]].unscored == "too few other live features (1, at least 2 are needed)"
    no_room = asked(Copying(), "anything", planted, laboratory, 0, replace(Sizes(), prefix=64))
    assert no_room[NAMES[1]].unscored == "too few contexts to begin from (0, at least 15 are needed)"
    weak = asked(Copying(), "anything", planted, PlantedLaboratory(planted, reached=0.1), 0)
    assert weak[NAMES[0]].unscored == "steering changes too little (KL 0.1 nats at strength 1)"


class Stuck(PlantedLaboratory):
    """Cannot steer."""

    async def continuations(self, prompts: Sequence[Passage], steer: Steer | None, tokens: int, seed: int) -> list[str]:
        raise UserError("Prompts are too long.")


def test_a_feature_that_cannot_be_steered_does_not_end_the_run(planted: PlantedWorld) -> None:
    found = asked(Copying(), "anything", planted, Stuck(planted), 0)
    assert found[NAMES[0]].unscored == found[NAMES[1]].unscored == "not to be steered: Prompts are too long."


def test_what_a_label_is_asked_about() -> None:
    label = Label(id="1", feature=0, run="r", name="n", description="fires on owls", agent="a")
    assert ask_about(label) == ("fires on owls", "description")
    assert ask_about(label.model_copy(update={"output_claim": "says owl"})) == ("says owl", "output claim")
