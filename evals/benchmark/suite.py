"""What a suite is: an endless supply of features, most of them with a known truth, made ready for one seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from .records import FreshText, Truth


class Trial(Protocol):
    """A suite made ready for one seed: a store to label in, and what is true there."""

    @property
    def store(self) -> Path:
        """The sealed store that contestants label in."""
        ...

    @property
    def features(self) -> tuple[int, ...]:
        """Global ids of the features that are asked about, ascending; all of them live."""
        ...

    @property
    def truths(self) -> Mapping[int, Truth]:
        """What is known, by feature; a feature without a truth is not there. Empty in suites without truth."""
        ...

    def fresh(self, feature: int, seed: int, n: int) -> Sequence[FreshText]:
        """About n texts of each kind that are in no store, for a feature with a truth; the same for the same seed.

        Near ones differ from true ones in exactly what a vague or wrong label would miss: they come from siblings, parents,
        and the same words in the wrong place. Tokens are those of the store's tokenizer.
        """
        ...


class Suite(Protocol):
    """Features of one kind, from any number of seeds."""

    @property
    def name(self) -> str:
        """What it is called in `--suite`."""
        ...

    def prepare(self, folder: Path, seed: int, features: int) -> Trial:
        """Make a trial of at most so many features in `folder`, or open the one that this seed has made there before.

        Another seed gives other features or other texts, so that nothing memorised helps. Killed and called again, it goes on.
        Raises UserError where there is nothing to make it from.
        """
        ...
