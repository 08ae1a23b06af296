"""Which tokens of a text a feature's activation at one position rests on.

Occlusion replaces or deletes each token in turn and reads the feature again. Gradients follow the feature into the embeddings of
the tokens: gradient times input, and integrated gradients (Sundararajan, Taly and Yan 2017), which add up to the difference
between the text and a baseline text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from dragoman.store import display
from dragoman.store.errors import UserError

from .gauge import Focus, Gauge
from .probe import Probe
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
    gauge: Gauge,
    text: str | Prompt,
    position: int | None = None,
    method: Occlusion = "replace",
    replacement: str | None = None,
) -> Attribution:
    """What the activation at a position loses when each token in turn is replaced or deleted; one batched call.

    Args:
        gauge: the feature.
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
    focus = gauge.focus(text, position)
    ids = list(focus.ids)
    if method == "delete":
        rows = [ids[:i] + ids[i + 1 :] for i in range(len(ids) - 1)]
        said = "loss when the token is deleted"
    else:
        stand_in = gauge.neutral if replacement is None else gauge.token(replacement)
        rows = [[*ids[:i], stand_in, *ids[i + 1 :]] for i in range(len(ids))]
        said = f"loss when the token is replaced by {gauge.speaker.vocabulary[stand_in]!r}"
    losses = focus.value - gauge.at(rows)
    return Attribution(
        feature=gauge.key,
        method=said,
        strings=focus.prompt.strings,
        scores=_placed(focus, losses),
        position=focus.position,
        value=focus.value,
        quantity="activation",
    )


def gradient(probe: Probe, text: str | Prompt, position: int | None = None) -> Attribution:
    """Gradient times input: for each token the inner product of its embedding and the gradient with respect to it.

    Where the feature is silent at the position, the gradient is that of its pre-activation.

    Raises:
        UserError: as `occlude`; or the dictionary has no pre-activations.
    """
    focus = probe.focus(text, position)
    embeddings = probe.embed([focus.ids])
    values, gradients = probe.gradients(embeddings, [len(focus.ids) - 1])
    scores = (gradients * embeddings).sum(-1)[0].float().cpu().numpy()
    return _followed(probe, focus, float(values[0]), scores, "gradient times embedding", None)


def integrated_gradients(
    probe: Probe, text: str | Prompt, position: int | None = None, steps: int = 32, baseline: str | None = None
) -> Attribution:
    """Integrated gradients (Sundararajan et al. 2017, eq. 1) on the embeddings, along the straight line from a baseline text.

    The integral is taken by Gauss-Legendre quadrature. The scores add up to value minus baseline value; `gap` says how nearly.

    Args:
        probe: the feature.
        text: the text.
        position: the token to look at; by default the one at which the feature is strongest.
        steps: points on the line; more make the gap smaller.
        baseline: a token that stands in every place of the baseline text; by default the mean of all embeddings does.

    Raises:
        UserError: as `gradient`; or `baseline` is not one token.
    """
    if not 2 <= steps <= 1024:
        raise UserError(f"Integrated gradients take 2 to 1024 steps, not {steps}.")
    focus = probe.focus(text, position)
    end = probe.embed([focus.ids])
    if baseline is None:
        start = probe.embed([range(int(probe.subject.text_config.vocab_size))]).mean(1, keepdim=True).expand_as(end)
        said = "the mean embedding"
    else:
        start = probe.embed([[probe.token(baseline)] * len(focus.ids)])
        said = f"{baseline!r} in every place"
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    shares = torch.tensor((nodes + 1) / 2, dtype=end.dtype, device=end.device)[:, None, None]
    path = torch.cat([start + shares * (end - start), start, end])
    values, gradients = probe.gradients(path, [len(focus.ids) - 1] * len(path))
    factors = torch.tensor(weights / 2, device=end.device, dtype=torch.float64)[:, None, None]
    mean = (gradients[:steps].double() * factors).sum(0)
    scores = (mean * (end - start)[0].double()).sum(-1).cpu().numpy()
    return _followed(probe, focus, float(values[-1]), scores, f"integrated gradients from {said}", float(values[-2]))


def _followed(
    probe: Probe, focus: Focus, value: float, scores: np.ndarray, said: str, baseline_value: float | None
) -> Attribution:
    return Attribution(
        feature=probe.key,
        method=said,
        strings=focus.prompt.strings,
        scores=_placed(focus, scores),
        position=focus.position,
        value=value,
        quantity="activation" if focus.value > 0 else "pre-activation",
        baseline_value=baseline_value,
    )


def _placed(focus: Focus, scores: np.ndarray) -> tuple[float | None, ...]:
    """Scores of the window's first tokens among those of the whole text."""
    after = len(focus.prompt) - focus.start - len(scores)
    return (*[None] * focus.start, *(float(s) for s in scores), *[None] * after)
