"""The judge that needs no model: it executes the label's pattern. Its scores are about the rule, not about the words."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from dragoman.store.errors import ToolError
from dragoman.store.records import Label
from dragoman.store.tokens import TokenTable
from dragoman.tools.patterns import LEVELS, PatternText, Usage, parse

from . import CannotJudge

Rows = Int[NDArray[np.int64], " contexts"]

PROBABILITY = {"sometimes": 0.55, "faintly": 0.85, "weakly": 0.96, "moderately": 0.98, "strongly": 0.99, "fully": 0.995}
"""How likely a context fires that holds a single token of which a pattern states this strength, where half of the contexts fire,
as a detection sample is made.

Measured on train contexts sampled as in detection, over 100 induced labels of the organism, as the share of firing ones among
those whose strongest token has this strength and is the only one: .50, .83, .97, .98, 1.00, 1.00.
"""
_LEVELS = np.array([0.0, *(LEVELS[name] for name in PROBABILITY)], np.float32)
_SILENT = np.log1p(-np.array([0.0, *PROBABILITY.values()]))


class PatternJudge:
    """Executes patterns. All it knows besides the label is how tokens are used on train, for "used like"."""

    name = "pattern"
    executes = True

    def __init__(self, usage: Usage) -> None:
        """`usage`: learned from train tokens."""
        self.usage = usage
        self._texts: list[tuple[TokenTable, PatternText]] = []
        self._strengths: list[tuple[TokenTable, str, Float[NDArray[np.float32], " tokens"]]] = []

    def simulate(self, label: Label, tokens: TokenTable, rows: Rows) -> Float[NDArray[np.float32], " tokens"]:
        """The strength that the pattern states for each token, 0 where no clause holds. Raises CannotJudge."""
        strength = self._strength(label, tokens)
        parts = [strength[tokens.starts[row] : tokens.starts[row + 1]] for row in rows]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def detect(self, label: Label, tokens: TokenTable, rows: Rows) -> Float[NDArray[np.float32], " contexts"]:
        """Probability that at least one token fires. Raises CannotJudge.

        Each strength stands for a probability (`PROBABILITY`), and tokens are taken as independent. All of them are above 0.5,
        so the prediction is that a context fires where the pattern holds for any token of it.
        """
        strength = self._strength(label, tokens)
        place = np.argmin(np.abs(strength[:, None] - _LEVELS), axis=1)
        silent = np.concatenate(([0.0], np.cumsum(_SILENT[place])))
        asked = np.asarray(rows, np.int64)
        log_silent = silent[tokens.starts[asked + 1]] - silent[tokens.starts[asked]]
        return np.asarray(-np.expm1(log_silent), np.float32)

    def _strength(self, label: Label, tokens: TokenTable) -> NDArray[np.float32]:
        if label.pattern is None:
            raise CannotJudge("the label has no pattern to execute")
        for table, pattern, strength in self._strengths:
            if table is tokens and pattern == label.pattern:
                return strength
        try:
            strength = parse(label.pattern).predict(self._text(tokens))
        except ToolError as error:
            raise CannotJudge(f"its pattern cannot be read: {error}") from error
        self._strengths = [*self._strengths[-3:], (tokens, label.pattern, strength)]
        return strength

    def _text(self, tokens: TokenTable) -> PatternText:
        for table, text in self._texts:
            if table is tokens:
                return text
        text = PatternText(tokens, self.usage)
        self._texts = [*self._texts[-2:], (tokens, text)]
        return text
