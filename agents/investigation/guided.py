"""Investigations that need no language model: what a feature is, how two differ, and why a text goes on as it does.

Each is a fixed order of steps; code says what came out, and what goes beyond that is marked as conjecture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dragoman.store.display import visible, visible_token
from dragoman.store.records import Label
from dragoman.tools.induction import Induced
from dragoman.tools.patterns import parse
from dragoman.tools.toolbox import Desk, Tell, ToolResult
from dragoman.tools.toolkit.predictions import TRIED

from .events import Citation
from .grammar import CONTROLS
from .rules import Foretold, foretold, held
from .working import Found, Work

ABLATED = 6
"""Features that are taken away, one at a time."""
PREDICTING = 4
"""Those of them that are chosen because the next token rests on them."""
CLEAR = 2.0
"""How many times as much as the strongest random direction a feature changes that is said to matter."""
TESTED = 3
"""Features that are explained and tested."""
GOOD = 0.75
"""Share of edits that a rule must have foretold to be said to do well."""
TRIFLE = 0.1
"""Share of a probability; what changes it by less is not said to matter."""
TINY = 0.01
"""A probability; one that is smaller before and after is not said to matter."""
EACH = 4
"""Texts of each feature on which two are compared."""
LONGEST = 2_000
"""Characters shown of a description, and taken of a stored text."""


@dataclass(frozen=True)
class Means:
    """What an investigation works with."""

    desk: Desk
    """The store's train rows and its model."""
    label: Callable[[int], Label | None]
    """The newest label of a feature."""
    induce: Callable[[int], Induced]
    """A rule for a feature, induced now. Raises ToolError where there is none."""


@dataclass(frozen=True)
class Known:
    """What is said of a feature."""

    feature: str
    """Its address."""
    name: str
    """In a few words."""
    description: str
    """In a sentence or two."""
    pattern: str | None
    """As a rule."""
    source: Found | Citation
    """Where that is from."""


async def explain(work: Work, means: Means, feature: str) -> None:
    """What a feature fires on, and how well its rule does on train."""
    known = await _known(work, means, feature)
    _introduce(work, known)
    if known.pattern is None:
        return
    found = await work.call("match_pattern", {"feature": known.feature, "pattern": known.pattern})
    work.say(
        f"As a rule on {found['tokens']:,} train tokens it has precision {_figure(found['precision'])} and recall "
        f"{_figure(found['recall'])} (F1 {_figure(found['f1'])}); the feature fires on {found['firing']:,} of them.",
        found,
    )


async def differ(work: Work, means: Means, one: str, other: str) -> None:
    """How two features differ: what is said of each, how near they are, and each on the other's strongest texts."""
    keys = [means.desk.train.key(means.desk.train.id(feature)) for feature in (one, other)]
    first, second = map(str, keys)
    for key in (first, second):
        _introduce(work, await _known(work, means, key))
    near = await work.call("neighbours", {"feature": first, "n": 20})
    place = next((at for at, row in enumerate(near["neighbours"]) if row["feature"] == second), None)
    if place is None:
        work.say(f"{second} is not among the {len(near['neighbours'])} features nearest to {first} by direction.", near)
    else:
        value = near["neighbours"][place]["value"]
        work.say(f"Their directions have cosine {value:.2f}: {second} is number {place + 1} of those near {first}.", near)
    for own, against in ((first, second), (second, first)):
        examples = await work.call("top_examples", {"feature": own, "n": EACH, "whole": True})
        texts = ["".join(example["tokens"])[:LONGEST] for example in examples["examples"]]
        if not texts:
            work.say(f"{own} is never active on train.", examples)
            continue
        found = await work.call("activate", {"feature": against, "texts": texts})
        fires = sum(row["fires"] for row in found["texts"])
        peak = max(row["max"] for row in found["texts"]) / (found["maximum"] or 1)
        work.say(
            f"On the {len(texts)} texts on which {own} is strongest, {against} fires on {fires} "
            f"(at most {peak:.0%} of its maximum).",
            examples,
            found,
        )


@dataclass(frozen=True)
class Chosen:
    """A feature that is looked at."""

    feature: str
    """Its address."""
    position: int
    """The token on which it is strongest."""


async def investigate(work: Work, means: Means, text: str, token: str | None) -> None:
    """Find the features of a text and of its next token, take them away, explain and test those that matter, and report."""
    found = await work.call("find_features", {"text": text, "n": 2 * ABLATED})
    if not found["features"]:
        work.say("No feature of the store fires on this text.", found)
        return
    tokens: Sequence[str] = found["tokens"]
    telling = [Chosen(row["feature"], row["position"]) for row in found["features"]]
    listed = ", ".join(_at(one, tokens) for one in telling[:ABLATED])
    work.say(
        f"{found['firing']} features fire on the text. The most telling, strong here and rare elsewhere, are {listed}.", found
    )
    watched, strongest = await _predicted(work, means, text, token, tokens)
    chosen = list({one.feature: one for one in [*strongest[:PREDICTING], *telling]}.values())[:ABLATED]
    gone = await _ablated(work, text, watched, chosen) if strongest else []
    matter = dict.fromkeys([*(one.feature for one in gone if one.matters), *(one.feature for one in chosen)])
    for feature in list(matter)[:TESTED]:
        known = await _known(work, means, feature)
        _introduce(work, known)
        position = next(one.position for one in chosen if one.feature == feature)
        good = await _tested(work, means, text, position, known)
        _concluded(work, known, next((one for one in gone if one.feature == feature), None), watched, good)


@dataclass(frozen=True)
class Gone:
    """What taking a feature away did to the probability of a token."""

    feature: str
    """Its address."""
    before: float
    """The probability."""
    after: float
    """The probability without the feature."""
    low: float
    """The smallest without one of the random directions."""
    high: float
    """The largest."""
    found: Found
    """The step."""

    @property
    def stands_out(self) -> bool:
        """Whether it changed clearly more than any random direction did; it was chosen among many by what it changes."""
        random = max(abs(self.low - self.before), abs(self.high - self.before))
        return abs(self.after - self.before) >= CLEAR * random

    @property
    def matters(self) -> bool:
        """Whether it stands out and is no trifle: by at least `TRIFLE` of a probability of at least `TINY`."""
        largest = max(self.before, self.after)
        return self.stands_out and largest >= TINY and abs(self.after - self.before) >= TRIFLE * largest


async def _predicted(work: Work, means: Means, text: str, token: str | None, tokens: Sequence[str]) -> tuple[str, list[Chosen]]:
    """The next token that is looked at, and the features whose absence moves its logit most."""
    if means.desk.machine is None:
        return "", []
    watched = None if token is None else _watched(means.desk, token)
    arguments: dict[str, Any] = {"text": text, "n": PREDICTING} | ({} if watched is None else {"next": watched})
    found = await work.call("explain_prediction", arguments)
    if not found["features"]:
        return "", []
    said = str(found["next"])
    if token is None:
        work.say(f"After the text the model finds {_quoted(said)} the likeliest.", found)
    elif said.strip() != token.strip():
        work.say(f"{_quoted(token)} is more than one token here; its first, {_quoted(said)}, is looked at.", found)
    tried = min(found["active"], TRIED)
    strongest = [Chosen(row["feature"], row["places"][0][0]) for row in found["features"]]
    work.say(
        f"The probability of {_quoted(said)} as the next token is {found['before']:.3g}. Of {tried} active features, each "
        f"taken away by itself, these move it most: {', '.join(_at(one, tokens) for one in strongest)}.",
        found,
    )
    return said, strongest


async def _ablated(work: Work, text: str, watched: str, chosen: Sequence[Chosen]) -> list[Gone]:
    """Take features away, one at a time, and say what becomes of the next token; the largest effects first."""
    gone = []
    for wanted in chosen:
        arguments = {"feature": wanted.feature, "texts": [text], "at": "last", "controls": CONTROLS, "watch": [watched]}
        found = await work.call("ablate", arguments)
        own, others = found["watched"][0], [control["watched"][0]["after"] for control in found["controls"]]
        gone.append(Gone(wanted.feature, own["before"], own["after"], min(others), max(others), found))
    gone.sort(key=lambda one: -abs(one.after - one.before))
    for one in gone:
        if one.matters:
            work.say(
                f"Without {one.feature} the probability of {_quoted(watched)} goes from {one.before:.3g} to {one.after:.3g}; "
                f"without any of {CONTROLS} random directions of the same norm it is {one.low:.3g} to {one.high:.3g}.",
                one.found,
            )
    quiet = [one for one in gone if not one.matters]
    if quiet:
        work.say(
            f"Without {', '.join(one.feature for one in quiet)} (each alone) it changes by less than {TRIFLE:.0%}, stays below "
            f"{TINY:g}, or changes less than {CLEAR:g} times as much as without a random direction.",
            *(one.found for one in quiet),
        )
    return gone


async def _tested(work: Work, means: Means, text: str, position: int, known: Known) -> bool:
    """Hold a feature's rule against the text and edits of it, and say how many it foretold; whether it did well."""
    if known.pattern is None:
        return False
    number, pattern = means.desk.train.id(known.feature), parse(known.pattern)
    said: list[Foretold] = []

    def foretell(tell: Tell) -> ToolResult:
        here, edits = foretold(means.desk, number, text, position, pattern)
        said.extend(edits)
        lines = [f"{n + 1}. {visible(one.said)}: {one.outcome}" for n, one in enumerate(edits)]
        data: dict[str, Any] = {"feature": known.feature, "pattern": known.pattern, "position": position, "outcome": here}
        data["edits"] = [{"edit": dict(one.edit), "said": one.said, "outcome": one.outcome} for one in edits]
        head = f"The rule says of token {position}: {here}. After each of these edits, which are run next:"
        return ToolResult("\n".join([head, *lines]), data)

    before = await work.step("foretell", {"feature": known.feature, "text": text, "pattern": known.pattern}, foretell)
    if before["outcome"] != "fires":
        work.say(f"Its rule does not cover this: it says {before['outcome']} here, where {known.feature} fires.", before)
        return False
    if not said:
        return False
    arguments = {"feature": known.feature, "text": text, "position": position, "edits": [dict(one.edit) for one in said]}
    after = await work.call("edit_and_compare", arguments)
    marks = held(said, after["variants"])
    right, clear = sum(mark is True for mark in marks), sum(mark is not None for mark in marks)
    weak = "" if clear == len(marks) else f" ({len(marks) - clear} more came out weak, which counts for nothing)"
    wrong = [one for one, mark in zip(said, marks, strict=True) if mark is False]
    errors = "; ".join(f"it said {one.outcome} of “{visible(one.said)}”" for one in wrong[:3])
    silent = sum(one.outcome == "silent" for one in said)
    tried = f"Of {_edits(len(said))} its rule foretold that {silent} silence it and {len(said) - silent} do not"
    work.say(f"{tried}; {right} of {clear} came out so{weak}." + (f" Wrong: {errors}." if wrong else ""), before, after)
    return clear > 0 and right >= GOOD * clear


def _concluded(work: Work, known: Known, gone: Gone | None, token: str, good: bool) -> None:
    """What all of this suggests, marked as conjecture."""
    if gone is None or not gone.matters:
        return
    how = "more" if gone.after < gone.before else "less"
    named = f" (“{visible(known.name)}”)" if good else ", of which the rule does not say well what it stands for"
    work.say(
        f"So the model says {_quoted(token)} {how} readily here because of {known.feature}{named}.",
        gone.found,
        known.source,
        conjecture="each step was run on this one text alone",
    )


async def _known(work: Work, means: Means, feature: str) -> Known:
    """The label of a feature; where it has none, a rule that is induced now."""
    number = means.desk.train.id(feature)
    key = str(means.desk.train.key(number))
    label = means.label(number)
    if label is not None:
        return Known(key, label.name, label.description, label.pattern, Citation("label", label.id, f"label {key}"))

    def induce(tell: Tell) -> ToolResult:
        rule = means.induce(number)
        data = {"feature": key, "name": rule.name, "description": rule.description, "pattern": str(rule.pattern)}
        return ToolResult(f"{rule.name}\n{rule.description}\n{rule.pattern}\n{rule.figures}", data)

    found = await work.step("induce", {"feature": key}, induce)
    return Known(key, found["name"], found["description"], found["pattern"], found)


def _introduce(work: Work, known: Known) -> None:
    origin = "is labeled" if isinstance(known.source, Citation) else "has no label yet; induced now:"
    said = visible(known.description[:LONGEST])
    work.say(f"{known.feature} {origin} “{visible(known.name)}”: {said}", known.source)


def _watched(desk: Desk, token: str) -> str | None:
    """The token, with or without a space before it, if it is a single one; the first of its tokens otherwise."""
    cut = [(tried, desk.speaker.tokenize_inside(tried)) for tried in (token, token.lstrip(" ")) if tried]
    single = [tried for tried, ids in cut if len(ids) == 1]
    return single[0] if single else next((desk.speaker.vocabulary[ids[0]] for _, ids in cut if ids), None)


def _at(one: Chosen, tokens: Sequence[str]) -> str:
    return f"{one.feature} at {_quoted(tokens[one.position])}"


def _quoted(token: str) -> str:
    return f"“{visible_token(token)}”"


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"


def _edits(number: int) -> str:
    return f"{number} edit" if number == 1 else f"{number} edits"
