"""Rules held against edits: which edits of a text tell most about a rule, and what the rule says of each before it is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dragoman.store.errors import ToolError, UserError
from dragoman.tools.edit import Edited, apply
from dragoman.tools.patterns import Pattern, PatternText
from dragoman.tools.patterns.loose import LooseTexts
from dragoman.tools.toolbox import Desk
from dragoman.tools.toolkit.editing import EditArgument, edit_of

FIRES = 0.2
"""Share of the maximum above which a feature fires."""
EDITS = 8
"""Edits that are run."""
REACH = 5
"""Tokens before the one looked at that are edited."""

SHOWN = 160
"""Characters of a text that is shown whole."""

Outcome = Literal["fires", "silent", "unsure"]


@dataclass(frozen=True)
class Foretold:
    """An edit, and what a rule says of it."""

    edit: Mapping[str, Any]
    """As the tool takes it."""
    said: str
    """What it makes of the text, or in a long one what is done, in words."""
    outcome: Outcome
    """What the rule says of the token looked at, afterwards."""


def foretold(desk: Desk, feature: int, text: str, position: int, pattern: Pattern) -> tuple[Outcome, list[Foretold]]:
    """What a rule says of a token, and of the same after at most `EDITS` small edits: those that it says silence the feature and
    those that it says do not in turns, the nearest first. Nothing is run.
    """
    with desk.lock:
        prompt, gauge = desk.prompt(text), desk.gauge(feature)
        made: list[tuple[dict[str, Any], Edited, int]] = []
        seen = {prompt.ids}
        for edit in _edits(desk, prompt.ids, position):
            try:
                edited = apply(gauge, prompt, [edit_of(EditArgument(**edit), prompt)])
            except (ToolError, UserError):
                continue
            image = edited.image(position)
            if image is not None and edited.after.ids not in seen:
                seen.add(edited.after.ids)
                made.append((edit, edited, image))
        table = LooseTexts([prompt, *(edited.after for _, edited, _ in made)], desk.speaker.vocabulary)
        strength = pattern.predict(PatternText(table, desk.text.usage))
    found = [
        Foretold(edit, _said(edited), _outcome(float(strength[table.starts[row] + image])))
        for row, (edit, edited, image) in enumerate(made, 1)
    ]
    sides = [[one for one in found if one.outcome == "silent"], [one for one in found if one.outcome == "fires"]]
    chosen: list[Foretold] = []
    while any(sides) and len(chosen) < EDITS:
        chosen += [side.pop(0) for side in sides if side][: EDITS - len(chosen)]
    return _outcome(float(strength[position])), chosen


def held(foretold: Sequence[Foretold], variants: Sequence[Mapping[str, Any]]) -> list[bool | None]:
    """Whether each edit came out as the rule said; None where the feature was weak there: active, but not firing."""
    found: list[bool | None] = []
    for one, variant in zip(foretold, variants, strict=True):
        weak = bool(variant["after"]) and not variant["fires_after"]
        found.append(None if weak else variant["fires_after"] == (one.outcome == "fires"))
    return found


def _edits(desk: Desk, ids: Sequence[int], position: int) -> list[dict[str, Any]]:
    """Small edits around a token as the tool takes them, the nearest first."""
    words = [(start, stop) for start, stop in desk.kinds.words(ids) if start <= position]
    start, stop = words[-1]
    own = {"start": start, "stop": min(stop, position + 1)}
    edits: list[dict[str, Any]] = [
        {"kind": "of_its_kind", **own},
        {"kind": "of_its_kind", **own, "other": 1},
        {"kind": "truncate", "start": start},
    ]
    for first, last in list(reversed(words[:-1]))[:REACH]:
        edits += [
            {"kind": "delete", "start": first, "stop": last},
            {"kind": "of_its_kind", "start": first, "stop": last},
        ]
    edits += [{"kind": "case", **own, "how": how} for how in ("upper", "lower", "title")]
    edits += [{"kind": "truncate", "start": first} for first, _ in reversed(words[1:-1])]
    return edits


def _said(edited: Edited) -> str:
    text = edited.after.text
    return text if len(text) <= SHOWN else "; ".join(edited.edits)


def _outcome(strength: float) -> Outcome:
    return "fires" if strength > FIRES else "silent" if strength == 0 else "unsure"
