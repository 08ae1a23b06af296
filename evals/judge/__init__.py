"""Judges: what predicts, from a label alone, where its feature fires. No judge ever sees a true activation."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from dragoman.store.records import Label
from dragoman.store.tokens import TokenTable


class CannotJudge(Exception):
    """This judge cannot predict from this label; the message is the reason why the label stays unscored."""


class Judge(Protocol):
    """Predicts the activations of a feature from its label."""

    name: str
    """Recorded with every score."""
    executes: bool
    """True for a judge that runs the label's rule and does not read its words."""

    def simulate(
        self, label: Label, tokens: TokenTable, rows: Int[NDArray[np.int64], " contexts"]
    ) -> Float[NDArray[np.float32], " tokens"]:
        """Predicted activation at each token of these contexts, one after another in the order given, as a share of
        the train maximum.

        Raises CannotJudge where the label gives nothing to predict from.
        """
        ...

    def detect(
        self, label: Label, tokens: TokenTable, rows: Int[NDArray[np.int64], " contexts"]
    ) -> Float[NDArray[np.float32], " contexts"]:
        """Probability that the feature fires somewhere in each of these contexts; above 0.5 means "it fires".

        Raises CannotJudge where the label gives nothing to predict from.
        """
        ...
