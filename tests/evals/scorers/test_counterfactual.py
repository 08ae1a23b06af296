"""Small edits of firing passages: figures on planted features, and readers of which it is known what they are."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import numpy as np
import pytest

from dragoman.evals.judge.reader import Answer, Passage, Reader, Step
from dragoman.evals.judge.scripted import Agreeing, Copying, Guessing, Refusing
from dragoman.evals.scorers.counterfactual import NAMES, Questions, Sizes, ask, draw_pairs, figures, score
from dragoman.evals.scorers.laboratory import Altered
from dragoman.evals.scorers.measure import Measure
from dragoman.evals.statistics import auroc_interval
from tests.support.planted import NAMES as FEATURES
from tests.support.planted import PlantedLaboratory, PlantedWorld


def asked(
    reader: Reader, claim: str, planted: PlantedWorld, laboratory: PlantedLaboratory, feature: int = 0
) -> dict[str, Measure]:
    step = Step(feature, "score/label/counterfactual")
    measures = asyncio.run(ask(reader, claim, planted.exam(feature), laboratory, step))
    assert tuple(m.scorer for m in measures) == NAMES
    return {m.scorer: m for m in measures}


class Recording(Agreeing):
    """Says yes, and keeps what it is shown."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    async def detect(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Answer]:
        self.shown += [passage.text for passage in passages]
        return await super().detect(claim, passages, step)


class Fixed(PlantedLaboratory):
    """Makes the same edit over and over, as often as it is asked."""

    async def alter(self, feature: int, passage: Passage, most: int, seed: int) -> list[Altered]:
        return [Altered(self.world.passage(f"{passage.text} {n} more words"), "words after it") for n in range(most)]


def test_who_knows_the_truth_scores_one_and_with_a_shuffled_label_at_chance(
    planted: PlantedWorld, laboratory: PlantedLaboratory
) -> None:
    reader, shuffled = planted.reader(), []
    for feature in range(len(FEATURES)):
        own = asked(reader, planted.claim(feature), planted, laboratory, feature)
        assert [own[name].value for name in NAMES] == [1, 1], FEATURES[feature]
        assert own[NAMES[0]].n >= 20 and own[NAMES[0]].flags == ("read from a script",)
        other = asked(reader, planted.other(feature), planted, laboratory, feature)
        shuffled.append([other[name].value for name in NAMES])
    assert np.mean(np.array(shuffled, float), axis=0) == pytest.approx([0.5, 0.5], abs=0.06)


def test_other_readers_come_out_as_what_they_are(planted: PlantedWorld, laboratory: PlantedLaboratory) -> None:
    yes = asked(Agreeing(), "anything", planted, laboratory)
    assert [yes[name].value for name in NAMES] == [0.5, 0.5]
    assert all("constant prediction" in yes[name].flags for name in NAMES)
    for reader in (Guessing(), Copying()):
        found = [[asked(reader, "anything", planted, laboratory, f)[name].value for name in NAMES] for f in range(len(FEATURES))]
        assert np.mean(np.array(found, float), axis=0) == pytest.approx([0.5, 0.5], abs=0.09), reader.name
    refused = asked(Refusing(), "anything", planted, laboratory)
    reason = refused[NAMES[0]].unscored or ""
    assert re.fullmatch(r"too few readable answers: (\d+) of \1 unreadable: the judge refused", reason)


def test_pairs_are_what_they_claim_to_be(planted: PlantedWorld, laboratory: PlantedLaboratory) -> None:
    for feature in (0, 1, 4):
        exam = planted.exam(feature)
        found = asyncio.run(draw_pairs(exam, laboratory, Sizes()))
        silenced = [pair.silenced for pair in found.pairs]
        assert sum(silenced) == len(silenced) / 2 <= 20 and found.unscored is None
        assert len(set(found.documents)) == len(found.documents) == len(found.originals)
        assert {pair.original for pair in found.pairs} == set(range(len(found.originals)))
        for original in found.originals:
            values = planted.values(feature, original)
            assert values.any() and len(original.strings) <= 32 + 8
            assert not values[: int(np.flatnonzero(values)[0])].any()
            assert original.text in "".join(
                planted.tokens.text(row) + "\n" for row in exam.sample.fires.rows[exam.sample.fires.truth]
            )
        for pair in found.pairs:
            assert pair.silenced != planted.fires(feature, pair.edited.text)
            assert pair.edited.text != found.originals[pair.original].text


def test_the_judge_sees_passages_one_by_one_and_in_no_order_of_the_truth(
    planted: PlantedWorld, laboratory: PlantedLaboratory
) -> None:
    reader = Recording()
    asked(reader, "anything", planted, laboratory, 1)
    found = asyncio.run(draw_pairs(planted.exam(1), laboratory, Sizes()))
    assert sorted(reader.shown) == sorted([p.text for p in found.originals] + [pair.edited.text for pair in found.pairs])
    truth = {pair.edited.text: pair.silenced for pair in found.pairs}
    order = [truth[text] for text in reader.shown if text in truth]
    assert sum(a != b for a, b in zip(order[1:], order[:-1], strict=True)) > 5, "mixed"
    again = Recording()
    asked(again, "something else", planted, laboratory, 1)
    assert again.shown == reader.shown, "the same questions whatever is claimed"


def test_figures_agree_with_independent_ones() -> None:
    rng = np.random.default_rng(5)
    n = 60
    silenced, document = rng.random(n) < 0.4, rng.integers(0, 9, n)
    before, after = rng.integers(3, 6, n) / 5, rng.integers(0, 6, n) / 5
    area, accuracy = figures(silenced, before, after, document, 0, 0)
    fall = [b - a for b, a in zip(before.tolist(), after.tolist(), strict=True)]
    wins = sum(
        (x > y) + 0.5 * (x == y)
        for x, s in zip(fall, silenced, strict=True)
        if s
        for y, t in zip(fall, silenced, strict=True)
        if not t
    )
    assert area.value == pytest.approx(wins / (silenced.sum() * (~silenced).sum()))
    kept = sum(a > 0.5 for a, s in zip(after, silenced, strict=True) if not s) / (~silenced).sum()
    fell = sum(a <= 0.5 for a, s in zip(after, silenced, strict=True) if s) / silenced.sum()
    assert accuracy.value == pytest.approx((kept + fell) / 2)
    for measure in (area, accuracy):
        assert measure.value is not None and measure.low is not None and measure.high is not None
        assert measure.low < measure.value < measure.high and measure.n == n


def test_intervals_resample_documents() -> None:
    """The same answers given ten times over in each document say no more than once: the closed form alone would think so."""
    rng = np.random.default_rng(6)
    silenced, document = rng.random(40) < 0.5, np.arange(40) // 4
    after = np.where(rng.random(40) < 0.7, ~silenced, silenced).astype(float)
    often, _ = figures(np.tile(silenced, 10), np.ones(400), np.tile(after, 10), np.tile(document, 10), 0, 0)
    assert often.value is not None and often.low is not None and often.high is not None
    low, high = auroc_interval(often.value, int(10 * silenced.sum()), int(10 * (~silenced).sum()))
    assert often.high - often.low > 1.5 * (high - low)


def test_unread_answers_are_left_out_and_counted(planted: PlantedWorld, laboratory: PlantedLaboratory) -> None:
    found = asyncio.run(draw_pairs(planted.exam(1), laboratory, Sizes()))
    first = len(found.originals)
    answers = [Answer(1.0, "schema")] * first + [Answer(float(not pair.silenced), "schema") for pair in found.pairs]
    answers[first] = Answer(None, "", "no number")
    area, accuracy = score(found, answers, 0, 1)
    n = len(found.pairs)
    assert area.value == accuracy.value == 1 and area.n == n - 1
    assert area.flags == (f"1 of {first + n} unreadable: no number", "read from a schema")
    answers[0] = Answer(None, "", "no number")
    of_the_first = sum(pair.original == 0 for pair in found.pairs[1:])
    assert score(found, answers, 0, 1)[0].n == n - 1 - of_the_first


def test_reasons_instead_of_figures(planted: PlantedWorld) -> None:
    harmless = asked(Agreeing(), "anything", planted, Fixed(planted), 0)
    assert harmless[NAMES[0]].unscored == "too few silencing edits (0, at least 5 are needed)"
    silent = score(Questions([], [], []), [], 0, 0)
    assert silent[1].unscored == "too few readable answers: 0 of 0 unreadable"
