"""From a design to experiments in the ledger: which tool is called how, and what every hypothesis says of it beforehand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dragoman.store.findings import Experiment, ExperimentKind, Hypothesis, Prediction
from dragoman.store.hashing import row_id, seed_of

from .answers import Design, Test
from .board import Board, Case
from .office import Office

SIDES: Mapping[ExperimentKind, str] = {"write": "input", "edit": "input", "steer": "output", "ablate": "output"}
"""Which side of a feature an experiment tests."""
PIECE = "·"
"""Stands before a piece that goes on a word, as in the evidence; other words follow a space."""
LOOK_ONLY = ("record_note",)
"""Tools that are no evidence; a look cannot ask for them."""


class Unfit(Exception):
    """A test that cannot be made; the message says why."""


class Made(NamedTuple):
    """What became of tests."""

    experiments: list[Experiment]
    """Those that can be run, not written yet."""
    sources: list[int]
    """The place of each among the tests."""
    refused: list[str]
    """Why others cannot be made."""


class Call(NamedTuple):
    """A tool call."""

    tool: str
    """The tool."""
    arguments: dict[str, Any]
    """Its arguments."""


async def planned(office: Office, case: Case, board: Board, round: int) -> tuple[list[Experiment], list[Prediction], list[str]]:
    """Experiments of a round, what each hypothesis predicts of each, and why some tests could not be made.

    Raises Unable where the researcher has no answer.
    """
    settings = office.settings
    if settings.parts.targeted:
        design = await office.researcher.design(case, board, settings.tests)
    else:
        design = Design(tests=drawn(case, board, settings.tests))
    tests = design.tests[: settings.tests]
    experiments, sources, refused = experiments_of(office, case, board, round, tests, office.researcher.name)
    said = [{one.hypothesis.strip().lower(): one.outcome for one in tests[n].predictions} for n in sources]
    predictions = [
        Prediction(experiment=experiment.id, hypothesis=one.id, outcome=told.get(one.called.lower(), "unsure"))
        for experiment, told in zip(experiments, said, strict=True)
        for one in board.alive
        if one.side == SIDES[experiment.kind]
    ]
    if not settings.parts.targeted:
        predictions = await foretold(office, case, [one for one in board.alive if one.side == "input"], experiments, round)
    for look in design.looks:
        try:
            arguments = json.loads(look.arguments or "{}")
            if not isinstance(arguments, dict):
                raise ValueError("arguments are no JSON object")
            call = Call(look.tool, arguments)
            _allowed(case, call.tool)
        except (ValueError, Unfit) as error:
            refused.append(f"look at {look.tool}: {error}")
            continue
        look_at = first_ordinal(office, case, round) + len(experiments)
        experiments.append(_experiment(office, case, round, look_at, "look", call, "", "", office.researcher.name))
    return experiments, predictions, refused


def experiments_of(
    office: Office, case: Case, board: Board, round: int, tests: Sequence[Test], author: str, after: int = 0
) -> Made:
    """Experiments of a round from tests; one that is on the board already is not made again.

    after: experiments of the round that were made from other tests.
    """
    known = {row_id(one.tool, dict(one.arguments), one.focus) for one in board.experiments}
    first = first_ordinal(office, case, round) + after
    made = Made([], [], [])
    for n, test in enumerate(tests):
        try:
            call = call_of(case, test)
            _allowed(case, call.tool)
        except Unfit as error:
            made.refused.append(f"{test.kind}: {error}")
            continue
        content = row_id(call.tool, call.arguments, test.focus)
        if content in known:
            made.refused.append(f"{test.kind}: it was made before")
            continue
        known.add(content)
        ordinal = first + len(made.experiments)
        made.experiments.append(_experiment(office, case, round, ordinal, test.kind, call, test.focus, test.why, author))
        made.sources.append(n)
    return made


def first_ordinal(office: Office, case: Case, round: int) -> int:
    """The place of a round's first experiment: the same when the round is planned again after a kill."""
    made = office.trails.experiments(office.run, case.feature)
    return max((one.ordinal for one in made if one.round < round), default=0) + 1


async def foretold(
    office: Office, case: Case, hypotheses: Sequence[Hypothesis], experiments: Sequence[Experiment], round: int
) -> list[Prediction]:
    """What hypotheses say of experiments that were not designed for them."""
    made = []
    for one in hypotheses:
        outcomes = await office.researcher.foretell(case, one, experiments, round)
        made += [
            Prediction(experiment=experiment.id, hypothesis=one.id, outcome=outcome)
            for experiment, outcome in zip(experiments, outcomes, strict=True)
        ]
    return made


def drawn(case: Case, board: Board, most: int) -> list[Test]:
    """Tests that nobody chose: passages of train contexts, half of them from examples that fire, in random order."""
    rng = np.random.default_rng(seed_of(case.seed, case.feature, "drawn", board.round))
    firing: list[str] = []
    silent: list[str] = []
    for piece in case.shown:
        for example in piece.data.get("examples", ()):
            values = np.asarray(example["values"])
            (firing if values.any() else silent).append("".join(example["tokens"]).strip())
    chosen = []
    for texts, n in ((firing, most - most // 2), (silent, most // 2)):
        chosen += [texts[i] for i in rng.permutation(len(texts))[:n]]
    return [Test(kind="write", text=text[:2000], why="drawn at random") for text in dict.fromkeys(chosen) if text]


def call_of(case: Case, test: Test) -> Call:
    """The tool call behind a test. Raises Unfit for one that cannot be made."""
    if test.kind == "write":
        if not test.text.strip():
            raise Unfit("there is no text")
        if test.focus and test.focus not in test.text:
            raise Unfit(f"the word {test.focus!r} does not stand in the text")
        return Call("activate", {"texts": [test.text]})
    if test.kind == "edit":
        return _edit(case, test)
    if not test.text.strip() or not test.focus:
        raise Unfit("it needs a prompt (text) and the word that is looked at (focus)")
    word = f" {test.focus}" if test.focus[0].isalnum() and not test.text[-1:].isspace() else test.focus
    word = test.focus[1:] if test.focus.startswith(PIECE) and len(test.focus) > 1 else word
    if test.kind == "steer":
        return Call("steer", {"prompts": [test.text], "watch": [word]})
    return Call("ablate", {"texts": [test.text], "watch": [word], "at": "last"})


def _edit(case: Case, test: Test) -> Call:
    """The edit of an example, or of a text of the model's own, widened to whole tokens."""
    if not test.find:
        raise Unfit("it does not say which span is replaced (find)")
    if test.example is None:
        if test.text.count(test.find) != 1:
            raise Unfit(f"{test.find!r} stands {test.text.count(test.find)} times in the text, not once")
        pair = [test.text, test.text.replace(test.find, test.put)]
        if any(core(test.focus) not in text for text in pair):
            raise Unfit(f"the word {test.focus!r} does not stand in the text before and after the edit")
        return Call("activate", {"texts": pair})
    shown = [example for piece in case.shown for example in piece.data.get("examples", ())]
    example = next((one for one in shown if one["context"] == test.example), None)
    if example is None:
        raise Unfit(f"no example has the number {test.example}")
    tokens: list[str] = example["tokens"]
    values: list[float] = example["values"]
    text = "".join(tokens)
    ends = np.cumsum([len(token) for token in tokens])
    begins = ends - [len(token) for token in tokens]
    place = _position(text, begins, ends, np.asarray(values), test.focus)
    found = [at for at in range(len(text)) if text.startswith(test.find, at)]
    if not found:
        raise Unfit(f"{test.find!r} does not stand in example {test.example}")
    before = [at for at in found if place is None or at < ends[place]]
    at = (before or found)[-1]  # the one nearest before the token that is looked at: what follows cannot matter
    touched = np.flatnonzero((ends > at) & (begins < at + len(test.find)))
    start, stop = int(touched[0]), int(touched[-1]) + 1
    new = text[begins[start] : at] + test.put + text[at + len(test.find) : ends[stop - 1]]
    edit: dict[str, Any] = {"kind": "substitute", "start": start, "stop": stop, "text": new}
    if not new:
        edit = {"kind": "delete", "start": start, "stop": stop}
    arguments: dict[str, Any] = {"context": test.example, "edits": [edit]}
    if place is not None:
        arguments["position"] = place
    return Call("edit_and_compare", arguments)


def _position(text: str, begins: np.ndarray, ends: np.ndarray, values: np.ndarray, focus: str) -> int | None:
    """The token to look at: of those that touch the word the strongest; None where no word is named or it is not there."""
    word = core(focus)
    touched = [
        int(n)
        for at in range(len(text))
        if word and text.startswith(word, at)
        for n in np.flatnonzero((ends > at) & (begins < at + len(word)))
    ]
    return max(touched, key=lambda n: (values[n], n)) if touched else None


def core(word: str) -> str:
    """A word as it is looked for: without spaces around it, unless it is nothing but white space."""
    return word.strip() or word


def _allowed(case: Case, tool: str) -> None:
    if tool in LOOK_ONLY or tool not in {spec.name for spec in case.toolbox.specs}:
        raise Unfit(f"there is no tool {tool[:60]!r} here")


def _experiment(
    office: Office,
    case: Case,
    round: int,
    ordinal: int,
    kind: ExperimentKind,
    call: Call,
    focus: str,
    why: str,
    author: str,
) -> Experiment:
    return Experiment(
        id=row_id("experiment", office.run, case.feature, round, ordinal, call.tool, call.arguments, focus),
        run=office.run,
        feature=case.feature,
        round=round,
        ordinal=ordinal,
        kind=kind,
        tool=call.tool,
        arguments=call.arguments,
        focus=focus,
        purpose=why[:500],
        author=author,
    )
