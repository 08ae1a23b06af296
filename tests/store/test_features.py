"""Store: the first round trip."""

from __future__ import annotations

from dragoman.store.features import Store


def test_store_opens_and_knows_its_features(synthetic_store: Store) -> None:
    assert synthetic_store.width == 24
    assert synthetic_store.features("dead") == [23]
    assert synthetic_store.feature("sae/3").stats.top_tokens[0].token == " sparrow"
