"""The feature on new texts, and which features tell one set of texts from another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
from jaxtyping import Float32, Int64
from pydantic import Field

from dragoman.store.errors import ToolError
from dragoman.tools.activate import Difference, Stronger, differences, stronger
from dragoman.tools.prompt import Prompt

from .declaring import ToolResult
from .desk import Desk
from .library import visible_labels
from .showing import MOST, SCALE, fitting, level, number, numbers, quoted, short, strip, token
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
    """Which features of the store fire on the texts of A and not, or on fewer, of B; then those that fire on all of both and are
    stronger on every text of A than on any of B.

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
    beside, graded = stronger(desk.train.scales, peaks[: len(a)], peaks[len(a) :], n, study.key)
    if beside and len(a) > 1 and len(b) > 1:
        head = (
            f"{graded} fire on all texts of both and are stronger on every text of A than on any of B; the first {len(beside)}:"
        )
        told, shown = fitting(head, [_graded(desk, one) for one in beside], "features", MOST - len(text))
        text, beside = f"{text}\n{told}", beside[:shown]
    else:
        beside = []
    data = {
        "features": more,
        "stronger": [{name: number(x) if isinstance(x, float) else x for name, x in asdict(one).items()} for one in beside],
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


def find_features(study: Study, text: Text, n: Annotated[int, Field(ge=1, le=30)] = 10) -> ToolResult:
    """Which features of the store fire on a text, the most telling first: those that fire strongly here and rarely elsewhere.

    Ranked by the peak, as a share of the feature's train maximum, times the surprise that it fires at all: the bits of the share
    of train contexts in which it fires. The label's name stands beside it where there is one that may be seen.

    Args:
        text: The text. It is tokenized exactly as it stands.
        n: At most so many features.

    Example:
        {"text": "The nurse gave Mary a cup of tea.", "n": 8}
    """
    desk = study.desk
    with desk.lock:
        prompt = prompts_of(desk, [text])[0]
        peaks, places = peaks_on(desk, prompt)
    scales = desk.train.scales
    firing = np.flatnonzero((peaks > scales.threshold) & (scales.maximum > 0))
    contexts = desk.train.tokens.n_contexts
    share = peaks[firing] / scales.maximum[firing]
    held = np.maximum(desk.train.firing_contexts[firing], 1)
    telling = share * -np.log2(held / (contexts + 1))
    order = np.lexsort((firing, -telling))[:n]
    names = {label.feature: label.name for label in visible_labels(study)}
    rows = [
        {
            "feature": study.key(int(firing[at])),
            "peak": number(float(peaks[firing[at]])),
            "share": number(float(share[at])),
            "token": prompt.strings[int(places[firing[at]])],
            "position": int(places[firing[at]]),
            "contexts": int(held[at]),
            "telling": number(float(telling[at])),
            "label": names.get(int(firing[at])),
        }
        for at in order
    ]
    head = f"{len(firing)} features fire on the text ({len(prompt)} tokens)" + (
        f"; the {len(rows)} most telling:" if rows else "."
    )
    said, count = fitting(head, [_found(desk, row, contexts) for row in rows], "features")
    data = {"tokens": list(prompt.strings), "firing": len(firing), "contexts": contexts, "features": rows[:count]}
    return ToolResult(said, data, forwarded=len(prompt) * len(desk.dictionaries))


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


def peaks_on(desk: Desk, prompt: Prompt) -> tuple[Float32[np.ndarray, " width"], Int64[np.ndarray, " width"]]:
    """The largest activation of every feature on a text, and the token on which it has it."""
    peaks, places = np.zeros(desk.train.width, np.float32), np.zeros(desk.train.width, np.int64)
    begins = range(0, len(prompt), desk.window)
    for info in desk.dictionaries:
        got = desk.source(info.name).activations([prompt.ids[a : a + desk.window] for a in begins])
        feature = got.feature + info.offset
        at = np.asarray(begins, np.int64)[got.row] + got.position
        order = np.lexsort((at, -got.value))
        found, first = np.unique(feature[order], return_index=True)
        peaks[found], places[found] = got.value[order][first], at[order][first]
    return peaks, places


def _found(desk: Desk, row: Mapping[str, Any], contexts: int) -> str:
    label = f" <text>{quoted(row['label'])}</text>" if row["label"] else ""
    top = " ".join(token(text) for text, _ in desk.train.top_tokens(desk.train.id(row["feature"]))[:4])
    here = f"peak {short(row['peak'])} ({row['share']:.0%} of its maximum) at token {row['position']} {token(row['token'])}"
    return f"{row['feature']}{label}: {here}; fires in {row['contexts']:,} of {contexts:,} train contexts, strongest on {top}"


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
    shares = f"fires on {row.fires_a:.0%} of A, {row.fires_b:.0%} of B"
    peaks = f"mean peak {short(row.peak_a)} against {short(row.peak_b)}"
    return f"{row.feature}: {shares}; {peaks}; strongest on {_strongest(desk, row.feature)}"


def _graded(desk: Desk, row: Stronger) -> str:
    peaks = f"peaks {short(row.least_a)} to {short(row.most_a)} on A, {short(row.least_b)} to {short(row.most_b)} on B"
    return f"{row.feature}: {peaks}; strongest on {_strongest(desk, row.feature)}"


def _strongest(desk: Desk, feature: str) -> str:
    return " ".join(token(text) for text, _ in desk.train.top_tokens(desk.train.id(feature))[:5]) or "none"
