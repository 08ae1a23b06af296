"""What a language model is asked in each step, as text: the templates of prompts/ filled in.

What is shared comes first, so that a prefix cache pays: the instructions are the same for all features and steps, the evidence
for all steps of a feature. Everything that comes from a corpus or a model has been fenced by the tool that returned it, or is
fenced here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined

from dragoman.evals.gateway.calls import Message
from dragoman.store.fence import fenced
from dragoman.store.findings import Experiment, Hypothesis, level
from dragoman.tools.toolbox import LEGEND

from .answers import Claim, Test
from .board import Board, Case
from .planning import core
from .researcher import Place
from .standing import SEATS, other
from .verdicts import status

FIRED = 4
"""Tokens shown on which a feature fired."""
PIECES = 8
"""Tokens shown of the word that is looked at."""
BEFORE = 4
"""Tokens shown before a span of an example that is edited."""

Chat = tuple[Message, ...]


def propose(case: Case, most: int, facets: bool, output: bool) -> Chat:
    """Hypotheses from the evidence."""
    return _chat("propose", **_evidence(case), most=most, facets=facets, output=output)


def design(case: Case, board: Board, most: int, output: bool) -> Chat:
    """Tests with predictions."""
    tools = "; ".join(f"{spec.name}({', '.join(spec.schema.get('properties', {}))})" for spec in case.toolbox.specs)
    return _chat("design", **_evidence(case), **_board(case, board), most=most, output=output, tools=tools)


def foretell(case: Case, hypothesis: Hypothesis, experiments: Sequence[Experiment]) -> Chat:
    """Predictions of inputs that others made."""
    said = _fenced(hypothesis)
    return _chat("foretell", **_evidence(case), hypothesis=said, inputs=[described(one, case) for one in experiments])


def revise(case: Case, board: Board, chance: float) -> Chat:
    """What follows from results."""
    return _chat("revise", **_evidence(case), **_board(case, board), chance=f"{chance:g}")


def contest(case: Case, place: Place, most: int) -> Chat:
    """Inputs on which rival labels differ."""
    taken = [_proposed(test) for test in place.taken]
    return _chat("contest", **_evidence(case), **_seat(case, place), most=most, taken=taken)


def turn(case: Case, place: Place) -> Chat:
    """What becomes of a label after a round of a debate."""
    return _chat("turn", **_evidence(case), **_seat(case, place))


def merger(case: Case, place: Place, offer: Claim) -> Chat:
    """Whether one label may stand for two."""
    pattern = None if offer.pattern is None else fenced(offer.pattern)
    facets = [part.model_copy(update={"description": fenced(part.description)}) for part in offer.facets]
    said = {"description": fenced(offer.description), "pattern": pattern, "facets": facets}
    return _chat("merger", **_evidence(case), **_seat(case, place), offer=said)


def arbitrate(case: Case, place: Place, so_far: str) -> Chat:
    """The verdict of a debate."""
    called = {one.id: one.called for one in place.board.experiments}
    known = ", ".join(called[one.experiment] for one in place.standing.exchanges)
    return _chat("arbiter", **_evidence(case), **_board(case, place.board), held=_held(place), so_far=fenced(so_far), known=known)


def _held(place: Place) -> dict[str, list[str]]:
    """The labels that each side held, one after the other."""
    names = {one.id: one.called for one in (*place.board.alive, *place.board.dropped)}
    held = {seat: [names[one.held[seat]] for one in place.standing.exchanges] for seat in SEATS}
    return {seat: list(dict.fromkeys([*held[seat], names[place.standing.held[seat]]])) for seat in SEATS}


def mend(wrong: Sequence[str]) -> str:
    """Rules that cannot be read are asked for again."""
    return rendered("mend", wrong=[fenced(one) for one in wrong])


def described(experiment: Experiment, case: Case) -> str:
    """An experiment as one line: what is run, and where one looks. case: where an example that is changed was shown."""
    arguments, texts = experiment.arguments, experiment.texts
    if experiment.kind == "edit" and texts:
        what = f"edit: {_quoted(texts[0])} becomes {_quoted(texts[1])}"
    elif experiment.kind == "edit":
        edit = arguments["edits"][0]
        before, replaced = _cut(case, int(arguments["context"]), int(edit["start"]), int(edit["stop"]))
        where = f"in example {arguments['context']}, behind {_quoted(before)}" if before else f"in example {arguments['context']}"
        what = f"edit: {where}, {_quoted(replaced)} becomes {_quoted(edit.get('text', ''))}"
    else:
        what = f"{experiment.kind}: {_quoted(texts[0])}"
    looked = f", looking at {_quoted(experiment.focus)}" if experiment.focus else ""
    return what + looked


def _cut_into(experiment: Experiment) -> str:
    """How the word that was looked at was read: one token or several. Nothing fires on a piece that is no token, and a result by
    itself does not show which are.
    """
    tokens, word = [str(token) for token in (experiment.result or {}).get("tokens", ())], core(experiment.focus)
    text, begin, touched = "".join(tokens), 0, []
    places = [at for at in range(len(text)) if word and text.startswith(word, at)]
    for token in tokens:
        if any(begin < at + len(word) and begin + len(token) > at for at in places):
            touched.append(token)
        begin += len(token)
    return f" (tokens {', '.join(map(_quoted, touched[:PIECES]))}{', …' * (len(touched) > PIECES)})" if touched else ""


def fired_on(experiment: Experiment) -> str:
    """On which tokens of the text that was run the feature fired, strongest first: one figure for a word does not say it."""
    result = experiment.result or {}
    threshold = float(result.get("threshold", 0.0))
    pairs = zip(result.get("tokens", ()), result.get("values", ()), strict=True)
    firing = sorted(((token, value) for token, value in pairs if value > threshold), key=lambda pair: -pair[1])
    if not firing:
        return ""
    shown = [f"{_quoted(token)} {level(value, threshold)}" for token, value in firing[:FIRED]]
    return f" It fires on {', '.join(shown)}{f' and {len(firing) - FIRED} more' if len(firing) > FIRED else ''}."


@cache
def digest() -> str:
    """Hash of all templates of the labeler: labels say which prompts they were made with."""
    folder = resources.files("dragoman.agents.prompts")
    mine = (file for file in folder.iterdir() if file.name.endswith(".j2") and not file.name.startswith("investigate"))
    files = sorted(mine, key=lambda file: file.name)
    return hashlib.sha256("".join(file.read_text("utf-8") for file in files).encode()).hexdigest()[:16]


def _evidence(case: Case) -> dict[str, object]:
    return {"key": case.key, "shown": case.shown}


def _board(case: Case, board: Board) -> dict[str, object]:
    results = []
    for one in board.experiments:
        verdicts = "; ".join(
            f"{hypothesis.called} said {said.outcome}: {said.verdict}" for hypothesis, said in board.said_of(one) if said.verdict
        )
        came = next((said.because for _, said in board.said_of(one) if said.because), None) or one.reason or "nothing decided"
        said = f"{one.called} {described(one, case)}{_cut_into(one)}. Result: {fenced(came)}.{fired_on(one)}"
        results.append(said + (f" {verdicts}." if verdicts else ""))
    plain = Board(
        alive=tuple(map(_fenced, board.alive)),
        dropped=tuple(map(_fenced, board.dropped)),
        figures=board.figures,
        looks=board.looks,
        matches=board.matches,
    )
    statuses = {one.id: status(board.verdicts_of(one)) for one in board.alive}
    return {"board": plain, "statuses": statuses, "results": results}


def _seat(case: Case, place: Place) -> dict[str, object]:
    points = place.standing.points
    return {
        **_board(case, place.board),
        "mine": _fenced(place.mine),
        "theirs": _fenced(place.theirs),
        "mine_points": points[place.seat],
        "their_points": points[other(place.seat)],
        "over": place.standing.round,
        "rounds": place.rounds,
    }


def _proposed(test: Test) -> str:
    """A test that is not an experiment yet."""
    what = f"{test.kind}: {_quoted(test.text)}"
    if test.kind == "edit":
        where = f"in {_quoted(test.text)}" if test.example is None else f"in example {test.example}"
        what = f"edit: {where}, {_quoted(test.find)} becomes {_quoted(test.put)}"
    return what + (f", looking at {_quoted(test.focus)}" if test.focus else "")


def _cut(case: Case, context: int, start: int, stop: int) -> tuple[str, str]:
    """What stands before a span of an example that was shown, a few tokens of it, and the span itself."""
    shown = (example for piece in case.shown for example in piece.data.get("examples", ()))
    tokens: list[str] = next((list(one["tokens"]) for one in shown if one["context"] == context), [])
    return "".join(tokens[max(0, start - BEFORE) : start]), "".join(tokens[start:stop])


def _fenced(one: Hypothesis) -> Hypothesis:
    """Its words are a model's, which may repeat what a corpus text wants."""
    facets = tuple(facet.model_copy(update={"description": fenced(facet.description)}) for facet in one.facets)
    pattern = None if one.pattern is None else fenced(one.pattern)
    return one.model_copy(update={"description": fenced(one.description), "pattern": pattern, "facets": facets})


def _quoted(text: object) -> str:
    return fenced(repr(str(text if text is not None else "")))


def _chat(name: str, **values: object) -> Chat:
    return Message("system", rendered("researcher", legend=LEGEND)), Message("user", rendered(name, **values))


def rendered(name: str, **values: object) -> str:
    """A template filled in; what is missing raises jinja2's UndefinedError."""
    return _environment().get_template(f"{name}.md.j2").render(**values).strip()


@cache
def _environment() -> Environment:
    return Environment(  # plain text for a model, not HTML
        loader=PackageLoader("dragoman.agents", "prompts"), undefined=StrictUndefined, trim_blocks=False, autoescape=False
    )
