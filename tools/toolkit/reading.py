"""The feature on new texts, and which features tell one set of texts from another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from jaxtyping import Float32
from pydantic import Field

from dragoman.store.errors import ToolError
from dragoman.tools.activate import Difference, differences
from dragoman.tools.prompt import Prompt

from .declaring import ToolResult
from .desk import Desk
from .showing import SCALE, fitting, level, number, numbers, short, strip, token
from .study import Address, Study, Text

MOST_TOKENS = 4_096
"""Tokens of all texts of a call."""
LISTED = 12
"""Tokens with values listed of a text."""
Texts = Annotated[list[Text], Field(min_length=1, max_length=16)]


def activate(study: Study, texts: Texts, feature: Address | None = None) -> ToolResult:
    """Run texts of your own and read the feature on every token: the way to test what you believe.

    For each text: its largest activation, whether the feature fires there, and the active tokens with their values. Send several
    texts at once, also such as should not fire.

    Args:
        texts: The texts. Spaces, line ends and capitals count: a text is tokenized exactly as it stands.
        feature: The feature as DICT/INDEX; by default the one under study.

    Example:
        {"texts": ["The nurse gave Mary a cup of tea.", "The nurse gave him a cup of tea."]}
    """
    number_of = study.id(feature)
    with study.desk.lock:
        prompts = prompts_of(study.desk, texts)
        gauge = study.desk.gauge(number_of)
        before = gauge.tokens
        values = gauge.values([prompt.ids for prompt in prompts])
        forwarded = gauge.tokens - before
    key = study.key(number_of)
    head = (
        f"{key} fires above {short(gauge.threshold)} and its train maximum is {short(gauge.maximum)} (10 on the scale of marks). "
        f"It fires on {sum(bool(gauge.fires(v.max())) for v in values)} of {len(values)} texts."
    )
    if any(len(prompt) > gauge.window for prompt in prompts):
        head += f" Longer texts are read in windows of {gauge.window} tokens that do not see each other, as the store's were."
    items = [
        _read(n, prompt, v.tolist(), gauge.threshold, gauge.maximum)
        for n, (prompt, v) in enumerate(zip(prompts, values, strict=True))
    ]
    text, count = fitting(head, items, "texts")
    rows = [
        {
            "text": prompt.text,
            "max": number(float(v.max())),
            "position": int(v.argmax()),
            "fires": bool(gauge.fires(v.max())),
            "tokens": list(prompt.strings),
            "values": numbers(v.tolist()),
        }
        for prompt, v in zip(prompts, values, strict=True)
    ]
    data = {"feature": key, "threshold": number(gauge.threshold), "maximum": number(gauge.maximum), "texts": rows}
    return ToolResult(text, {**data, "shown": count}, forwarded=forwarded)


def contrast(study: Study, a: Texts, b: Texts, n: Annotated[int, Field(ge=1, le=30)] = 10) -> ToolResult:
    """Which features of the store fire on the texts of A and not, or on fewer, of B.

    Args:
        a: Texts that have something.
        b: Texts like them that have it not.
        n: At most so many features.

    Example:
        {"a": ["She was born in 1984."], "b": ["She was born in May."]}
    """
    desk = study.desk
    with desk.lock:
        prompts = prompts_of(desk, [*a, *b])
        peaks = peaks_of(desk, prompts)
    rows, more = differences(desk.train.scales, peaks[: len(a)], peaks[len(a) :], n, study.key)
    head = f"{more} features fire on a larger share of A ({len(a)} texts) than of B ({len(b)} texts)" + (
        f"; the first {len(rows)}:" if more else "."
    )
    text, count = fitting(head, [_difference(desk, row) for row in rows], "features")
    data = {
        "features": more,
        "rows": [
            {
                "feature": row.feature,
                "fires_a": number(row.fires_a),
                "fires_b": number(row.fires_b),
                "peak_a": number(row.peak_a),
                "peak_b": number(row.peak_b),
            }
            for row in rows[:count]
        ],
    }
    return ToolResult(text, data, forwarded=sum(map(len, prompts)) * len(desk.dictionaries))


def prompts_of(desk: Desk, texts: Sequence[str]) -> list[Prompt]:
    """The texts' tokens. Raises ToolError for an empty text, and where they are too many."""
    prompts = [desk.prompt(text) for text in texts]
    total = sum(map(len, prompts))
    if total > MOST_TOKENS:
        raise ToolError(
            f"The texts have {total:,} tokens together, and {MOST_TOKENS:,} can be run at once: send fewer or shorter."
        )
    return prompts


def peaks_of(desk: Desk, prompts: Sequence[Prompt]) -> Float32[np.ndarray, "texts width"]:
    """The largest activation of every feature on each text, cut into windows as a harvest does."""
    peaks = np.zeros((len(prompts), desk.train.width), np.float32)
    pieces = [(n, a) for n, prompt in enumerate(prompts) for a in range(0, len(prompt), desk.window)]
    owner = np.array([n for n, _ in pieces])
    for info in desk.dictionaries:
        got = desk.source(info.name).activations([prompts[n].ids[a : a + desk.window] for n, a in pieces])
        np.maximum.at(peaks, (owner[got.row], got.feature + info.offset), got.value)
    return peaks


def _read(n: int, prompt: Prompt, values: list[float], threshold: float, maximum: float) -> str:
    """Facts, text and active tokens of one text."""
    best = max(range(len(values)), key=values.__getitem__)
    fires = values[best] > threshold
    said = f"{n + 1}. {'FIRES' if fires else 'weak' if values[best] > 0 else 'silent'}"
    if values[best] > 0:
        share = f" ({level(values[best], maximum)} of {SCALE})" if maximum > 0 else ""
        said += f": max {short(values[best])}{share} at token {best} {token(prompt.strings[best])}"
    said += f", {len(values)} tokens\n{strip(prompt.strings, values, threshold, maximum)}"
    active = sorted((at for at, value in enumerate(values) if value > 0), key=lambda at: -values[at])
    if active:
        listed = " ".join(f"{at}:{token(prompt.strings[at])}={short(values[at])}" for at in sorted(active[:LISTED]))
        said += f"\nactive: {listed}" + (f" and {len(active) - LISTED} weaker" if len(active) > LISTED else "")
    return said


def _difference(desk: Desk, row: Difference) -> str:
    top = desk.train.top_tokens(desk.train.id(row.feature))[:5]
    strongest = " ".join(token(text) for text, _ in top) or "none"
    shares = f"fires on {row.fires_a:.0%} of A, {row.fires_b:.0%} of B"
    return f"{row.feature}: {shares}; mean peak {short(row.peak_a)} against {short(row.peak_b)}; strongest on {strongest}"
