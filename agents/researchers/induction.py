"""Induction in the researcher's seat: hypotheses are patterns, predictions are what the patterns say, and no model is asked.

1. propose: the induced pattern, then its shorter and longer forms.
2. design: passages of firing examples, near misses, and train contexts on which the living patterns differ, as they are, with
   their first half cut off, or with the word before the one looked at replaced; those on which the patterns differ most.
3. revise: of the forms not tried yet, the one that contradicts the fewest results.
4. debate: it proposes passages likewise, amends to the form that contradicts the fewest results (one of which it says nothing
   counts by half), and concedes where it has no better one and is behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dragoman.agents.answers import Acceptance, Claim, Design, Foretold, Part, Proposal, Revision, Turn
from dragoman.agents.answers import Change as Changed
from dragoman.agents.answers import Test as Planned
from dragoman.agents.board import Board, Case
from dragoman.agents.researcher import Place
from dragoman.store.errors import ToolError
from dragoman.store.findings import Experiment, Hypothesis, Outcome
from dragoman.store.hashing import seed_of
from dragoman.tools.induction import Fit, Induced, Inducer
from dragoman.tools.patterns import Pattern, PatternText, Usage, parse
from dragoman.tools.patterns.loose import LooseTexts, Tokenized

POOL = 12
"""Forms of a pattern that are kept to be tried."""
FIRES = 0.2
"""Share of the maximum above which a feature fires."""
SOURCES = 12
"""Examples from which passages are made, and places for each way in which rules differ on train."""
LEAD = 24
"""Tokens of a passage before the one that is looked at."""
TAIL = 4
"""Tokens after it: rules may ask what follows, and a text that ends at the token would contradict them."""


@dataclass(frozen=True)
class Passage:
    """A text with the word that is looked at."""

    text: str
    """The text."""
    focus: str
    """The word; it occurs once in the text."""


class InductionResearcher:
    """Needs no language model; hold one a process."""

    name = "induction"
    model: str | None = None
    prompt: str | None = None

    def __init__(
        self,
        inducer: Inducer,
        validate: Callable[[int], Callable[[Pattern], Fit]],
        usage: Usage,
        tokenize: Callable[[str], Tokenized],
        vocabulary: list[str],
    ) -> None:
        """validate: of a feature, what tells how well a pattern does on validation, in figures alone; tokenize: a text as the
        subject reads it; vocabulary: text of each token id.
        """
        self._inducer, self._validate, self._usage = inducer, validate, usage
        self._tokenize, self._vocabulary = tokenize, vocabulary
        self._pools: dict[int, list[Induced]] = {}
        self._lock = asyncio.Lock()

    async def propose(self, case: Case, most: int) -> Proposal:
        """See `Researcher`."""
        pool = await self._pool(case)
        first = pool[0].figures
        return Proposal(
            hypotheses=[_claim(found) for found in pool[:most]],
            confidence=round(100 * max(0.0, min(1.0, first.accuracy_validation))),
        )

    async def design(self, case: Case, board: Board, most: int) -> Design:
        """See `Researcher`."""
        return await self._designed(case, board, most, set(), "design")

    async def contest(self, case: Case, place: Place, most: int) -> Design:
        """See `Researcher`: passages on which the two rules differ."""
        taken = {test.text for test in place.taken}
        return await self._designed(case, place.board, most, taken, f"contest/{place.seat}")

    async def _designed(self, case: Case, board: Board, most: int, taken: set[str], step: str) -> Design:
        rivals = [one for one in board.alive if one.pattern is not None]
        rng = np.random.default_rng(seed_of(case.seed, case.feature, step, board.round))
        async with self._lock:
            differing = await asyncio.to_thread(self._differing, [str(one.pattern) for one in rivals], rng)
        passages = _passages([*differing, *_sources(case)])
        used = taken | {one.texts[0] for one in board.experiments if one.kind == "write"}
        passages = [passage for passage in passages if passage.text not in used]
        if not rivals or not passages:
            return Design(tests=[])
        said = await asyncio.to_thread(self._said, [str(one.pattern) for one in rivals], passages)
        order = sorted(rng.permutation(len(passages)), key=lambda n: -_difference([row[n] for row in said]))
        tests = []
        for n in order[:most]:
            foretold = [Foretold(hypothesis=one.called, outcome=row[n]) for one, row in zip(rivals, said, strict=True)]
            tests.append(
                Planned(
                    kind="write",
                    text=passages[n].text,
                    focus=passages[n].focus,
                    why="the rules differ here" if _difference([row[n] for row in said]) else "an edge of the rule",
                    predictions=foretold,
                )
            )
        return Design(tests=tests)

    async def foretell(self, case: Case, hypothesis: Hypothesis, experiments: Sequence[Experiment], round: int) -> list[Outcome]:
        """See `Researcher`; what is no text gets no prediction."""
        if hypothesis.pattern is None:
            return ["unsure"] * len(experiments)
        return await asyncio.to_thread(self._foretold, hypothesis.pattern, experiments)

    async def revise(self, case: Case, board: Board) -> Revision:
        """See `Researcher`."""
        pool = await self._pool(case)
        tried = {one.pattern for one in (*board.alive, *board.dropped)}
        left = [found for found in pool if str(found.pattern) not in tried]
        known = [one for one in board.experiments if _run(one) and one.result is not None]
        confidence = round(100 * max(0.0, min(1.0, pool[0].figures.accuracy_validation)))
        if not left or not known:
            return Revision(confidence=confidence)
        wrong = [await self._wrong(str(found.pattern), known) for found in left]
        best = min(range(len(left)), key=lambda n: (wrong[n], n))
        parents = [board.alive[0].called] if board.alive else []
        return Revision(changes=[Changed(parents=parents, claim=_claim(left[best]))], confidence=confidence)

    async def answer_debate(self, case: Case, place: Place) -> Turn:
        """See `Researcher`: the form that contradicts the fewest results (of which it says nothing counted by half), if they are
        fewer than its own label's; else it gives up where it is behind.
        """
        board = place.board
        known = [one for one in board.experiments if _run(one) and one.result is not None]
        tried = {one.pattern for one in (*board.alive, *board.dropped)}
        left = [found for found in await self._pool(case) if str(found.pattern) not in tried]
        mine = (len(known), float(len(known)))
        now, against = mine if place.mine.pattern is None else await self._weighed(place.mine.pattern, known)
        weighed = [await self._weighed(str(found.pattern), known) for found in left]
        best = min(range(len(left)), key=lambda n: (weighed[n][1], n), default=None)
        if best is not None and weighed[best][1] < against:
            reason = f"It contradicts {weighed[best][0]} of {len(known)} results, {place.mine.called} {now}."
            return Turn(move="amend", claim=_claim(left[best]), reason=reason)
        if place.behind:
            return Turn(move="concede", reason=f"{now} of {len(known)} results contradict it, and no other form does better.")
        return Turn(move="keep", reason=f"{now} of {len(known)} results contradict it, and no other form does better.")

    async def answer_merger(self, case: Case, place: Place, offer: Claim) -> Acceptance:
        """See `Researcher`: a rule that contradicts no more results than its own."""
        known = [one for one in place.board.experiments if _run(one) and one.result is not None]
        try:
            theirs = await self._wrong(str(parse(offer.pattern or "")), known)
        except ToolError:
            return Acceptance(accept=False, reason="It has no rule that can be executed.")
        now = len(known) if place.mine.pattern is None else await self._wrong(place.mine.pattern, known)
        return Acceptance(
            accept=theirs <= now, reason=f"It contradicts {theirs} of {len(known)} results, {place.mine.called} {now}."
        )

    async def _wrong(self, pattern: str, known: Sequence[Experiment]) -> int:
        """Results that a rule contradicts."""
        return (await self._weighed(pattern, known))[0]

    async def _weighed(self, pattern: str, known: Sequence[Experiment]) -> tuple[int, float]:
        """Results that a rule contradicts; and the same with those of which it says neither that it fires nor that it is silent
        counted by half: a rule that is faint everywhere contradicts nothing, and says nothing.
        """
        said = await asyncio.to_thread(self._foretold, pattern, known)
        decided = [(s, fact) for s, one in zip(said, known, strict=True) if (fact := _fact(one)) is not None]
        wrong = sum(s not in ("unsure", fact) for s, fact in decided)
        return wrong, wrong + sum(s == "unsure" for s, _ in decided) / 2

    async def _pool(self, case: Case) -> list[Induced]:
        if case.feature not in self._pools:
            async with self._lock:
                validate = self._validate(case.feature)
                pool = await asyncio.to_thread(self._inducer.several, case.feature, validate, POOL, case.seed)
                self._pools = {case.feature: pool, **dict(list(self._pools.items())[:63])}
        return self._pools[case.feature]

    def _differing(self, patterns: Sequence[str], rng: np.random.Generator) -> list[tuple[list[str], int]]:
        """Places of train on which rules differ, as many for each way of differing; at most one a context."""
        text = self._inducer.text
        said = [parse(pattern).predict(text) for pattern in patterns]
        if len(said) < 2:
            return []
        fires, silent = np.array([one > FIRES for one in said]), np.array([one == 0 for one in said])
        at = np.flatnonzero(fires.any(0) & silent.any(0))
        way = (fires[:, at] * (1 << np.arange(len(said)))[:, None]).sum(0)
        found = []
        for which in np.unique(way):
            places = rng.permutation(at[way == which])
            _, first = np.unique(text.row[places], return_index=True)
            for place in places[np.sort(first)][:SOURCES]:
                row = text.row[place]
                start, end = max(int(text.starts[row]), int(place) - LEAD), min(int(text.starts[row + 1]), int(place) + 1 + TAIL)
                found.append(([text.vocabulary[token] for token in text.ids[start:end]], int(place) - start))
        return found

    def _said(self, patterns: Sequence[str], passages: Sequence[Passage]) -> list[list[Outcome]]:
        table = LooseTexts([self._tokenize(passage.text) for passage in passages], self._vocabulary)
        text = PatternText(table, self._usage)
        return [
            [_outcome(table, row, passage, strength) for row, passage in enumerate(passages)]
            for strength in (parse(pattern).predict(text) for pattern in patterns)
        ]

    def _foretold(self, pattern: str, experiments: Sequence[Experiment]) -> list[Outcome]:
        said: list[Outcome] = ["unsure"] * len(experiments)
        texts = [(n, Passage(text, one.focus)) for n, one in enumerate(experiments) if (text := _run(one))]
        if texts:
            for (n, _), outcome in zip(texts, self._said([pattern], [passage for _, passage in texts])[0], strict=True):
                said[n] = outcome
        return said


def _passages(sources: Sequence[tuple[list[str], int]]) -> list[Passage]:
    """Texts around the token to look at, as they are and changed."""
    found: dict[str, Passage] = {}
    for strings, at in sources:
        word = strings[at].strip()
        variants = [
            strings,
            strings[at // 2 :],
            strings[max(0, at - 3) :],
            [*strings[: max(0, at - 1)], " the", *strings[at:]],
        ]
        for variant in variants:
            text = "".join(variant).strip()
            if word and text.count(word) == 1:
                found.setdefault(text, Passage(text, word))
    return list(found.values())


def _outcome(table: LooseTexts, row: int, passage: Passage, strength: np.ndarray) -> Outcome:
    """What a rule says of the word that is looked at; of the whole text, where none is named."""
    at = passage.text.find(passage.focus) if passage.focus else -1
    if at < 0:
        places = np.arange(table.starts[row], table.starts[row + 1])
    else:
        places = table.touching(row, at, at + len(passage.focus))
    peak = float(strength[places].max(initial=0.0))
    return "fires" if peak > FIRES else "silent" if peak == 0 else "unsure"


def _difference(outcomes: Sequence[Outcome]) -> int:
    """How evenly the rules are divided on an input; 0 where they agree."""
    return min(outcomes.count("fires"), outcomes.count("silent"))


def _run(experiment: Experiment) -> str:
    """The text on which an experiment's result was read: a written one, or one of its author's own after an edit; else empty."""
    return experiment.texts[-1] if experiment.kind == "write" or (experiment.kind == "edit" and experiment.texts) else ""


def _fact(experiment: Experiment) -> Outcome | None:
    """What came out at the word that was looked at."""
    result = experiment.result or {}
    value, threshold = float(result.get("value", 0.0)), float(result.get("threshold", 0.0))
    return "fires" if value > threshold else "silent" if value == 0 else None


def _sources(case: Case) -> list[tuple[list[str], int]]:
    """Tokens of examples around the one to look at: the strongest, and in near misses one in the middle."""
    found = []
    for piece in case.shown:
        for example in piece.data.get("examples", ()):
            strings, values = list(example["tokens"]), list(example["values"])
            at = int(np.argmax(values)) if any(values) else len(strings) // 2
            first = max(0, at - LEAD)
            found.append((strings[first : at + 1 + TAIL], at - first))
    step = max(1, len(found) // SOURCES)
    return found[::step][:SOURCES]


def _claim(found: Induced) -> Claim:
    facets = [Part(description=facet.description, pattern=facet.pattern) for facet in found.facets[:6]]
    return Claim(name=found.name, description=found.description, pattern=str(found.pattern), facets=facets)
