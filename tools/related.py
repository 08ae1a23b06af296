"""Which features are near a given one: by decoder direction, by firing on the same tokens, by firing in the same contexts.

Firing (value above the feature's threshold) is counted on all train rows of the store. With a, b the tokens on which each fires,
ab those on which both do, n all train tokens: Jaccard ab / (a + b - ab); pointwise mutual information log(ab n / (a b)), in nats,
for pairs that fire together on at least `MIN_BOTH` tokens, since rare coincidences have the highest values. By contexts: Jaccard
of the contexts in which each fires anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dragoman.store.display import table_html, table_text
from dragoman.store.errors import UserError
from dragoman.store.records import FeatureKey, RelatedFeature, TrainStats
from dragoman.store.tokens import TokenTable

from .dictionaries import Dictionary

By = Literal["decoder", "coactivation", "pmi", "contexts"]
MIN_BOTH = 5
"""Pairs that fire together on fewer train tokens have no pointwise mutual information worth giving."""
TOP = 20


class Rows(Protocol):
    """What is read of a store: train rows only. A `TrainView` is one."""

    @property
    def tokens(self) -> TokenTable:
        """All train tokens."""
        ...

    def key(self, feature: int) -> FeatureKey:
        """The address of a global feature id."""
        ...

    def stats(self, feature: int) -> TrainStats:
        """Train statistics."""
        ...

    def neighbours(self, feature: int) -> tuple[RelatedFeature, ...]:
        """Nearest features by decoder cosine, as far as the store keeps them."""
        ...

    def together(self, feature: int) -> dict[str, np.ndarray]:
        """Features that fire where this one fires, with counts."""
        ...


@dataclass(frozen=True)
class Neighbour:
    """A feature near another one."""

    feature: str
    """DICT/INDEX."""
    value: float
    """The measure of nearness."""
    both: int | None
    """Train tokens (by contexts: contexts) on which both fire; None by decoder."""
    alone: int | None
    """Train tokens (or contexts) on which this one fires at all; None by decoder."""


@dataclass(frozen=True)
class Neighbours:
    """The features nearest to one, by one measure."""

    feature: str
    """DICT/INDEX."""
    by: By
    """The measure."""
    what: str
    """What `value` is, in words."""
    found: tuple[Neighbour, ...]
    """Nearest first."""
    note: str = ""
    """What a reader must know, such as that the store is a sample."""

    def __repr__(self) -> str:
        return f"Features near {self.feature} by {self.what}\n{table_text(*self._table())}"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return table_html(*self._table())

    def _table(self) -> tuple[list[str], list[dict[str, object]], str]:
        names = ["feature", "value"] if self.by == "decoder" else ["feature", "value", "both", "alone"]
        rows: list[dict[str, object]] = [
            {"feature": n.feature, "value": round(n.value, 4), "both": n.both, "alone": n.alone} for n in self.found
        ]
        return names, rows, self.note or self.what


def related(train: Rows, feature: int, by: By, top: int = TOP, dictionary: Dictionary | None = None) -> Neighbours:
    """The features nearest to one.

    Args:
        train: the store's train rows.
        feature: global id.
        by: the measure.
        top: how many.
        dictionary: the feature's dictionary, for nearness by decoder where the store keeps none (or fewer than `top`).

    Raises:
        UserError: the measure does not exist, or nearness by decoder is wanted, is not in the store, and no dictionary was given.
    """
    key = train.key(feature)
    if by == "decoder":
        return _by_decoder(train, feature, top, dictionary)
    if by not in get_args(By):
        raise UserError(f"Nearness by {by!r} does not exist: choose from {', '.join(get_args(By))}.")
    read, stats = train.together(feature), train.stats(feature)
    contexts = by == "contexts"
    both = read["contexts" if contexts else "tokens"].astype(np.int64)
    alone = read["firing_contexts" if contexts else "firing"].astype(np.int64)
    mine = stats.firing_contexts if contexts else stats.firing
    keep = both >= (MIN_BOTH if by == "pmi" else 1)
    other, both, alone = read["other"][keep], both[keep], alone[keep]
    if by == "pmi":
        value = np.log(both * float(len(train.tokens.ids)) / np.maximum(1.0, alone * float(mine)))
    else:
        value = both / np.maximum(1, alone + mine - both)
    order = np.lexsort((other, -value))[:top]
    found = tuple(Neighbour(str(train.key(int(other[i]))), float(value[i]), int(both[i]), int(alone[i])) for i in order.tolist())
    note = f"{key} fires on {mine:,} train {'contexts' if contexts else 'tokens'}"
    if stats.sampled:
        note += "; the store is a sample, so that counts of both are too low"
    what = {
        "coactivation": "the Jaccard index of the train tokens on which they fire",
        "pmi": f"pointwise mutual information of firing on train tokens, in nats (at least {MIN_BOTH} in common)",
        "contexts": "the Jaccard index of the train contexts in which they fire",
    }[by]
    return Neighbours(str(key), by, what, found, note)


def _by_decoder(train: Rows, feature: int, top: int, dictionary: Dictionary | None) -> Neighbours:
    key = train.key(feature)
    known = train.neighbours(feature)[:top]
    if len(known) < top and dictionary is not None:
        known = tuple(
            RelatedFeature(FeatureKey(key.dictionary, other), value)
            for other, value in _cosines(dictionary.directions, key.index, top)
        )
    if not known and dictionary is None:
        raise UserError(f"The store keeps no neighbours by decoder for {key}: the dictionary itself is needed, see --model.")
    found = tuple(Neighbour(str(other), value, None, None) for other, value in known)
    return Neighbours(str(key), "decoder", "the cosine of their decoder directions", found)


@torch.inference_mode()
def _cosines(directions: Float[Tensor, "width d"], index: int, top: int) -> list[tuple[int, float]]:
    cosine = torch.nn.functional.cosine_similarity(directions.float(), directions[index].float()[None], dim=-1)
    cosine[index] = -2
    values, others = torch.topk(cosine, min(top, len(cosine) - 1))
    return list(zip(others.tolist(), values.tolist(), strict=True))
