"""The one registry: every tool that agents, chat and MCP have, and the object that calls them.

A tool is declared once, as a typed function with a docstring (tools/toolkit/); what a model is told and how arguments are read
follow from it. A toolbox is bound to one run and one store's train rows; there is no way to choose others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from dragoman.store.errors import ToolError, UserError
from dragoman.store.hashing import row_id

from .toolkit.causes import attribute_tokens, minimal_context, search_inputs
from .toolkit.declaring import Tool, ToolResult, ToolSpec, declare, shown
from .toolkit.desk import Desk
from .toolkit.editing import edit_and_compare
from .toolkit.effects import ablate, generate_steered, logit_effects, steer
from .toolkit.evidence import feature_stats, neighbours, top_examples
from .toolkit.groups import example_groups
from .toolkit.library import query_store, record_note, search_labels
from .toolkit.predictions import explain_prediction
from .toolkit.reading import activate, contrast, find_features
from .toolkit.rules import match_pattern
from .toolkit.showing import LEGEND
from .toolkit.study import Study, Tell

__all__ = ["LEGEND", "Desk", "Tell", "ToolResult", "ToolSpec", "Toolbox", "registry"]

DECLARED: tuple[tuple[Callable[..., ToolResult], str], ...] = (
    (top_examples, "store"),
    (feature_stats, "store"),
    (example_groups, "store"),
    (activate, "source"),
    (edit_and_compare, "source"),
    (minimal_context, "source"),
    (attribute_tokens, "source"),
    (contrast, "source"),
    (find_features, "source"),
    (search_inputs, "source"),
    (match_pattern, "store"),
    (ablate, "subject"),
    (steer, "subject"),
    (generate_steered, "subject"),
    (logit_effects, "store"),
    (explain_prediction, "subject"),
    (neighbours, "store"),
    (search_labels, "store"),
    (query_store, "store"),
    (record_note, "store"),
)
"""Every tool, and what it needs: the store alone, a source of activations of new texts, or a subject."""
MOST_DEPTH = 8
"""How deep arguments may be nested."""
MOST_CHARACTERS = 120_000
"""Characters of all strings among the arguments."""


@cache
def registry() -> Mapping[str, Tool]:
    """All tools by name, declared once."""
    tools = [declare(function, needs) for function, needs in DECLARED]
    return {tool.spec.name: tool for tool in tools}


class Toolbox:
    """The tools, bound to one run and one store's train rows. Safe to call from several threads."""

    def __init__(
        self,
        desk: Desk,
        run: str,
        feature: int | str | None = None,
        *,
        seed: int = 0,
        allowed: Sequence[str] | None = None,
        note: Callable[[dict[str, Any]], None] | None = None,
        other_runs: bool = False,
    ) -> None:
        """
        Args:
            desk: what toolboxes of one store share.
            run: id of the run that uses it.
            feature: the feature under study, which calls need not name; None: every call names one.
            seed: of everything drawn at random, with the feature and the arguments.
            allowed: names of the tools it has; by default all.
            note: takes notes down; by default they are kept in `notes`.
            other_runs: whether labels of the feature under study that other runs made may be seen.

        Raises:
            UserError: there is no such feature or tool.
        """
        unknown = [name for name in allowed or () if name not in registry()]
        if unknown:
            raise UserError(f"There is no tool {unknown[0]!r}: the tools are {', '.join(registry())}.")
        self._allowed = tuple(registry()) if allowed is None else tuple(dict.fromkeys(allowed))
        self._notes: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        number = None if feature is None else desk.train.id(feature)
        self._study = Study(desk, run, number, seed, note or self._keep, other_runs)

    @property
    def run(self) -> str:
        """The run it is bound to."""
        return self._study.run

    @property
    def feature(self) -> str | None:
        """Address of the feature under study."""
        return None if self._study.feature is None else self._study.key(self._study.feature)

    @property
    def notes(self) -> tuple[Mapping[str, Any], ...]:
        """Notes that were recorded, where nothing else takes them."""
        with self._lock:
            return tuple(self._notes)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools that can be called here, in the order of the registry."""
        return tuple(tool.spec for name, tool in registry().items() if name in self._allowed and self._works(tool))

    def call(self, name: str, arguments: Mapping[str, Any], tell: Tell | None = None) -> ToolResult:
        """Call a tool. The same call gives the same result.

        tell: is told how far a slow tool has got; what it raises ends the tool and is raised here.

        Raises:
            ToolError: there is no such tool, the arguments are wrong, or what is asked for does not exist; the sentence says how
                to call it right.
        """
        tool = registry().get(name) if name in self._allowed else None
        if tool is None:
            raise ToolError(f"There is no tool {shown(name)}; the tools are {', '.join(spec.name for spec in self.specs)}.")
        if not self._works(tool):
            missing = "a model" if tool.needs == "subject" else "anything that gives activations of new texts"
            raise ToolError(f"{name} cannot be used here: it needs {missing}, and there is none.")
        if not isinstance(arguments, Mapping):
            raise ToolError(f"{name}: arguments are an object, for example {tool.usage}.")
        problem = _unfit(arguments)
        if problem:
            raise ToolError(f"{name}: {problem}; call it for example with {tool.usage}.")
        try:
            study = self._study if tell is None else replace(self._study, tell=tell)
            return tool.run(study, **tool.read(arguments))
        except UserError as error:
            raise ToolError(str(error)) from error

    def _works(self, tool: Tool) -> bool:
        desk = self._study.desk
        return tool.needs == "store" or (desk.readable if tool.needs == "source" else desk.machine is not None)

    def _keep(self, note: dict[str, Any]) -> None:
        with self._lock:
            if all(row_id(kept) != row_id(note) for kept in self._notes):
                self._notes.append(note)


def _unfit(arguments: Any) -> str | None:
    """Why some arguments cannot be read at all; None where they can."""
    size = 0
    stack: list[tuple[Any, int]] = [(dict(arguments), 0)]
    while stack:
        value, depth = stack.pop()
        if depth > MOST_DEPTH:
            return "the arguments are nested too deeply"
        if isinstance(value, str):
            size += len(value)
            if any("\ud800" <= c <= "\udfff" for c in value):
                return "a text holds half of a surrogate pair, which is no character"
        elif isinstance(value, Mapping):
            stack += [(child, depth + 1) for pair in value.items() for child in pair]
        elif isinstance(value, list | tuple):
            stack += [(child, depth + 1) for child in value]
        if size > MOST_CHARACTERS or len(stack) > MOST_CHARACTERS:
            return "the arguments are too long"
    return None
