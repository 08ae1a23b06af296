"""Which tokens of a text a feature's activation at one position rests on.

Occlusion replaces or deletes each token in turn and reads the feature again. Gradients follow the feature into the embeddings of
the tokens: gradient times input, and integrated gradients (Sundararajan, Taly and Yan 2017), which add up to the difference
between the text and a baseline text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from dragoman.store import display
from dragoman.store.errors import UserError

from .probe import Focus, Probe
from .prompt import Prompt

Occlusion = Literal["replace", "delete"]


@dataclass(frozen=True)
class Attribution:
    """A number for every token: how much of the feature's value at the position it is answerable for."""

    feature: str
    """Address of the feature."""
    method: str
    """What was done, and what the scores are."""
    strings: tuple[str, ...]
    """The tokens."""
    scores: tuple[float | None, ...]
    """One a token, in the units of the activation: above zero, the token helps; None where there is none (the token cannot
    influence the position, or deleting it would take the position away)."""
    position: int
    """The token at which the feature was read."""
    value: float
    """What the scores explain: the feature's value there."""
    quantity: Literal["activation", "pre-activation"]
    """What `value` is. Where a feature is silent, gradients explain its pre-activation."""
    baseline_value: float | None = None
    """For integrated gradients: the value on the baseline."""

    @property
    def gap(self) -> float | None:
        """For integrated gradients: by how much the scores' sum misses value - baseline value; 0 when complete."""
        if self.baseline_value is None:
            return None
        return float(sum(s for s in self.scores if s is not None) - (self.value - self.baseline_value))

    def top(self, n: int = 10) -> list[tuple[int, str, float]]:
        """The tokens with the largest scores by size: position, string, score."""
        known = [(i, self.strings[i], s) for i, s in enumerate(self.scores) if s is not None]
        return sorted(known, key=lambda entry: -abs(entry[2]))[:n]

    def __str__(self) -> str:
        shown = [f"{score:+8.3f}  {i:4d}  {display.visible_token(token)}" for i, token, score in self.top()]
        return "\n".join([self._title, *shown])

    def __rich__(self) -> object:
        return display.signed_rich(self._title, self.strings, self.scores, self.position)

    def _repr_html_(self) -> str:
        return display.signed_html(self._title, self.strings, self.scores, self.position)

    @property
    def _title(self) -> str:
        return f"{self.feature} at token {self.position}, {self.quantity} {self.value:.3g}: {self.method}"


def occlude(
    probe: Probe,
    text: str | Prompt,
    position: int | None = None,
    method: Occlusion = "replace",
    replacement: str | None = None,
) -> Attribution:
    """What the activation at a position loses when each token in turn is replaced or deleted; one batched call.

    Args:
        probe: the feature.
        text: the text; of a long one, the window that holds the position.
        position: the token to look at; by default the one at which the feature is strongest.
        method: `replace` the token by a neutral one, or `delete` it.
        replacement: the neutral token; by default the commonest train token on which the feature is never active.

    Raises:
        UserError: the position is not in the text, the feature does not fire and no position is given, or `replacement` is not
            one token.
    """
    if method not in ("replace", "delete"):
        raise UserError(f"There is no occlusion {method!r}: tokens are replaced or deleted (replace, delete).")
    focus = probe.focus(text, position)
    ids = list(focus.ids)
    if method == "delete":
        rows = [ids[:i] + ids[i + 1 :] for i in range(len(ids) - 1)]
        said = "loss when the token is deleted"
    else:
        stand_in = probe.neutral if replacement is None else probe.token(replacement)
        rows = [[*ids[:i], stand_in, *ids[i + 1 :]] for i in range(len(ids))]
        said = f"loss when the token is replaced by {probe.subject.vocabulary[stand_in]!r}"
    losses = focus.value - probe.at(rows)
    return Attribution(
        feature=probe.key,
        method=said,
        strings=focus.prompt.strings,
        scores=_placed(focus, losses),
        position=focus.position,
        value=focus.value,
        quantity="activation",
    )


def _placed(focus: Focus, scores: np.ndarray) -> tuple[float | None, ...]:
    """Scores of the window's first tokens among those of the whole text."""
    after = len(focus.prompt) - focus.start - len(scores)
    return (*[None] * focus.start, *(float(s) for s in scores), *[None] * after)
