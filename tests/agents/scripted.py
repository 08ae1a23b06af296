"""Scripted language models for the labeler: what they answer is a function of the step they are asked for.

with ScriptedServer(Scripted(propose=…, design=…, revise=…)) as server: …
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.evals.gateway.server import Failure, Said

Body = dict[str, Any]
Answer = Mapping[str, Any] | str | Said | Failure
Part = Callable[[str], Answer]


def claim(description: str, pattern: str | None = None, name: str = "a thing") -> dict[str, Any]:
    """A hypothesis."""
    return {"name": name, "description": description, "pattern": pattern, "facets": []}


def proposal(*claims: Mapping[str, Any], confidence: int = 70, output: str | None = None) -> dict[str, Any]:
    """What a model proposes."""
    return {"hypotheses": list(claims), "output_claim": output, "confidence": confidence}


def written(text: str, focus: str = "", **predictions: str) -> dict[str, Any]:
    """A test that runs a text."""
    said = [{"hypothesis": name, "outcome": outcome} for name, outcome in predictions.items()]
    empty = {"example": None, "find": "", "put": ""}
    return {"kind": "write", "text": text, "focus": focus, "why": "to see", "predictions": said, **empty}


def revision(*changes: Mapping[str, Any], drop: tuple[str, ...] = (), confidence: int = 70) -> dict[str, Any]:
    """What a model makes of results."""
    made = [{"parents": [], "claim": change} for change in changes]
    return {"drop": list(drop), "changes": made, "output_claim": None, "confidence": confidence}


def turn(move: str = "keep", claim: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a debater does after a round."""
    return {"move": move, "claim": claim, "reason": "Because of E1."}


@dataclass
class Scripted:
    """A model that answers every step from a function of the prompt; `asked` counts the steps."""

    propose: Part = lambda prompt: proposal(claim("Fires on a thing."))
    design: Part = lambda prompt: {"tests": [], "looks": []}
    revise: Part = lambda prompt: revision()
    foretell: Part = lambda prompt: {"outcomes": ["unsure"] * int(re.findall(r"one for each of the (\d+)", prompt)[-1])}
    contest: Part = lambda prompt: {"tests": [], "looks": []}
    turn: Part = lambda prompt: turn()
    merger: Part = lambda prompt: {"accept": False, "reason": "It says too much."}
    arbiter: Part = lambda prompt: {"verdict": "The first label holds by E1.", "cites": ["E1"]}
    asked: dict[str, int] = field(default_factory=dict)
    prompts: list[str] = field(default_factory=list)

    def __call__(self, body: Body) -> str | Said | Failure:
        prompt = next(m["content"] for m in body["messages"] if m["role"] == "user")
        self.prompts.append(prompt)
        step = step_of(prompt)
        self.asked[step] = self.asked.get(step, 0) + 1
        said = getattr(self, step)(prompt)
        return json.dumps(said) if isinstance(said, Mapping) else said


def step_of(prompt: str) -> str:
    """Which step a prompt is about, by what it asks at its end."""
    for step, words in (
        ("foretell", "Others have made inputs to test it."),
        ("contest", "different things, and on which you expect"),
        ("turn", "Say what becomes of your label."),
        ("merger", "The rival offers one label for both:"),
        ("arbiter", "You are the arbiter."),
        ("design", "tests that decide between these hypotheses"),
        ("revise", "Say what follows from the results."),
    ):
        if words in prompt:
            return step
    return "propose"


def feature_of(prompt: str) -> str:
    """The feature a prompt is about."""
    found = re.match(r"Feature (\S+)", prompt)
    assert found is not None
    return found[1]
