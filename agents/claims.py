"""From what a researcher said to hypotheses in the ledger, and from the chosen one to a label."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dragoman.evals.runs import canonical
from dragoman.store.errors import ToolError
from dragoman.store.findings import Hypothesis, Side
from dragoman.store.ledger import label_id
from dragoman.store.records import Facet, Label
from dragoman.tools.patterns import parse

from .answers import Claim, Revision
from .board import Board, Case
from .choosing import Choice, confidence
from .office import Office
from .state import LabelState
from .verdicts import status

EVIDENCE = 10
"""Contexts that a label cites at most."""


def proposed(office: Office, feature: int, said: Sequence[Claim], output: str | None) -> list[Hypothesis]:
    """The first hypotheses of a feature."""
    made = [_hypothesis(office, feature, 0, number, claim, ()) for number, claim in enumerate(said, 1)]
    if output and office.settings.parts.output:
        made.append(_output(office, feature, 0, len(made) + 1, output))
    return made


def revised(office: Office, board: Board, revision: Revision, round: int) -> list[Hypothesis]:
    """Hypotheses made out of others; one that says what another said before is left out."""
    known = {(one.side, one.description) for one in (*board.alive, *board.dropped)}
    first = max((one.ordinal for one in (*board.alive, *board.dropped)), default=0) + 1
    feature = (*board.alive, *board.dropped)[0].feature
    made: list[Hypothesis] = []
    for change in revision.changes:
        if ("input", change.claim.description) in known:
            continue
        known.add(("input", change.claim.description))
        parents = tuple(one.id for name in change.parents if (one := board.called(name)))
        made.append(_hypothesis(office, feature, round, first + len(made), change.claim, parents))
    output = revision.output_claim
    if output and office.settings.parts.output and ("output", output) not in known:
        made.append(_output(office, feature, round, first + len(made), output))
    return made


def debated(
    office: Office, feature: int, board: Board, round: int, claim: Claim, parents: Sequence[Hypothesis], author: str
) -> Hypothesis:
    """A hypothesis that a debater makes."""
    ordinal = max((one.ordinal for one in (*board.alive, *board.dropped)), default=0) + 1
    return _hypothesis(office, feature, round, ordinal, claim, tuple(one.id for one in parents), author)


def twin(board: Board, made: Hypothesis) -> Hypothesis | None:
    """A hypothesis on the board that says the same."""
    said = (made.side, made.description, made.pattern)
    return next((one for one in (*board.alive, *board.dropped) if (one.side, one.description, one.pattern) == said), None)


def _hypothesis(
    office: Office,
    feature: int,
    round: int,
    ordinal: int,
    claim: Claim,
    parents: tuple[str, ...],
    author: str | None = None,
) -> Hypothesis:
    facets = tuple(Facet(description=part.description, pattern=_readable(part.pattern)) for part in claim.facets)
    pattern = _readable(claim.pattern)
    if pattern is None and facets and all(facet.pattern for facet in facets):
        pattern = _readable("; ".join(facet.pattern.rstrip("; ") for facet in facets if facet.pattern))
    content = {
        "name": claim.name,
        "description": claim.description,
        "pattern": pattern,
        "facets": [facet.model_dump() for facet in facets],
    }
    return Hypothesis(
        id=Hypothesis.identity(office.run, feature, round, ordinal, "input", content),
        run=office.run,
        feature=feature,
        round=round,
        ordinal=ordinal,
        side="input",
        name=claim.name,
        description=claim.description,
        facets=facets if len(facets) > 1 and office.settings.parts.facets else (),
        pattern=pattern,
        parents=parents,
        author=author or office.researcher.name,
    )


def _output(office: Office, feature: int, round: int, ordinal: int, claim: str) -> Hypothesis:
    side: Side = "output"
    return Hypothesis(
        id=Hypothesis.identity(office.run, feature, round, ordinal, side, {"description": claim}),
        run=office.run,
        feature=feature,
        round=round,
        ordinal=ordinal,
        side=side,
        name="output",
        description=claim,
        author=office.researcher.name,
    )


def _readable(pattern: str | None) -> str | None:
    """A pattern in its canonical form; None where it is none."""
    if pattern is None or not pattern.strip():
        return None
    try:
        return str(parse(pattern))
    except ToolError:
        return None


def label_of(office: Office, case: Case, board: Board, choice: Choice, state: LabelState) -> Label:
    """The label that the chosen hypothesis becomes, with where it comes from."""
    one = choice.hypothesis
    assert one is not None
    told = [prediction.experiment for prediction in board.verdicts_of(one)]
    output = next((h for h in reversed(board.alive) if h.side == "output" and status(board.verdicts_of(h)) == "supported"), None)
    firing = [
        int(example["context"])
        for piece in case.shown
        if piece.tool == "top_examples" and piece.arguments.get("stratum") in ("top", "quantile")
        for example in piece.data.get("examples", ())
    ]
    notes: dict[str, Any] = {
        "hypothesis": one.id,
        "why": choice.why,
        "status": status(board.verdicts_of(one)),
        "validation": None if choice.figure is None else choice.figure._asdict(),
        "rung": state.get("rung", "one-shot"),
        "rounds": state.get("round", 0),
        "ended": state.get("ended", ""),
        "stated confidence": state.get("confidence", 0) / 100,
    }
    content = {
        "name": one.name,
        "description": one.description,
        "facets": [facet.model_dump() for facet in one.facets],
        "pattern": one.pattern,
        "output_claim": output.description if output else None,
        "agent": one.author,
    }
    return Label(
        id=label_id(office.run, case.feature, canonical(content)),
        feature=case.feature,
        run=office.run,
        name=one.name,
        description=one.description,
        facets=one.facets,
        pattern=one.pattern,
        output_claim=output.description if output else None,
        agent=one.author,
        model=office.author(one).model,
        evidence=tuple(dict.fromkeys(firing))[:EVIDENCE],
        experiments=tuple(dict.fromkeys(told)),
        prompt=office.author(one).prompt,
        confidence=confidence(choice.figure, choice.tries, office.gauge.chance),
        notes=json.dumps(notes, sort_keys=True),
    )
