"""Stores that keep at most so many activations a feature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dragoman.store.features import Store
from dragoman.store.records import SPLITS
from tests.support.synthetic import make_rows, seal_shards, write_shards


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Store]:
    """The same harvest whole and sampled."""
    path = tmp_path_factory.mktemp("sampling")
    rows = make_rows(documents=300, rate=0.1, seed=2)
    for name, limit in (("whole", None), ("sampled", 200)):
        write_shards(path / name, rows)
        seal_shards(path / name, max_per_feature=limit)
    return Store.open(path / "whole"), Store.open(path / "sampled")


def test_statistics_are_exact(pair: tuple[Store, Store]) -> None:
    whole, sampled = pair
    tables = [store.stats_table().drop_columns(["sampled"]).to_pylist() for store in pair]
    assert tables[0] == tables[1]
    for table in ("top_token", "coactivation"):
        assert whole.digest_tables()[table] == sampled.digest_tables()[table]
    assert whole.manifest.activations_seen == sampled.manifest.activations_seen > sampled.manifest.activations
    assert any(sampled.stats_table()["sampled"].to_pylist()) and not any(whole.stats_table()["sampled"].to_pylist())


def test_kept_contexts_are_whole_and_the_others_are_known(pair: tuple[Store, Store]) -> None:
    whole, sampled = pair
    for feature in (0, 15, 20):
        for split in SPLITS:
            table = whole.tokens(split)
            flat, values = whole.activations(feature, split)
            kept, kept_values = sampled.activations(feature, split)
            assert np.isin(kept, flat).all()
            assert np.array_equal(kept_values, values[np.isin(flat, kept)])
            active, shown = set(table.row[flat].tolist()), set(table.row[kept].tolist())
            assert np.isin(flat[np.isin(table.row[flat], list(shown))], kept).all(), "a kept context shows all its activations"
            missing = {int(table.context_ids[row]) for row in active - shown}
            assert set(sampled.unknown_contexts(feature, split).tolist()) == missing
            assert whole.unknown_contexts(feature, split).size == 0


def test_the_sample_is_within_its_limit_keeps_the_top_and_covers_the_range(pair: tuple[Store, Store]) -> None:
    whole, sampled = pair
    for feature in (15, 20):
        _, values = whole.activations(feature, "train")
        _, kept = sampled.activations(feature, "train")
        assert len(values) > 400
        assert 60 < len(kept) <= 120 + 20 * 4, "a limit of 200, 0.6 of it for train, and the twenty contexts that are always kept"
        assert kept.max() == values.max()
        assert np.median(kept) < np.quantile(values, 0.9), "not the top alone"
        assert [e.context.id for e in whole.examples(feature, "train", "top", 10)] == [
            e.context.id for e in sampled.examples(feature, "train", "top", 10)
        ]


def test_contexts_that_are_not_stored_are_never_called_silent(pair: tuple[Store, Store]) -> None:
    whole, sampled = pair
    for feature in (15, 20):
        for stratum in ("random_silent", "near_miss"):
            for example in sampled.examples(feature, "train", stratum, 200):
                flat, _ = whole.activations(feature, "train")
                rows = whole.tokens("train").index.rows_of(np.array([example.context.id]))
                assert not np.isin(whole.tokens("train").row[flat], rows).any()


def test_the_sample_is_the_same_every_time(tmp_path: Path) -> None:
    digests = []
    for shards in (1, 4):
        path = tmp_path / str(shards)
        write_shards(path, make_rows(documents=80, rate=0.2), shards)
        seal_shards(path, max_per_feature=100)
        digests.append(Store.open(path).digest_tables())
    assert digests[0] == digests[1]
