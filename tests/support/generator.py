"""Concepts of the generator as rules, and texts of it that hold them or do not: what a scripted researcher knows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from dragoman.evals.organism.document import Document
from dragoman.store.features import Store
from dragoman.store.tokens import TokenTable
from dragoman.tools.induction import Fit, Inducer
from dragoman.tools.induction.contexts import Contexts
from dragoman.tools.patterns import Pattern, PatternText, usage_of
from dragoman.tools.prompt import Prompt, Speaker
from tests.support.concepts import carried, marks, table_of

LURE = 0.8
"""A concept that shares more of its tokens with the true one (F1) is not taken for another."""
WINDOW = 60
"""Tokens of a test before the one that is looked at."""
AFTER = 8
"""Tokens after it: the model cannot see them from there, a rule may ask for them."""
KINDS = (10, 8, 8)
"""Tests kept ready for a feature: with the concept, with its words but without it, with what is taken for it."""


class Input(NamedTuple):
    """A text to be run."""

    text: str
    """The text."""
    focus: str
    """The word that is looked at."""
    holds: bool
    """Whether a token of that word carries the concept, by the generator's annotation."""


class Concepts:
    """Concepts of a store's train and validation tokens, and rules that say them."""

    def __init__(self, store: Store, documents: Mapping[str, Document]) -> None:
        self.tokens: TokenTable = store.tokens("train")
        self.carries: csc_matrix = carried(store, "train", documents).tocsc()
        self.usage = usage_of(self.tokens)
        self._valid = PatternText(store.tokens("validation"), self.usage)
        self._valid_carries: csc_matrix = carried(store, "validation", documents).tocsc()
        self._columns: list[tuple[int, ...]] = []
        self._inducer = Inducer(self, self.usage)

    def activations(self, feature: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Train tokens that carry one of the concepts asked for, as an explainer sees a feature."""
        at = _on(self.carries, self._columns[feature])
        return at, np.ones(len(at), np.float32)

    def unknown_contexts(self, feature: int) -> NDArray[np.int64]:
        """None."""
        return np.zeros(0, np.int64)

    def rule(self, columns: Sequence[int]) -> str:
        """The concepts, any of them, as a rule: induced on train, its length chosen on validation, both from the annotation."""
        self._columns.append(tuple(columns))
        at = _on(self._valid_carries, columns)
        real = np.zeros(len(self._valid))
        real[at] = 1
        fired_on = self.tokens.ids[_on(self.carries, columns)]
        contexts = Contexts(self._valid, at, np.ones(len(at), bool), fired_on)

        def validate(pattern: Pattern) -> Fit:
            strength = pattern.predict(self._valid).astype(np.float64)
            r = float(np.corrcoef(strength, real)[0, 1]) if strength.any() and real.any() else 0.0
            return Fit(r, contexts.accuracy(np.unique(self._valid.row[strength > 0])))

        return str(self._inducer.induce(len(self._columns) - 1, validate).pattern)

    def lure(self, concept: int) -> int:
        """The concept that is most easily taken for this one: it shares most tokens, but not nearly all."""
        on = _on(self.carries, [concept])
        shared = np.asarray(self.carries.tocsr()[on].sum(0)).ravel()
        sizes = np.diff(self.carries.indptr)
        f1 = 2 * shared / np.maximum(sizes + len(on), 1)
        return int(np.argmax(np.where((f1 <= LURE) & (np.arange(len(f1)) != concept), f1, -1)))


def ranges(text: str, focus: str) -> list[tuple[int, int]]:
    """Characters of every occurrence of a word; of the whole text, where no word is named."""
    if not focus:
        return [(0, len(text))]
    return [(match.start(), match.start() + len(focus)) for match in re.finditer(f"(?={re.escape(focus)})", text)]


class Bank:
    """Texts of the generator with their concepts, from which tests are cut."""

    def __init__(self, documents: Sequence[Document], speaker: Speaker) -> None:
        self.documents, self.speaker = documents, speaker
        self._prompts = [Prompt.from_text(speaker, document.text) for document in documents]
        sizes = [len(prompt) for prompt in self._prompts]
        self._first = np.concatenate(([0], np.cumsum(sizes)))
        cells = []
        for begin, document, prompt in zip(self._first, documents, self._prompts, strict=False):
            offsets = np.array(prompt.offsets, np.int32).reshape(-1, 2)
            at, column = marks(document, offsets[:, 0], offsets[:, 1])
            cells.append((at + begin, column))
        self._carries: csc_matrix = table_of(cells, int(self._first[-1])).tocsc()
        self._words = np.array([string.strip() for prompt in self._prompts for string in prompt.strings], object)

    def inputs(self, concept: int, others: Sequence[int]) -> tuple[Input, ...]:
        """Texts with the concept, with its words but without it, and with what is taken for it; in turn."""
        rng = np.random.default_rng(concept)
        holds = np.zeros(len(self._words), bool)
        holds[_on(self._carries, [concept])] = True
        same = np.isin(self._words, np.unique(self._words[holds].astype(str))) & ~holds
        taken = np.zeros(len(holds), bool)
        taken[_on(self._carries, others)] = True
        kinds: list[list[Input]] = []
        for mask, wanted, most in zip((holds, same, taken & ~holds & ~same), (True, False, False), KINDS, strict=True):
            found: dict[str, Input] = {}
            for at in rng.permutation(np.flatnonzero(mask))[:200]:
                given = self._input(int(at), holds)
                if given is not None and given.holds == wanted and len(found) < most:
                    found.setdefault(given.text, given)
            kinds.append(list(found.values()))
        return tuple(kind[n] for n in range(max(KINDS)) for kind in kinds if n < len(kind))

    def _input(self, at: int, holds: NDArray[np.bool_]) -> Input | None:
        """The text around a token, to the end of a word; for a token of white space one looks at the whole text."""
        number = int(np.searchsorted(self._first, at, side="right")) - 1
        begin, document, prompt = int(self._first[number]), self.documents[number].text, self._prompts[number]
        place = at - begin
        left = prompt.offsets[max(0, place - WINDOW)][0]
        ending = re.compile(r"\S*").match(document, prompt.offsets[min(place + AFTER, len(prompt) - 1)][1])
        assert ending is not None
        whole = document[left : ending.end()]
        text, focus = whole.strip(), str(self._words[at])
        if not text:
            return None
        left += len(whole) - len(whole.lstrip())
        tokens = [
            n
            for start, end in ranges(text, focus)
            for n, (a, b) in enumerate(prompt.offsets)
            if b > left + start and a < left + end
        ]
        return Input(text, focus, bool(holds[[begin + n for n in tokens]].any()))


def _on(carries: csc_matrix, columns: Sequence[int]) -> NDArray[np.int64]:
    """Tokens that carry one of the concepts, ascending."""
    parts = [carries.indices[carries.indptr[c] : carries.indptr[c + 1]] for c in columns]
    return np.unique(np.concatenate(parts)).astype(np.int64)
