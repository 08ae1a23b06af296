"""Which features the model's next token rests on, found by taking each of them away."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from pydantic import Field

from dragoman.tools import interventions
from dragoman.tools.interventions import Effects, measure

from .declaring import ToolResult
from .desk import Desk
from .showing import fitting, number, short, token
from .study import Study, Text

TRIED = 160
"""Features that are taken away one by one, at most."""
SHOWN = 3
"""Places listed of a feature."""


class Active(NamedTuple):
    """A feature that is active on the text."""

    feature: int
    """Its global id."""
    share: float
    """Its largest activation there, as a share of its train maximum."""
    places: tuple[tuple[int, float], ...]
    """Tokens on which it is active, with the activation, the strongest first."""


def explain_prediction(
    study: Study,
    text: Text,
    next: Annotated[str, Field(min_length=1, max_length=60)] | None = None,
    n: Annotated[int, Field(ge=1, le=30)] = 10,
) -> ToolResult:
    """Why the model says what it says after a text: which features its next token rests on.

    Each feature that is active on the text is set to zero by itself, and the next token's probability is read again. The features
    that count most are then taken away together, and beside them as many other active ones, as a control.

    Args:
        text: The text up to the token in question, exactly as the model reads it.
        next: The next token to explain, a single token; mind its leading space. By default the likeliest.
        n: At most so many features.

    Example:
        {"text": "The capital of France is"}
    """
    desk = study.desk
    machine = desk.model()
    with desk.lock:
        prompt = desk.prompt(text)
        ids = list(prompt.ids)
        active = _active(desk, ids)
        tried = active[:TRIED]
        said = _likeliest(desk, ids) if next is None else next

        def without(features: list[int]) -> Effects:
            edits: list[Any] = []
            for info in desk.dictionaries:
                own = [feature - info.offset for feature in features if 0 <= feature - info.offset < info.width]
                if own:
                    edits.append(interventions.ablate(machine.dictionary(info.name), own))
            return measure(machine.subject, edits, [ids], chosen=[said], at="last", bos=machine.prepend_bos, top=1)

        found = [(one, without([one.feature])) for one in tried]
        found.sort(key=lambda pair: (-abs(pair[1].chosen[0].shift), pair[0].feature))
        best, rest = found[:n], found[n : 2 * n]
        together = without([one.feature for one, _ in best]) if best else None
        others = without([one.feature for one, _ in rest]) if len(rest) == len(best) and rest else None
    word = token(found[0][1].chosen[0].token) if found else token(str(next or ""))
    if not found or together is None:
        return ToolResult("No feature is active on this text.", {"text": text, "features": []})
    before = found[0][1].chosen[0].before
    head = (
        f"After the text the model gives {word} probability {short(before)}. {len(active)} features are active on it; "
        f"{len(tried)} were set to zero, each by itself. The {len(best)} with the largest effect on its logit:"
    )
    items = [_line(desk, prompt.strings, one, effects) for one, effects in best]
    items.append(f"All {len(best)} together: {_change(together)}.")
    if others is not None:
        items.append(f"Control, the {len(rest)} that come after them, together: {_change(others)}.")
    shown, count = fitting(head, items, "lines")
    rows = [
        {
            "feature": study.key(one.feature),
            "shift": number(effects.chosen[0].shift),
            "after": number(effects.chosen[0].after),
            "kl": number(effects.kl),
            "places": [[at, number(value)] for at, value in one.places],
        }
        for one, effects in best[:count]
    ]
    data = {
        "text": prompt.text,
        "next": found[0][1].chosen[0].token,
        "before": number(before),
        "active": len(active),
        "features": rows,
        "together": _numbers(together),
        "control": None if others is None else _numbers(others),
    }
    passes = 2 * (len(tried) + 1 + (others is not None)) + len(desk.dictionaries) + (next is None)
    return ToolResult(shown, data, forwarded=passes * len(ids))


def _active(desk: Desk, ids: list[int]) -> list[Active]:
    """The features that are active on a text, the strongest of their own scale first."""
    found: list[Active] = []
    scales = desk.train.scales
    for info in desk.dictionaries:
        got = desk.source(info.name).activations([ids])
        for feature in np.unique(got.feature).tolist():
            mine = got.feature == feature
            pairs = sorted(zip(got.position[mine].tolist(), got.value[mine].tolist(), strict=True), key=lambda pair: -pair[1])
            maximum = float(scales.maximum[feature + info.offset])
            found.append(Active(feature + info.offset, pairs[0][1] / maximum if maximum > 0 else 0.0, tuple(pairs)))
    return sorted(found, key=lambda one: (-one.share, one.feature))


def _likeliest(desk: Desk, ids: list[int]) -> int:
    machine = desk.model()
    subject = machine.subject
    bos = [subject.bos_id] if machine.prepend_bos and subject.bos_id is not None else []
    return int(subject.logits(torch.tensor([[*bos, *ids]]), last=1)[0, -1].argmax())


def _line(desk: Desk, strings: tuple[str, ...], one: Active, effects: Effects) -> str:
    places = ", ".join(f"{at}:{token(strings[at])}={short(value)}" for at, value in one.places[:SHOWN])
    more = f" and {len(one.places) - SHOWN} more" if len(one.places) > SHOWN else ""
    top = " ".join(token(text) for text, _ in desk.train.top_tokens(one.feature)[:4]) or "none"
    return f"{desk.train.key(one.feature)}: {_change(effects)}; active on {places}{more}; on train strongest on {top}"


def _change(effects: Effects) -> str:
    one = effects.chosen[0]
    return f"p {short(one.before)} → {short(one.after)}, logit {one.shift:+.2f}"


def _numbers(effects: Effects) -> dict[str, Any]:
    one = effects.chosen[0]
    return {"shift": number(one.shift), "after": number(one.after), "kl": number(effects.kl)}
