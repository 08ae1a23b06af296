"""Executable explanations: how well a pattern does on all train tokens."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dragoman.store.errors import ToolError
from dragoman.tools.patterns import LEVELS, PatternText, parse

from .declaring import ToolResult
from .showing import around, fitting, number, short, strip
from .study import Address, Study

GRAMMAR = (
    f'STRENGTH: TOKENS where CONDITION, CONDITION; … with STRENGTH one of {", ".join(LEVELS)}; TOKENS any, "a" "b", '
    'starting "un", ending "ing", like "robin", digit, capitalised …, joined by & | !; CONDITION prev T, next T, within 8 T, '
    "earlier T, in-sentence T, word T, inside quotes, word-start, line-start, first 8, /regex/, each also with not. Example: "
    'strongly: "park" "garden" where prev "the" "a", not inside quotes; weakly: capitalised where line-start'
)
"""The pattern language in short; docs/patterns.md has all of it."""
FIRES = 0.2
"""A pattern says "fires" where its strength, a share of the train maximum, is above this: all strengths from weakly on."""


def match_pattern(
    study: Study,
    pattern: Annotated[str, Field(min_length=1, max_length=4_000)],
    mistakes: Annotated[int, Field(ge=0, le=8)] = 2,
    feature: Address | None = None,
) -> ToolResult:
    """Check an explanation as a rule: exact precision, recall, F1 and correlation over all train tokens, without a model.

    A pattern says on which tokens the feature fires and how strongly. Tokens count as predicted where its strength is weakly or
    more. Weak tokens (active below the threshold) are neither right nor wrong in precision; their share is told. Mistakes are
    shown: tokens where it fires and the pattern does not say so, and the other way round.

    Args:
        pattern: STRENGTH: TOKENS where CONDITION, CONDITION; more clauses after a semicolon. Strengths: sometimes, faintly,
            weakly, moderately, strongly, fully. Tokens: any, "a" "b" (with or without a space before it), " a" (only with it),
            starting/ending/containing "x", like "x" (used alike), digit, letter, alphabetic, punctuation, capitalised, uppercase,
            lowercase, whitespace, line-break, short, long; joined by & (both), | (either), ! (other than). Conditions, each also
            with not: prev T, prev2 T, next T, within 8 T, earlier T, in-line T, in-sentence T, in-word T, line-begins T, word T,
            prev-word T, inside quotes/parentheses/url/number/…, word-start, line-start, sentence-start, repeated, first 8,
            beyond 8, /regex/.
        mistakes: How many missed and how many falsely predicted tokens to show.
        feature: The feature as DICT/INDEX; by default the one under study.

    Example:
        {"pattern": "strongly: \\"the\\" where prev \\"in\\" \\"on\\""}
    """
    number_of, desk = study.id(feature), study.desk
    try:
        parsed = parse(pattern)
    except ToolError as error:
        raise ToolError(f"match_pattern: {error}. A pattern is {GRAMMAR}") from None
    rows, stats = desk.rows(number_of), desk.stats(number_of)
    text = desk.text
    with desk.lock:
        strength = parsed.predict(text)
    known = _known(study, number_of, text)
    measured = _measure(strength, rows.at, rows.values, stats.threshold, text, known)
    key, figures = study.key(number_of), measured.figures
    head = [
        f"{key} on {figures['tokens']:,} train tokens, of which it fires on {figures['firing']:,}; "
        f"the pattern predicts {figures['predicted']:,} ({parsed.render()})",
        f"Tokens: precision {_said(figures['precision'])}, recall {_said(figures['recall'])}, F1 {_said(figures['f1'])}; "
        f"correlation with the activation {_said(figures['r'])}; {figures['weak']:,} predicted tokens are weak.",
        f"Contexts: precision {_said(figures['context_precision'])}, recall {_said(figures['context_recall'])}.",
    ]
    if not figures["predicted"] and bool((strength > 0).any()):
        head.append("All its strengths that apply are below weakly, so it predicts that the feature never fires.")
    real = np.zeros(len(text), np.float32)
    real[rows.at] = rows.values
    places = [
        (kind, at)
        for kind, found in (("missed", measured.missed), ("false alarm", measured.false))
        for at in _different(found, text, mistakes)
    ]
    items = [_mistake(study, kind, at, real, stats.threshold, stats.max) for kind, at in places]
    shown, count = fitting("\n".join(head), items, "mistakes")
    data: dict[str, Any] = {
        "feature": key,
        "pattern": str(parsed),
        **{name: number(value) if isinstance(value, float) else value for name, value in figures.items()},
        "mistakes": [
            {
                "kind": kind,
                "context": int(desk.train.tokens.context_ids[text.row[at]]),
                "position": int(text.position[at]),
                "value": number(float(real[at])),
            }
            for kind, at in places[:count]
        ],
    }
    return ToolResult(shown, data, read=count)


class _Measured:
    """Figures of a pattern, and where it is wrong: missed and false tokens, the worst first."""

    def __init__(self, figures: dict[str, Any], missed: NDArray[np.int64], false: NDArray[np.int64]) -> None:
        self.figures, self.missed, self.false = figures, missed, false


def _measure(
    strength: NDArray[np.float32],
    at: NDArray[np.int64],
    values: NDArray[np.float32],
    threshold: float,
    text: PatternText,
    known: NDArray[np.bool_] | None,
) -> _Measured:
    """Precision, recall, F1 and r of predicted strengths against stored activations, unknown tokens left out."""
    if known is not None:
        strength = np.where(known, strength, np.float32(0))
    said = strength > FIRES
    fires_at, weak_at = at[values > threshold], at[values <= threshold]
    hit, weak = int(said[fires_at].sum()), int(said[weak_at].sum())
    predicted, firing = int(said.sum()), len(fires_at)
    judged = predicted - weak
    precision = hit / judged if judged else None
    recall = hit / firing if firing else None
    active = said.copy()
    active[at] = False
    order = np.argsort(-values[values > threshold], kind="stable")
    missed = fires_at[order][~said[fires_at[order]]]
    false = np.flatnonzero(active)
    false = false[np.argsort(-strength[false], kind="stable")]
    firing_rows, active_rows = np.unique(text.row[fires_at]), np.unique(text.row[at])
    said_rows = np.unique(text.row[said])
    right = np.isin(said_rows, firing_rows)
    neither = np.isin(said_rows, active_rows) & ~right
    clear = len(said_rows) - int(neither.sum())
    figures = {
        "tokens": int(known.sum()) if known is not None else len(text),
        "firing": firing,
        "predicted": predicted,
        "hits": hit,
        "weak": weak,
        "precision": precision,
        "recall": recall,
        "f1": 2 * hit / (judged + firing) if judged + firing else None,
        "r": _correlation(strength, at, values, int(known.sum()) if known is not None else len(text)),
        "context_precision": int(right.sum()) / clear if clear else None,
        "context_recall": int(right.sum()) / len(firing_rows) if len(firing_rows) else None,
    }
    return _Measured(figures, missed, false)


def _correlation(strength: NDArray[np.float32], at: NDArray[np.int64], values: NDArray[np.float32], size: int) -> float | None:
    """Pearson's r over `size` tokens, all of them 0 where nothing is given; None where one side is constant."""
    there = np.flatnonzero(strength)
    x, y = strength[there].astype(np.float64), values.astype(np.float64)
    both = float(strength[at].astype(np.float64) @ y) - x.sum() * y.sum() / size
    spread = (float(x @ x) - x.sum() ** 2 / size) * (float(y @ y) - y.sum() ** 2 / size)
    return both / spread**0.5 if spread > 1e-12 else None


def _known(study: Study, feature: int, text: PatternText) -> NDArray[np.bool_] | None:
    """Which tokens a sampled store says something about; None where it is all of them."""
    if not study.desk.stats(feature).sampled:
        return None
    unknown = study.desk.train.unknown_contexts(feature)
    return ~np.isin(study.desk.train.tokens.context_ids, unknown)[text.row]


def _different(found: NDArray[np.int64], text: PatternText, n: int) -> list[int]:
    """The first n places, each in a context of its own and on a different token as long as there are such."""
    chosen: dict[tuple[int, int], int] = {}
    for at in found[: 40 * n].tolist():
        if int(text.row[at]) not in {row for row, _ in chosen}:
            chosen.setdefault((int(text.row[at]), int(text.ids[at])), at)
    fresh: dict[int, int] = {}
    for (_, token_id), at in chosen.items():
        fresh.setdefault(token_id, at)
    rest = [at for at in chosen.values() if at not in fresh.values()]
    return [*fresh.values(), *rest][:n]


def _mistake(study: Study, kind: str, at: int, real: NDArray[np.float32], threshold: float, maximum: float) -> str:
    """One token that the pattern has wrong, with its surroundings."""
    tokens, text = study.desk.train.tokens, study.desk.text
    row, position = int(text.row[at]), int(text.position[at])
    values = real[text.starts[row] : text.starts[row + 1]].tolist()
    span = around(values, threshold, position)
    shown = strip(tokens.strings(row), values, threshold, maximum, span)
    said = f"{short(values[position])} there" if values[position] else "silent there"
    where = f"token {position} of context {int(tokens.context_ids[row])}"
    return f"{kind} at {where} ({said}; tokens {span[0]}–{span[1] - 1} shown)\n{shown}"


def _said(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
