"""Statistics of sealed features against the definitions, computed anew in double precision from the rows."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from dragoman.store.features import Store
from dragoman.store.statistics import thresholds
from tests.support.synthetic import Rows, make_rows, seal_shards, write_shards


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rows, Store]:
    rows = make_rows(documents=120, rate=0.08, seed=5)
    path = tmp_path_factory.mktemp("statistics")
    write_shards(path, rows)
    seal_shards(path)
    return rows, Store.open(path)


def of_feature(rows: Rows, feature: int, split: str | None) -> list[tuple[int, int, float]]:
    splits = {c["context"]: c["split"] for c in rows.contexts}
    return [
        (a["context"], a["position"], a["value"])
        for a in rows.activations
        if a["feature"] == feature and split in (None, splits[a["context"]])
    ]


@pytest.mark.parametrize("feature", [0, 5, 13, 20, 23])
def test_train_statistics(case: tuple[Rows, Store], feature: int) -> None:
    rows, store = case
    stats = store.feature(feature).stats
    train = of_feature(rows, feature, "train")
    values = np.array([value for _, _, value in train])
    tokens = sum(len(c["ids"]) for c in rows.contexts if c["split"] == "train")
    assert stats.active == len(values)
    assert stats.density == pytest.approx(len(values) / tokens)
    if not len(values):
        assert (stats.max, stats.mean, stats.threshold, stats.firing, sum(stats.histogram)) == (0, 0, 0, 0, 0)
        return
    assert stats.max == values.max()
    assert stats.mean == pytest.approx(values.mean())
    assert stats.threshold == pytest.approx(0.2 * values.max(), rel=1e-6)
    fires = values > stats.threshold
    assert stats.firing == fires.sum()
    assert stats.firing_density == pytest.approx(fires.sum() / tokens)
    assert stats.quantiles == pytest.approx(np.quantile(values, np.linspace(0, 1, 11)).tolist(), rel=1e-6)
    assert sum(stats.histogram) == len(values)
    wanted, _ = np.histogram(values, bins=20, range=(0, values.max()))
    assert np.abs(np.cumsum(stats.histogram) - np.cumsum(wanted)).max() <= 2  # a value on an edge may fall to either side
    assert stats.firing_contexts == len({context for context, _, value in train if value > stats.threshold})


@pytest.mark.parametrize("feature", [0, 13, 20])
def test_corpus_statistics_and_liveness(case: tuple[Rows, Store], feature: int) -> None:
    rows, store = case
    stats = store.feature(feature).stats
    everything = of_feature(rows, feature, None)
    assert stats.corpus_max == max(value for _, _, value in everything)
    assert stats.corpus_density == pytest.approx(len(everything) / sum(len(c["ids"]) for c in rows.contexts))
    document = {c["context"]: c["document"] for c in rows.contexts}
    documents = tuple(
        len({document[context] for context, _, value in of_feature(rows, feature, split) if value > stats.threshold})
        for split in ("train", "validation", "test")
    )
    assert stats.corpus_firing_documents == documents
    assert stats.liveness == ("live" if documents[0] >= 10 and documents[1] >= 5 and documents[2] >= 10 else "rare")
    contexts = len({context for context, _, value in everything if value > stats.threshold})
    assert stats.corpus_firing_contexts == contexts
    assert stats.dense == (contexts > len(rows.contexts) / 2)


def test_top_tokens(case: tuple[Rows, Store]) -> None:
    rows, store = case
    ids = {c["context"]: c["ids"] for c in rows.contexts}
    for feature in (2, 13, 20):
        by_token = defaultdict(list)
        for context, position, value in of_feature(rows, feature, "train"):
            by_token[ids[context][position]].append(value)
        wanted = {token: np.mean(values) for token, values in by_token.items() if len(values) >= 3}
        ranked = sorted(wanted, key=lambda token: (-wanted[token], token))
        found = list(store.sql(f"SELECT token, mean_value, count FROM top_token WHERE feature = {feature} ORDER BY rank"))
        assert [row["token"] for row in found] == ranked[:20]
        assert [row["count"] for row in found] == [len(by_token[token]) for token in ranked[:20]]
        assert [row["mean_value"] for row in found] == pytest.approx([wanted[token] for token in ranked[:20]])


def test_coactivation_counts_train_tokens_on_which_both_fire(case: tuple[Rows, Store]) -> None:
    rows, store = case
    fired = {
        feature: {(c, p) for c, p, value in of_feature(rows, feature, "train") if value > threshold}
        for feature, threshold in enumerate(store.stats_table()["threshold"].to_pylist())
    }
    for feature in (1, 14):
        wanted = {
            other: len(fired[feature] & fired[other]) / len(fired[feature] | fired[other])
            for other in range(24)
            if other != feature and len(fired[feature] & fired[other]) >= 2
        }
        found = {
            row["other"]: row["jaccard"]
            for row in store.sql(f"SELECT other, jaccard FROM coactivation WHERE feature = {feature}")
        }
        best = sorted(wanted, key=lambda other: (-wanted[other], other))[:16]
        assert list(found) == best
        assert found == pytest.approx({other: wanted[other] for other in best})
    assert store.manifest.coactivation_tokens == store.manifest.tokens["train"]


def test_the_threshold_is_a_single_precision_number() -> None:
    maxima = np.random.default_rng(0).gamma(2.0, 3.0, 1000).astype(np.float32)
    found = thresholds(maxima)
    assert found.dtype == np.float32
    assert np.allclose(found, 0.2 * maxima.astype(np.float64), rtol=1e-7)


def test_features_of_many_blocks_are_like_those_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = make_rows(documents=60, rate=0.2)
    digests = []
    for number, block in enumerate((10_000_000, 500)):
        monkeypatch.setattr("dragoman.store.blocks.BLOCK_ROWS", block)
        write_shards(tmp_path / str(number), rows)
        seal_shards(tmp_path / str(number))
        digests.append(Store.open(tmp_path / str(number)).digest_tables())
    assert digests[0] == digests[1]
