"""Texts written from a label: figures on planted features, and readers of which it is known what they are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from dragoman.evals.judge.reader import Reader, Step, Written
from dragoman.evals.judge.scripted import Agreeing, Copying, Guessing, Refusing
from dragoman.evals.scorers.generation import NAMES, ask, kept, score
from dragoman.evals.scorers.measure import Measure
from tests.support.planted import NAMES as FEATURES
from tests.support.planted import PlantedLaboratory, PlantedWorld


class Writing(Refusing):
    """Writes given texts."""

    def __init__(self, on: Sequence[str], off: Sequence[str]) -> None:
        self.on, self.off = on, off
        self.steps: list[str] = []

    async def write(self, claim: str, fires: bool, n: int, step: Step) -> Written:
        self.steps.append(step.name)
        return Written(tuple(self.on if fires else self.off)[:n])


def asked(reader: Reader, claim: str, planted: PlantedWorld, laboratory: PlantedLaboratory, feature: int) -> dict[str, Measure]:
    measures = asyncio.run(ask(reader, claim, planted.exam(feature), laboratory, Step(feature, "score/label/generation")))
    assert tuple(m.scorer for m in measures) == NAMES
    return {m.scorer: m for m in measures}


def test_who_knows_the_truth_scores_one_and_with_a_shuffled_label_at_chance(
    planted: PlantedWorld, laboratory: PlantedLaboratory
) -> None:
    reader = planted.reader()
    shuffled = []
    for feature in range(len(FEATURES)):
        own = asked(reader, planted.claim(feature), planted, laboratory, feature)
        assert [own[name].value for name in NAMES] == [1, 1, 1], FEATURES[feature]
        assert own[NAMES[0]].n == 10 and own[NAMES[1]].n == 20
        other = asked(reader, planted.other(feature), planted, laboratory, feature)
        shuffled.append([other[name].value for name in NAMES])
    rate, area, _ = np.mean(np.array(shuffled, float), axis=0)
    assert rate < 0.3 and area == pytest.approx(0.5, abs=0.12)


def test_figures_agree_with_independent_ones() -> None:
    rng = np.random.default_rng(3)
    on, off = rng.integers(0, 5, 13).astype(np.float32), rng.integers(0, 4, 9).astype(np.float32)
    rate, area, specificity = score(on, off, 2.0, 0, 0)
    assert rate.value == pytest.approx(sum(v > 2 for v in on) / 13) and rate.n == 13
    assert specificity.value == pytest.approx(sum(v <= 2 for v in off) / 9) and specificity.n == 9
    for measure, hits, n in ((rate, int((on > 2).sum()), 13), (specificity, int((off <= 2).sum()), 9)):
        reference = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
        assert (measure.low, measure.high) == pytest.approx((reference.low, reference.high))
    u = sum((a > b) + 0.5 * (a == b) for a in on.astype(float) for b in off.astype(float))
    assert area.value == pytest.approx(u / (13 * 9)) and area.n == 22
    assert area.low is not None and area.high is not None and area.low < u / (13 * 9) < area.high


def test_other_readers_come_out_as_what_they_are(planted: PlantedWorld, laboratory: PlantedLaboratory) -> None:
    claim = planted.claim(0)
    same = asked(Agreeing(), claim, planted, laboratory, 0)
    wanted = "too few texts that should fire (1, at least 5 are needed): 9 duplicates"
    assert same[NAMES[0]].unscored == same[NAMES[1]].unscored == wanted
    assert same[NAMES[2]].unscored == "too few texts that should not fire (0, at least 5 are needed): 10 duplicates"
    copies = asked(Copying(), claim, planted, laboratory, 0)
    assert copies[NAMES[0]].unscored == "too few texts that should fire (0, at least 5 are needed): 10 copies of the claim"
    refusing = asked(Refusing(), claim, planted, laboratory, 0)
    assert refusing[NAMES[2]].unscored == "too few texts that should not fire (0, at least 5 are needed): the judge refused"
    letters = asked(Guessing(), claim, planted, laboratory, 0)
    assert letters[NAMES[0]].value == 0 and letters[NAMES[1]].value == 0.5 and letters[NAMES[2]].value == 1


def test_a_vague_writer_pays_with_specificity(planted: PlantedWorld, laboratory: PlantedLaboratory) -> None:
    """Whoever names the concept in every text triggers always, and never writes a text that does not."""
    on, off = ([f"{lead} {form}." for form in planted.forms[1]] for lead in ("We went to", "Nobody went to"))
    reader = Writing(on, off)
    found = asked(reader, "places", planted, laboratory, 1)
    assert (found[NAMES[0]].value, found[NAMES[1]].value, found[NAMES[2]].value) == (1, 0.5, 0)
    assert reader.steps == ["score/label/generation/fires", "score/label/generation/silent"]


def test_only_one_sort_of_text_leaves_the_other_figure(planted: PlantedWorld, laboratory: PlantedLaboratory) -> None:
    on = [f"A sentence about {form} and more." for form in planted.forms[1][:6]]
    found = asked(Writing(on, ["One.", "one", " ONE. "]), "states", planted, laboratory, 1)
    assert found[NAMES[0]].value == 1 and found[NAMES[0]].flags == ("2 duplicates left out",)
    assert found[NAMES[1]].value is None and found[NAMES[2]].value is None
    assert found[NAMES[2]].unscored == "too few texts that should not fire (1, at least 5 are needed): 2 duplicates"


def test_length_buys_nothing(planted: PlantedWorld, laboratory: PlantedLaboratory) -> None:
    filler = "so it went on and on " * 20
    texts = [f"{i} {filler} {form}" for i, form in enumerate(planted.forms[1])]
    found = asked(Writing(texts, [f"{i} and nothing" for i in range(9)]), "states", planted, laboratory, 1)
    assert found[NAMES[0]].value == 0 and "10 texts cut to a window" in found[NAMES[0]].flags


def test_texts_are_kept_once_and_claims_never() -> None:
    claim = "Names of birds of prey."
    written = ["An owl", "an  OWL.", "", "  ", "Here: names of birds of prey", "An eagle", "names of birds of prey"]
    assert kept(written, claim, ["An Eagle"]) == (["An owl"], 2, 2, 2)
    assert kept(["the owl sat", "owl"], "owl").texts == ["the owl sat"], "a claim of one word may stand in a text"


def test_a_feature_fires_above_its_threshold_and_not_at_it() -> None:
    rate, _, specificity = score(np.full(5, 0.5, np.float32), np.full(5, 0.5, np.float32), 0.5, 0, 0)
    assert rate.value == 0 and specificity.value == 1
