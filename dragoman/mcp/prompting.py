"""The usual investigations as prompts: what a client's user can start with, filled in from templates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from dragoman.store.errors import UserError
from dragoman.store.fence import fenced
from dragoman.tools.toolbox import LEGEND
from dragoman.tools.toolkit.showing import quoted

from .library import Library

MOST = 6_000
"""Characters of a text that is asked about: what the tools take."""


@dataclass(frozen=True)
class Blank:
    """Something that a prompt asks for."""

    name: str
    """Its name."""
    description: str
    """What to write there."""
    kind: Literal["feature", "text"]
    """A feature's address, or words."""
    required: bool = True
    """Whether it must be given."""


@dataclass(frozen=True)
class Investigation:
    """A prompt."""

    name: str
    """Its name, and that of its template."""
    title: str
    """For people."""
    description: str
    """What comes of it."""
    blanks: tuple[Blank, ...]
    """What it asks for."""


_FEATURE = Blank("feature", "The feature, as DICT/INDEX.", "feature")
INVESTIGATIONS = (
    Investigation(
        "explain_feature",
        "Explain a feature",
        "What a feature stands for, found by experiment: a label, and what each part of it rests on.",
        (_FEATURE,),
    ),
    Investigation(
        "compare_features",
        "Compare two features",
        "What two features have in common, what tells them apart, and the inputs that show it.",
        (
            Blank("a", "One feature, as DICT/INDEX.", "feature"),
            Blank("b", "The other one, as DICT/INDEX.", "feature"),
        ),
    ),
    Investigation(
        "test_hypothesis",
        "Test a hypothesis",
        "Whether something said of a feature holds: predictions first, then experiments, then a verdict.",
        (_FEATURE, Blank("hypothesis", "What is said of it.", "text")),
    ),
    Investigation(
        "why_did_it_fire",
        "Why did this text fire?",
        "Which parts of a text a feature rests on, and what it would take for it to be silent.",
        (
            Blank("text", "The text, exactly as the model reads it.", "text"),
            Blank("feature", "The feature, as DICT/INDEX; by default the strongest are looked for.", "feature", required=False),
        ),
    ),
)


def filled(library: Library, name: str, given: Mapping[str, str]) -> str:
    """A prompt, filled in.

    Raises UserError where there is no such prompt, and for what is missing, unknown or no feature.
    """
    found = next((one for one in INVESTIGATIONS if one.name == name), None)
    if found is None:
        known = ", ".join(one.name for one in INVESTIGATIONS)
        raise UserError(f"There is no prompt {quoted(name, 60)}: the prompts are {known}.")
    unknown = [key for key in given if key not in {blank.name for blank in found.blanks}]
    if unknown:
        asked = ", ".join(blank.name for blank in found.blanks)
        raise UserError(f"{name} does not ask for {quoted(unknown[0], 60)}: it asks for {asked}.")
    values: dict[str, str | None] = {}
    for blank in found.blanks:
        value = given.get(blank.name, "")
        if not value.strip():
            if blank.required:
                raise UserError(f"{name} needs {blank.name}: {blank.description}")
            values[blank.name] = None
        elif blank.kind == "feature":
            values[blank.name] = library.key(library.view.id(value.strip()))
        else:
            if len(value) > MOST:
                raise UserError(f"{blank.name} has {len(value):,} characters: give at most {MOST:,}.")
            values[blank.name] = fenced(_exact(value))
    tools = {spec.name for spec in library.toolbox.specs}
    return _templates().get_template(f"{name}.md.j2").render(legend=LEGEND, tools=tools, **values).strip()


def _exact(text: str) -> str:
    """The text as a JSON string, from which it can be read back; everything in it visible."""
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in json.dumps(text, ensure_ascii=False))


@cache
def _templates() -> Environment:
    """The templates; what they are given is plain text, for a model and no browser."""
    return Environment(
        loader=PackageLoader("dragoman.mcp", "prompts"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
