"""Candidates of a search: token sequences that some text leads to, judged by running them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from dragoman.store.errors import UserError
from dragoman.tools.gauge import Gauge
from dragoman.tools.probe import Probe

Ids = tuple[int, ...]
Likelihood = Callable[[Probe, Sequence[Ids]], np.ndarray]
SILENT = -1e9
"""Score of a text on which the feature is silent."""


class Candidate(NamedTuple):
    """A token sequence and how strongly it fires the feature; the larger, the better."""

    score: float
    """What is compared first: the activation, less what the text's unlikelihood costs; very low where it is silent."""
    pre: float
    """The pre-activation there; where the feature is silent, the largest one."""
    value: float
    """The largest activation."""
    ids: Ids
    """The tokens up to the one at which this is."""


class Pool:
    """Runs token sequences and remembers them; one feature's search."""

    def __init__(self, gauge: Gauge, length: int, fluency: float = 0.0, likelihood: Likelihood | None = None) -> None:
        """
        Args:
            gauge: the feature; where fluency counts, a probe.
            length: most tokens of a candidate.
            fluency: what a nat of unlikelihood a token costs, in train maxima of the feature.
            likelihood: gives the mean log-probability of each row's tokens; needed where fluency counts.
        """
        self.gauge, self.length, self.fluency = gauge, length, fluency
        self.likelihood = likelihood
        self.seen: dict[Ids, Candidate] = {}
        special = gauge.speaker.special_ids()
        self.allowed = np.array([i for i, w in enumerate(gauge.words) if w and "\ufffd" not in w and i not in special], np.int64)
        if not len(self.allowed):
            raise UserError("The tokenizer has no token that stands for a text of its own, so there is nothing to search in.")

    @property
    def probe(self) -> Probe:
        """The feature with its model. Raises `UserError` where there is none."""
        if not isinstance(self.gauge, Probe):
            raise UserError("There is no model here, which gradients and fluency need: search by evolution, without fluency.")
        return self.gauge

    def possible(self, rows: Sequence[Sequence[int]]) -> list[Ids]:
        """The rows as the tokenizer cuts their text, at most `length` tokens, each once, without those run before."""
        speaker = self.gauge.speaker
        texts = [speaker.decode([int(i) for i in row]) for row in rows]
        special = speaker.special_ids()
        found: dict[Ids, None] = {}
        for tokens in speaker.tokenize_many(texts):
            ids = tuple(tokens.ids[-self.length :].tolist())
            if ids and ids not in self.seen and not special.intersection(ids):
                found.setdefault(ids)
        return list(found)

    def run(self, rows: Sequence[Ids]) -> list[Candidate]:
        """Judge rows, in shared batches; each is cut after the token at which the feature is strongest."""
        values, pres = self.gauge.both(rows)
        places = [int((v if v.max() > 0 else p).argmax()) for v, p in zip(values, pres, strict=True)]
        cut = [ids[: at + 1] for ids, at in zip(rows, places, strict=True)]
        likelihood = self.likelihood(self.probe, cut) if self.likelihood and self.fluency else np.zeros(len(rows))
        cost = self.fluency * (self.gauge.maximum or 1.0)
        judged = []
        for n, at in enumerate(places):
            value = float(values[n][at])
            score = value + cost * float(likelihood[n]) if value > 0 else SILENT
            candidate = Candidate(score, float(pres[n][at]), value, cut[n])
            self.seen[rows[n]] = self.seen[cut[n]] = candidate
            judged.append(candidate)
        return judged

    def random(self, generator: np.random.Generator, n: int) -> list[Ids]:
        """n sequences of tokens drawn at random."""
        return [tuple(generator.choice(self.allowed, self.length).tolist()) for _ in range(n)]


def best(candidates: Sequence[Candidate], n: int) -> list[Candidate]:
    """The n best different candidates."""
    return sorted(set(candidates), reverse=True)[:n]
