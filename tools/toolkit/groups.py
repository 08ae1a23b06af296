"""What a feature fires on, in groups: does it fire on one thing, or on several that have nothing in common?

1. Draw firing tokens of train, evenly over their strength.
2. Describe each by how it is used and by what stands before it: the distributional vector of the token, of the one before it, and
   the mean of the three before that (`tools/patterns/usage.py`), each of length 1, weighted by `WEIGHTS`.
3. Join the most alike (average linkage, cosine distance) until no two groups are nearer than `APART`. Groups that hold less than
   `LEAST` of the tokens are left over.

Tokens too rare for a vector are alone with themselves. The groups are evidence to look at, not a verdict: one meaning may have
several forms, and two meanings may share their contexts.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.cluster.hierarchy import fcluster, linkage

from dragoman.store.hashing import seed_of

from .declaring import ToolResult
from .desk import Desk, Rows
from .showing import around, fitting, number, short, strip, token
from .study import Address, Study

DRAWN = 240
"""Firing tokens that are grouped."""
WEIGHTS = (1.0, 0.8, 0.5)
"""Of the token, the one before it, and the three before that."""
APART = 0.55
"""Cosine distance at which groups are no longer joined."""
LEAST = 0.08
"""Share of the tokens that a group must hold."""
SHOWN = 3
"""Examples of each group."""


def example_groups(study: Study, most: Annotated[int, Field(ge=1, le=8)] = 5, feature: Address | None = None) -> ToolResult:
    """What the feature fires on, grouped by how the tokens and those before them are used: one thing, or several unrelated ones?

    Each group comes with its share of the firing tokens, its strength, its commonest tokens and a few examples. Many features
    fire on several things; a label that names only the first group misses the others. Groups go by form and context: one meaning
    may show as two groups.

    Args:
        most: At most so many groups, the largest first.
        feature: The feature as DICT/INDEX; by default the one under study.

    Example:
        {"most": 4}
    """
    number_of, desk = study.id(feature), study.desk
    key, stats = study.key(number_of), desk.stats(number_of)
    rows = desk.rows(number_of)
    firing = np.flatnonzero(rows.values > stats.threshold)
    if len(firing) < 4:
        return ToolResult(f"{key} fires on {len(firing)} train tokens, too few to group.", {"feature": key, "groups": []})
    chosen = _drawn(rows, firing, seed_of(study.seed, number_of, "groups"))
    with desk.lock:
        label = _grouped(desk, rows.at[chosen])
    found = sorted((np.flatnonzero(label == one) for one in np.unique(label)), key=lambda members: (-len(members), members[0]))
    kept = [members for members in found if len(members) >= LEAST * len(chosen)][:most]
    left = len(chosen) - sum(map(len, kept))
    items, data = [], []
    for n, members in enumerate(kept):
        at, values = rows.at[chosen[members]], rows.values[chosen[members]]
        text, said = _group(desk, number_of, at, values, len(members) / len(chosen), stats.max)
        items.append(f"Group {chr(65 + n)}: {text}")
        data.append(said)
    head = (
        f"{key} fires on {len(firing):,} train tokens; {len(chosen)} of them fall into {len(kept)} "
        f"group{'s' * (len(kept) != 1)} by how they and the tokens before them are used{f', {left} into none' if left else ''}."
    )
    text, count = fitting(head, items, "groups")
    return ToolResult(text, {"feature": key, "groups": data[:count], "left": left}, read=SHOWN * count)


def _drawn(rows: Rows, firing: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Firing tokens, evenly over their strength, ascending."""
    if len(firing) <= DRAWN:
        return firing
    order = firing[np.argsort(-rows.values[firing], kind="stable")]
    edges = np.linspace(0, len(order), DRAWN + 1).astype(np.int64)
    rng = np.random.default_rng(seed)
    return np.sort(order[(edges[:-1] + rng.random(DRAWN) * (edges[1:] - edges[:-1])).astype(np.int64)])


def _grouped(desk: Desk, at: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for the group of each token. Shape: (tokens,)."""
    text = desk.text
    vectors = text.usage.vectors

    def before(distance: int) -> NDArray[np.float32]:
        there = at - distance
        inside = (there >= 0) & (text.row[np.maximum(there, 0)] == text.row[at])
        return np.where(inside[:, None], vectors[text.ids[np.maximum(there, 0)]], 0.0)

    parts = [vectors[text.ids[at]], before(1), before(2) + before(3) + before(4)]
    described = np.concatenate([weight * _unit(part) for weight, part in zip(WEIGHTS, parts, strict=True)], axis=1)
    # A token without a vector is like its own kind only: one direction for each id.
    rare = np.linalg.norm(parts[0], axis=1) == 0
    kinds = {id: n for n, id in enumerate(np.unique(text.ids[at[rare]]))}
    own = np.zeros((len(at), len(kinds)), np.float64)
    for row in np.flatnonzero(rare):
        own[row, kinds[text.ids[at[row]]]] = WEIGHTS[0]
    described = np.concatenate([described, own], axis=1)
    described[np.linalg.norm(described, axis=1) == 0] = 1e-9
    found: NDArray[np.int64] = fcluster(linkage(described, "average", "cosine"), APART, "distance").astype(np.int64)
    return found


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rows of length 1; zero stays zero."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    found: NDArray[np.float64] = np.divide(rows, length, out=np.zeros(rows.shape), where=length > 0)
    return found


def _group(
    desk: Desk, feature: int, at: NDArray[np.int64], values: NDArray[np.float32], share: float, maximum: float
) -> tuple[str, dict[str, Any]]:
    """A group in words and as data: its commonest tokens, and its examples spread over its strength."""
    tokens = desk.train.tokens
    ids, counts = np.unique(tokens.ids[at], return_counts=True)
    common = [tokens.vocabulary[id] for id in ids[np.argsort(-counts, kind="stable")][:8]]
    order = np.argsort(-values, kind="stable")
    picked = order[np.linspace(0, len(order) - 1, min(SHOWN, len(order))).astype(np.int64)]
    lines, contexts = [], []
    for place in picked:
        row = int(tokens.row[at[place]])
        context = int(tokens.context_ids[row])
        first, last = int(tokens.starts[row]), int(tokens.starts[row + 1])
        active, strength = desk.rows(feature)
        here = (active >= first) & (active < last)
        shown = np.zeros(last - first, np.float32)
        shown[active[here] - first] = strength[here]
        span = around(shown.tolist(), desk.stats(feature).threshold, int(at[place]) - first)
        text = strip(tokens.strings(row), shown.tolist(), desk.stats(feature).threshold, maximum, span)
        lines.append(f"context {context}, token {int(at[place]) - first}: {text}")
        contexts.append(context)
    mean = float(values.mean())
    head = f"{share:.0%} of them, mean {short(mean)}; tokens {' '.join(token(text) for text in common)}"
    data = {"share": number(share), "mean": number(mean), "tokens": common, "contexts": contexts}
    return "\n".join([head, *lines]), data
