"""The search: propose, run, keep the best; start again where nothing has got better for a while.

A candidate is a text of at most `length` tokens, cut after the token at which the feature is strongest. Those on which it is
active are compared by its activation (less what their unlikelihood costs, where fluency counts), the others by its
pre-activation, so that there is a way up also for a feature that never fires. Only texts that the tokenizer leads back to the
same tokens count. Everything follows from the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from dragoman.store import display
from dragoman.store.errors import UserError
from dragoman.tools.activate import Strip
from dragoman.tools.gauge import Gauge
from dragoman.tools.minimal import minimal_set
from dragoman.tools.probe import Probe
from dragoman.tools.prompt import Prompt

from .candidates import Candidate, Ids, Pool, best
from .evolution import fragments, offspring
from .fluency import likely, log_probability
from .gradient import substitutions

Method = Literal["evolution", "gradient", "both"]
POPULATION = 32
"""Candidates that live on."""
_PARENTS = 4
"""Candidates whose gradients are taken in a round."""
_PROPOSED = 96
"""Texts run in a round."""
_PATIENCE = 6
"""Rounds without a gain after which the search starts again elsewhere."""


@dataclass(frozen=True)
class Found:
    """One text that was found."""

    ids: tuple[int, ...]
    """Its tokens."""
    strip: Strip
    """Their texts, and the activation on each."""
    value: float
    """The activation on its last token; 0 where the feature is silent."""
    pre_activation: float | None
    """The pre-activation there; None for a dictionary that has none."""

    @property
    def text(self) -> str:
        """The text."""
        return "".join(self.strip.strings)


@dataclass(frozen=True)
class Round:
    """How far the search had got."""

    forwards: int
    """Sequences run so far; a gradient counts as three, asking for a text's likelihood as one more."""
    value: float
    """The best activation so far."""
    pre_activation: float
    """The pre-activation of the best so far."""
    text: str
    """The best text so far."""


@dataclass(frozen=True)
class SearchResult:
    """What a search found. A notebook shows the texts with the active tokens highlighted."""

    feature: str
    """Address of the feature."""
    method: str
    """How proposals were made, and from what it began."""
    seed: int
    """The seed."""
    forwards: int
    """Sequences run; a gradient counts as three."""
    starts: int
    """How often it began anew."""
    found: tuple[Found, ...]
    """The best texts, the best first."""
    core: str | None
    """The smallest part of the best text, the other tokens deleted, that keeps half of its activation and fires; None where the
    best text does not fire."""
    threshold: float
    """The feature fires above this."""
    maximum: float
    """Its largest activation on train."""
    history: tuple[Round, ...]
    """Every gain."""

    def __str__(self) -> str:
        return "\n\n".join([self._title, *(str(found.strip) for found in self.found)])

    def __rich__(self) -> object:
        from rich.console import Group

        strips: list[Any] = [found.strip for found in self.found]
        return Group(self._title, *strips)

    def _repr_html_(self) -> str:
        import html

        return f"<p>{html.escape(self._title)}</p>" + "".join(found.strip._repr_html_() for found in self.found)

    @property
    def _title(self) -> str:
        value = self.found[0].value
        share = f", {value / self.maximum:.0%} of the train maximum" if self.maximum else ", never active on train"
        core = f"; half of it on: {display.visible(self.core)}" if self.core is not None else ""
        return f"{self.feature}: {value:.3g}{share}, after {self.forwards:,} forwards ({self.method}){core}"


def search_inputs(
    gauge: Gauge,
    method: Method = "both",
    from_nothing: bool = False,
    length: int = 12,
    budget: int = 4000,
    seed: int = 0,
    n: int = 5,
    fluency: float = 0.0,
    tell: Callable[[Round], None] = lambda _: None,
) -> SearchResult:
    """Search for the texts that fire a feature hardest.

    Args:
        gauge: the feature; for gradients and fluency, a probe.
        method: `evolution` (mutation and crossover), `gradient` (substitutions that the gradient favours), or `both`.
        from_nothing: begin with random tokens and never look at the corpus; otherwise begin with fragments of the train split.
        length: most tokens of a text.
        budget: sequences to run; a gradient counts as three.
        seed: of everything drawn at random.
        n: texts returned.
        fluency: what each nat of a token's unlikelihood costs, in train maxima of the feature (mean over the tokens). 0 looks for
            the strongest text, however odd; 0.05 to 0.2 for strong ones that the model could have read.
        tell: is told after every round how far the search has got; what it raises ends the search.

    Raises:
        UserError: an argument makes no sense, or gradients are asked of a dictionary that has no pre-activations.
    """
    if method not in get_args(Method):
        raise UserError(f"There is no method {method!r}: write {', '.join(get_args(Method))}.")
    longest = gauge.window
    if isinstance(gauge, Probe):
        longest = min(longest, gauge.subject.max_positions - int(gauge.prepend_bos))
    if not 1 <= length <= longest:
        raise UserError(f"A text of {length} tokens cannot be searched for: the store's windows allow 1 to {longest}.")
    if not 0 <= fluency < 100:
        raise UserError(f"Fluency is a price of 0 or more, for example 0.1, not {fluency}.")
    if budget < 1 or n < 1:
        raise UserError("A search needs a budget of at least 1 forward and returns at least 1 text.")
    if not from_nothing and gauge.train is None:
        raise UserError("There is no corpus to take fragments from: open a store, or search from nothing.")
    search = _Search(gauge, method, from_nothing, length, budget, seed, fluency)
    search.run(tell)
    return search.result(n)


class _Search:
    def __init__(
        self, gauge: Gauge, method: Method, from_nothing: bool, length: int, budget: int, seed: int, fluency: float
    ) -> None:
        self.gauge, self.method, self.from_nothing, self.seed = gauge, method, from_nothing, seed
        self.pool = Pool(gauge, length, fluency, log_probability)
        if fluency or method != "evolution":
            _ = self.pool.probe
        self.generator = np.random.default_rng([seed, gauge.index])
        self.first, self.budget = gauge.forwards, budget
        self.starts = 0
        self.kept: list[Candidate] = []
        self.history: list[Round] = []

    @property
    def spent(self) -> int:
        return self.gauge.forwards - self.first

    def run(self, tell: Callable[[Round], None]) -> None:
        while self.spent < self.budget:
            self.starts += 1
            fresh = self._fresh(_PROPOSED)
            population = best(self._judged(fresh), POPULATION)
            tell(self._now())
            waited = 0
            while population and waited < _PATIENCE and self.spent < self.budget:
                before = population[0]
                proposals = self._proposals(population, fresh)
                population = best([*population, *self._judged(proposals)], POPULATION)
                waited = 0 if population[0] > before else waited + 1
                tell(self._now())

    def result(self, n: int) -> SearchResult:
        """What was found."""
        found = tuple(self._found(candidate) for candidate in self._different(n))
        core = None
        if found and self.gauge.fires(found[0].value):
            prompt = Prompt.from_ids(self.gauge.speaker, found[0].ids)
            core = minimal_set(self.gauge, prompt, len(prompt) - 1, above=max(self.gauge.threshold, found[0].value / 2)).text
        return SearchResult(
            feature=self.gauge.key,
            method=self._said(),
            seed=self.seed,
            forwards=self.spent,
            starts=self.starts,
            found=found,
            core=core,
            threshold=self.gauge.threshold,
            maximum=self.gauge.maximum,
            history=tuple(self.history),
        )

    def _said(self) -> str:
        start = "random tokens" if self.from_nothing else "fragments of the train split"
        return f"{self.method}{', fluent' if self.pool.fluency else ''}, from {start}"

    def _fresh(self, n: int) -> list[Ids]:
        return self.pool.random(self.generator, n) if self.from_nothing else fragments(self.pool, self.generator, n)

    def _proposals(self, population: list[Candidate], fresh: list[Ids]) -> list[list[int]]:
        rows: list[list[int]] = []
        share = _PROPOSED // 2 if self.method == "both" else _PROPOSED
        if self.method != "evolution":
            picked = [0, *self.generator.integers(0, len(population), _PARENTS - 1).tolist()]
            parents = [population[i] for i in dict.fromkeys(picked)]
            rows += substitutions(self.pool, parents, self.generator, share)
        if self.pool.fluency:
            rows += likely(self.pool, population, self.generator, share)
        if self.method != "gradient":
            rows += offspring(self.pool, population, fresh, self.generator, share)
        return rows

    def _judged(self, rows: list[Ids] | list[list[int]]) -> list[Candidate]:
        """Run what fits into the budget and remember the best."""
        possible = self.pool.possible(rows)[: max(0, self.budget - self.spent)]
        if not possible:
            self.budget -= 1  # nothing new was proposed; this must end too
            return []
        judged = self.pool.run(possible)
        top = self.kept[0] if self.kept else None
        self.kept = best([*self.kept, *judged], 4 * POPULATION)
        if top is None or self.kept[0] > top:
            self.history.append(self._now())
        return judged

    def _now(self) -> Round:
        if not self.kept:
            return Round(self.spent, 0.0, 0.0, "")
        top = self.kept[0]
        return Round(self.spent, top.value, top.pre, Prompt.from_ids(self.gauge.speaker, top.ids).text)

    def _different(self, n: int) -> list[Candidate]:
        """The best candidates, those that end in the same three tokens as a better one left for last."""
        ends: set[Ids] = set()
        first: list[Candidate] = []
        rest: list[Candidate] = []
        for candidate in self.kept:
            (rest if candidate.ids[-3:] in ends else first).append(candidate)
            ends.add(candidate.ids[-3:])
        return (first + rest)[:n]

    def _found(self, candidate: Candidate) -> Found:
        prompt = Prompt.from_ids(self.gauge.speaker, candidate.ids)
        (values,) = self.gauge.values([candidate.ids])
        strip = Strip(self.gauge.key, prompt.strings, tuple(values.tolist()), self.gauge.threshold, self.gauge.maximum)
        known = self.gauge.has_pre_activations
        return Found(candidate.ids, strip, candidate.value, candidate.pre if known else None)
