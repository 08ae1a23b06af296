"""The judge that needs no model: it executes the label's pattern. Its scores are about the rule, not about the words."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from dragoman.store.errors import ToolError
from dragoman.store.records import Label
from dragoman.store.tokens import TokenTable
from dragoman.tools.patterns import PatternText, Usage, parse

from . import CannotJudge

Rows = Int[NDArray[np.int64], " contexts"]

FIRES = 0.2
"""Share of the train maximum above which a feature fires."""


class PatternJudge:
    """Executes patterns. All it knows besides the label is how tokens are used on train, for "used like"."""

    name = "pattern"
    executes = True

    def __init__(self, usage: Usage) -> None:
        """`usage`: learned from train tokens."""
        self.usage = usage
        self._texts: list[tuple[TokenTable, PatternText]] = []

    def simulate(self, label: Label, tokens: TokenTable, rows: Rows) -> Float[NDArray[np.float32], " tokens"]:
        """The strength that the pattern states for each token, 0 where no clause holds. Raises CannotJudge."""
        strength = self._strength(label, tokens)
        parts = [strength[tokens.starts[row] : tokens.starts[row + 1]] for row in rows]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def detect(self, label: Label, tokens: TokenTable, rows: Rows) -> Float[NDArray[np.float32], " contexts"]:
        """Probability from the strongest stated strength in the context. Raises CannotJudge.

        A strength s is read as the probability s / (s + 0.2): one half where it equals the firing threshold, so that
        "faintly" (0.1) means
        that it more likely does not fire, and "weakly" (0.3) that it does. A hundredth of what is left is added for
        further tokens that match, which
        orders contexts of equal peak and never crosses one half.
        """
        strength = self._strength(label, tokens)
        peak = np.zeros(len(rows), np.float32)
        mass = np.zeros(len(rows), np.float32)
        for place, row in enumerate(rows):
            window = strength[tokens.starts[row] : tokens.starts[row + 1]]
            peak[place], mass[place] = window.max(initial=0.0), window.sum()
        probability = peak / (peak + FIRES)
        return (probability + 0.01 * (1 - probability) * mass / (mass + 1)).astype(np.float32)

    def _strength(self, label: Label, tokens: TokenTable) -> NDArray[np.float32]:
        if label.pattern is None:
            raise CannotJudge("the label has no pattern to execute")
        try:
            return parse(label.pattern).predict(self._text(tokens))
        except ToolError as error:
            raise CannotJudge(f"its pattern cannot be read: {error}") from error

    def _text(self, tokens: TokenTable) -> PatternText:
        for table, text in self._texts:
            if table is tokens:
                return text
        text = PatternText(tokens, self.usage)
        self._texts = [*self._texts[-2:], (tokens, text)]
        return text
