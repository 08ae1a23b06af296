"""A store's features as cards, a block of them at a time: memory stays bounded however many there are.

Examples come from train rows alone: the windows with the highest peaks, then windows drawn from each of five equal intervals of
the peak between 0 and the train maximum. Draws depend on feature and window only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float32, Int64

from dragoman.store.database import open_features
from dragoman.store.features import Store
from dragoman.store.hashing import mix
from dragoman.store.manifest import FEATURES
from dragoman.store.reading import Database
from dragoman.store.records import DictionaryInfo, Label, Score, TokenValue
from dragoman.store.tokens import contributions

from .cards import Card, Shown

INTERVALS = 5
BLOCK = 256
"""Features in a block at most."""
ROWS = 1_000_000
"""Activations in a block, except where one feature alone has more."""


class Cards:
    """The cards of some features of one dictionary."""

    def __init__(
        self, store: Store, dictionary: DictionaryInfo, features: Sequence[int], examples: int, runs: Collection[str]
    ) -> None:
        """
        Args:
            store: where they come from.
            dictionary: theirs.
            features: global ids, ascending.
            examples: so many of the strongest windows a feature, and a fifth of that from each interval (0: none at all).
            runs: labeling runs whose labels go with them.
        """
        self.store, self.dictionary, self.features, self.examples, self.runs = store, dictionary, features, examples, runs
        self._database = Database(open_features(store.path / FEATURES))
        self._vocabulary = store.vocabulary
        self._labeled = {run: store.ledger.labeled_features(run) for run in runs}

    def __iter__(self) -> Iterator[Card]:
        for block in self._blocks():
            shown = self._shown(block) if self.examples else {}
            for card in self._facts(block):
                feature = self.dictionary.offset + card.index
                labels, scores = self._said(feature)
                yield replace(card, shown=tuple(shown.get(feature, ())), labels=labels, scores=scores)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _blocks(self) -> Iterator[list[int]]:
        """The features in blocks of so many activations."""
        read = self._database.columns(
            "SELECT feature, active FROM feature WHERE feature >= ? AND feature < ? ORDER BY feature",
            [self.dictionary.offset, self.dictionary.offset + self.dictionary.width],
        )
        active = dict(zip(read["feature"].tolist(), read["active"].tolist(), strict=True))
        block: list[int] = []
        rows = 0
        for feature in self.features:
            if block and (len(block) == BLOCK or rows + active[feature] > ROWS):
                yield block
                block, rows = [], 0
            block.append(feature)
            rows += active[feature]
        if block:
            yield block

    def _facts(self, block: list[int]) -> Iterator[Card]:
        """Figures, logit effects and neighbours."""
        where = _among("feature", block)
        effects: dict[tuple[int, str], list[TokenValue]] = {}
        for feature, side, token, value in self._database.rows(
            f"SELECT feature, side, token, value FROM logit_effect WHERE {where} ORDER BY feature, side, rank"
        ):
            effects.setdefault((feature, side), []).append(TokenValue(self._vocabulary[token], value))
        near: dict[int, list[tuple[int, float]]] = {}
        for feature, other, cosine in self._database.rows(
            f"SELECT feature, other, cosine FROM neighbour WHERE {where} ORDER BY feature, rank"
        ):
            near.setdefault(feature, []).append((other - self.dictionary.offset, cosine))
        for feature, index, largest, density, histogram in self._database.rows(
            f'SELECT feature, "index", max, density, histogram FROM feature WHERE {where} ORDER BY feature'
        ):
            yield Card(
                dictionary=self.dictionary.name,
                index=index,
                max=largest,
                density=density,
                histogram=tuple(histogram),
                promoted=tuple(effects.get((feature, "promoted"), ())),
                suppressed=tuple(effects.get((feature, "suppressed"), ())),
                neighbours=tuple(near.get(feature, ())),
            )

    def _said(self, feature: int) -> tuple[tuple[Label, ...], tuple[Score, ...]]:
        """Labels of a feature, and the scores of these labels."""
        ledger = self.store.ledger
        labels = [
            label for run in self.runs if feature in self._labeled[run] for label in ledger.labels(feature=feature, run=run)
        ]
        scores = [score for label in labels for score in ledger.scores(label=label.id, feature=feature, contestant="label")]
        return tuple(labels), tuple(scores)

    def _shown(self, block: list[int]) -> dict[int, list[Shown]]:
        """The examples of every feature of a block."""
        read = self._database.columns(
            "SELECT a.feature, a.context, a.position, a.value, f.max FROM activation a JOIN feature f USING (feature) "
            f"WHERE {_among('a.feature', block)} AND {_among('f.feature', block)} AND a.split = 0 "
            "ORDER BY a.feature, a.context, a.position"
        )
        feature, context = read["feature"].astype(np.int64), read["context"].astype(np.int64)
        value, largest = np.asarray(read["value"], np.float32), np.asarray(read["max"], np.float32)
        new = np.diff(feature, prepend=-1).astype(bool) | np.diff(context, prepend=-1).astype(bool)
        first = np.flatnonzero(new)
        end = np.append(first[1:], len(feature))
        if not len(first):
            return {}
        peaks = np.maximum.reduceat(value, first)
        interval = np.clip((peaks / largest[first] * INTERVALS).astype(np.int64), 0, INTERVALS - 1)
        chosen = _chosen(feature[first], context[first], peaks, interval, self.examples)
        texts = self._texts(np.unique(context[first[[group for group, _ in chosen]]]))
        shares = self._shares(block)
        found: dict[int, list[Shown]] = {}
        for group, top in chosen:
            here = slice(int(first[group]), int(end[group]))
            tokens = texts[int(context[here.start])]
            values = np.zeros(len(tokens), np.float32)
            values[read["position"][here]] = value[here]
            scale, step = float(largest[here.start]), int(interval[group])
            found.setdefault(int(feature[here.start]), []).append(
                Shown(
                    tokens=tokens,
                    values=tuple(values.tolist()),
                    at=int(values.argmax()),
                    low=None if top else scale * step / INTERVALS,
                    high=None if top else scale * (step + 1) / INTERVALS,
                    share=None if top else shares[int(feature[here.start])][step],
                    context=int(context[here.start]),
                    split="train",
                )
            )
        return found

    def _shares(self, block: list[int]) -> dict[int, list[float]]:
        """The shares of the intervals of each feature, from the histogram of the whole train split."""
        rows = self._database.rows(f"SELECT feature, histogram FROM feature WHERE {_among('feature', block)}")
        found = {}
        for feature, histogram in rows:
            counts = np.asarray(histogram, np.float64).reshape(INTERVALS, -1).sum(axis=1)
            found[feature] = (counts / max(1.0, counts.sum())).tolist()
        return found

    def _texts(self, contexts: Int64[np.ndarray, " n"]) -> dict[int, tuple[str, ...]]:
        """What each token of some windows contributes to the text."""
        rows = self._database.rows(
            "SELECT c.context, c.starts, c.ends, substring(d.text, c.starts[1] + 1, list_max(c.ends) - c.starts[1]) "
            "FROM context c JOIN document d USING (document) "
            f"WHERE {_among('c.context', contexts.tolist())}"
        )
        return {
            number: tuple(contributions(text, [s - starts[0] for s in starts], [e - starts[0] for e in ends]))
            for number, starts, ends, text in rows
        }


def _among(column: str, numbers: Sequence[int]) -> str:
    """The condition that a column is one of some ascending numbers; a range lets the database pass over what lies outside."""
    first, last = numbers[0], numbers[-1]
    within = f"{column} BETWEEN {first} AND {last}"
    return within if last - first + 1 == len(numbers) else f"{within} AND {column} IN ({', '.join(map(str, numbers))})"


def _chosen(
    feature: Int64[np.ndarray, " groups"],
    context: Int64[np.ndarray, " groups"],
    peaks: Float32[np.ndarray, " groups"],
    interval: Int64[np.ndarray, " groups"],
    examples: int,
) -> list[tuple[int, bool]]:
    """Which windows of which features: (place, whether it is one of the strongest), feature after feature."""
    found: list[tuple[int, bool]] = []
    bounds = [*np.flatnonzero(np.diff(feature, prepend=-1)).tolist(), len(feature)]
    for begin, end in pairwise(bounds):
        here = np.arange(begin, end)
        order = here[np.lexsort((context[here], -peaks[here]))]
        found += [(int(place), True) for place in order[:examples]]
        rest = np.sort(order[examples:])
        drawn = rest[np.argsort(mix(context[rest], int(feature[begin])), kind="stable")]
        for step in range(INTERVALS - 1, -1, -1):
            found += [(int(place), False) for place in drawn[interval[drawn] == step][: -(-examples // INTERVALS)]]
    return found
