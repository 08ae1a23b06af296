"""In which order features are labeled: the ones most worth a label first.

Worth is what a label would explain: all of a feature's activation on train, in units of its own maximum. Features that fire in
more than half of all contexts come last (what they mean can hardly be tested).
"""

from __future__ import annotations

from collections.abc import Sequence

from dragoman.store.errors import UserError
from dragoman.store.features import Store


def queue(store: Store, features: Sequence[int] | None) -> list[int]:
    """The live ones among `features` (None: all) in the order of the work. Raises UserError when none of them is live."""
    live = set(store.features("live"))
    asked = range(store.width) if features is None else sorted(set(features))
    chosen = [feature for feature in asked if feature in live]
    if not chosen:
        raise UserError(
            f"None of the {len(asked)} features asked for is live in {store.path} (a live feature fires in at least 10 train, "
            "5 validation and 10 test documents): harvest more text, or choose others with --features."
        )
    stats = {row["feature"]: row for row in store.stats_table().to_pylist()}

    def rank(feature: int) -> tuple[bool, float, int]:
        row = stats[feature]
        weight = row["mean"] * row["active"] / row["max"] if row["max"] else 0.0
        return bool(row["dense"]), -weight, feature

    return sorted(chosen, key=rank)
