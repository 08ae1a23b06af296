"""Strata of examples against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from dragoman.store.examples import STRATA, Examples
from dragoman.store.features import Store
from dragoman.store.records import SPLITS, Split


def peaks(store: Store, feature: int, split: Split) -> dict[int, float]:
    """Context and largest value, for every context in which the feature is active."""
    table = store.tokens(split)
    found: dict[int, float] = {}
    for flat, value in zip(*store.activations(feature, split), strict=True):
        context = int(table.context_ids[table.row[flat]])
        found[context] = max(found.get(context, 0.0), float(value))
    return found


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("feature", [3, 15])
def test_every_stratum_shows_what_it_says(synthetic_store: Store, feature: int, split: Split) -> None:
    active = peaks(synthetic_store, feature, split)
    stats = synthetic_store.feature(feature).stats
    table = synthetic_store.tokens(split)
    flat, values = synthetic_store.activations(feature, split)
    dense = np.zeros(len(table.ids), np.float32)
    dense[flat] = values
    for stratum in STRATA:
        examples = synthetic_store.examples(feature, split, stratum, 12)
        assert isinstance(examples, Examples)
        ids = [example.context.id for example in examples]
        assert len(set(ids)) == len(ids) > 0, stratum
        for example in examples:
            (row,) = table.index.rows_of(np.array([example.context.id]))
            assert example.context.split == split
            assert (example.stratum, example.threshold, example.scale) == (stratum, stats.threshold, stats.max)
            assert list(example.values) == dense[table.starts[row] : table.starts[row + 1]].tolist()
        if stratum == "top":
            assert ids == sorted(active, key=lambda context: (-active[context], context))[:12]
        elif stratum in ("quantile", "random_active"):
            assert set(ids) <= set(active)
        else:
            assert not set(ids) & set(active)
        if stratum == "random_active":
            assert all(active[context] > stats.threshold for context in ids)


def test_quantiles_cover_the_range_evenly(synthetic_store: Store) -> None:
    feature = 15
    edges = np.array(synthetic_store.feature(feature).stats.quantiles)
    active = peaks(synthetic_store, feature, "train")
    examples = synthetic_store.examples(feature, "train", "quantile", 20)
    bins = [int(np.searchsorted(edges[1:-1], max(example.values), side="right")) for example in examples]
    there = {int(np.searchsorted(edges[1:-1], peak, side="right")) for peak in active.values()}
    assert len(there) == 10
    assert all(bins.count(number) == 2 for number in there)


def test_near_misses_hold_a_trigger_token_or_a_firing_neighbour(synthetic_store: Store) -> None:
    """Feature 15 fires at random, so its trigger tokens are all over the place;
    its neighbours are 16 to 19 and what fires with it.
    """
    feature = 15
    train = synthetic_store.tokens("train")
    flat, values = synthetic_store.activations(feature, "train")
    fired, counts = np.unique(train.ids[flat[values > synthetic_store.feature(feature).stats.threshold]], return_counts=True)
    triggers = set(fired[np.lexsort((fired, -counts))][:12].tolist())
    known = synthetic_store.feature(feature)
    near = [synthetic_store.id(key) for key, _ in (*known.neighbours[:8], *known.coactive[:8])]
    firing = set()
    for other in near:
        threshold = synthetic_store.feature(other).stats.threshold
        firing |= {context for context, peak in peaks(synthetic_store, other, "test").items() if peak > threshold}
    examples = synthetic_store.examples(feature, "test", "near_miss", 30)
    with_trigger = [bool(triggers & set(example.context.ids)) for example in examples]
    with_neighbour = [example.context.id in firing for example in examples]
    assert all(a or b for a, b in zip(with_trigger, with_neighbour, strict=True))
    assert sum(with_trigger[::2]) == len(with_trigger[::2]), "every other one was chosen for its tokens"
    assert any(with_neighbour)


def test_a_feature_of_one_word_has_no_near_miss_by_token(synthetic_store: Store) -> None:
    """Feature 3 fires on every 'sparrow': no silent context holds one, so its near misses come from neighbours alone."""
    for example in synthetic_store.examples(3, "train", "near_miss", 20):
        assert 3 not in example.context.ids and not any(example.values)


def test_draws_depend_on_the_seed_alone(synthetic_store: Store) -> None:
    for stratum in ("quantile", "random_active", "near_miss", "random_silent"):
        first = [example.context.id for example in synthetic_store.examples(5, "train", stratum, 8, seed=1)]
        assert first == [example.context.id for example in synthetic_store.examples(5, "train", stratum, 8, seed=1)]
        assert first != [example.context.id for example in synthetic_store.examples(5, "train", stratum, 8, seed=2)]


def test_fewer_where_there_are_not_so_many(synthetic_store: Store) -> None:
    n = len(peaks(synthetic_store, 15, "test"))
    assert len(synthetic_store.examples(15, "test", "top", 10_000)) == n
    assert synthetic_store.examples(15, "test", "top", 0) == []
    assert synthetic_store.examples(23, "test", "random_active", 5) == []
