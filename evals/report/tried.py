"""Experiments of a trail in words, for the terminal and the report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.findings import Experiment, level
from dragoman.store.trail import Trial

LONG = 700
"""Characters of a text that a model wrote, or of a look at a tool, that are shown."""


class Tried(NamedTuple):
    """An experiment."""

    called: str
    """E1, E2 …"""
    what: str
    """What was done, and where one looked."""
    why: str
    """Why, in its author's words."""
    text: str
    """What was run."""
    predicted: tuple[tuple[str, str], ...]
    """Each outcome with those who predicted it, before it was run."""
    tokens: tuple[str, ...]
    """The text as the model read it; empty where there is none."""
    values: tuple[float, ...]
    """The activation on each."""
    threshold: float
    """The feature fires above this."""
    came: tuple[str, ...]
    """What came out, in figures."""
    verdicts: tuple[tuple[str, str], ...]
    """Each verdict with those whose prediction it is about."""


class Texts:
    """The texts of train contexts, each read once."""

    def __init__(self, store: Store) -> None:
        self._train = store.train_view()
        self._known: dict[int, tuple[str, ...]] = {}

    def of(self, context: int) -> tuple[str, ...]:
        """Its tokens as strings."""
        if context not in self._known:
            self._known[context] = self._train.contexts([context])[0].strings
        return self._known[context]


def told_of(trial: Trial, texts: Texts) -> Tried:
    """An experiment with what was predicted, what came out, and what that says of the predictions."""
    one = trial.experiment
    result = one.result or {}
    looked = f", looking at {one.focus!r}" if one.focus else ""
    what, text = _input(one, texts)
    predicted: dict[str, list[str]] = {}
    verdicts: dict[str, list[str]] = {}
    came: list[str] = []
    for hypothesis, said in trial.said:
        predicted.setdefault(said.outcome, []).append(hypothesis.called)
        came += [said.because] if said.because and said.because not in came else []
        if said.verdict and said.outcome != "unsure":
            verdicts.setdefault(said.verdict, []).append(hypothesis.called)
    if one.reason is not None:
        came = [f"it could not be run: {one.reason}"]
    elif one.result is None:
        came = ["it was not run"]
    elif one.kind == "look":
        came = [str(result.get("text", ""))]
    elif not came:
        came = [_figures(result)]
    return Tried(
        called=one.called,
        what=f"{what}{looked}",
        why=shortened(one.purpose),
        text=shortened(text),
        predicted=tuple((said, in_order(names)) for said, names in predicted.items()),
        tokens=tuple(map(str, result.get("tokens", ()))),
        values=tuple(map(float, result.get("values", ()))),
        threshold=float(result.get("threshold", 0.0)),
        came=tuple(shortened(one) for one in came),
        verdicts=tuple(
            (verdict, in_order(verdicts[verdict])) for verdict in ("held", "failed", "inconclusive") if verdict in verdicts
        ),
    )


def _input(one: Experiment, texts: Texts) -> tuple[str, str]:
    """What was done, in a few words, and the text it was done to."""
    arguments = one.arguments
    try:
        return _known_input(one, arguments, texts)
    except (KeyError, IndexError, TypeError, ValueError, UserError):
        return f"{one.kind}: {one.tool}", json.dumps(dict(arguments), ensure_ascii=False)


def _known_input(one: Experiment, arguments: Mapping[str, Any], texts: Texts) -> tuple[str, str]:
    if one.kind == "look":
        return f"look at {one.tool}", json.dumps(dict(arguments), ensure_ascii=False)
    if one.kind == "edit" and one.texts:
        return "edit", "{!r} becomes {!r}".format(*one.texts)
    if one.kind == "edit":
        strings, edit = texts.of(int(arguments["context"])), arguments["edits"][0]
        start, stop = int(edit["start"]), int(edit.get("stop") or edit["start"] + 1)
        before, after = "".join(strings[max(0, start - 12) : start]), "".join(strings[stop : stop + 12])
        gone, put = "".join(strings[start:stop]), str(edit.get("text", ""))
        changed = f"{gone!r} becomes {put!r}" if put else f"{gone!r} is deleted"
        return f"edit of context {arguments['context']}", f"{changed} in: …{before}{gone}{after}…"
    return one.kind, one.texts[0]


def _figures(result: Mapping[str, Any]) -> str:
    """The figures of a result that no prediction was about; activations on the scale on which the feature fires from 2."""
    value, threshold = result.get("value"), result.get("threshold")
    if isinstance(value, int | float) and isinstance(threshold, int | float) and threshold > 0:
        state = "fires" if value > threshold else "weak" if value > 0 else "silent"
        return f"{state}: {level(value, threshold)}"
    return ", ".join(f"{name} {value:.3g}" for name, value in result.items() if isinstance(value, int | float))


def shortened(text: str, most: int = LONG) -> str:
    """A text of bounded length that says what was cut."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"


def in_order(names: Sequence[str]) -> str:
    """H1, H2 … each once, in their order."""
    return " ".join(sorted(dict.fromkeys(names), key=by_number))


def by_number(name: str) -> tuple[int, str]:
    """H2 before H10, to sort by."""
    digits = "".join(c for c in name.split()[0] if c.isdigit()) if name.split() else ""
    return int(digits or 0), name
