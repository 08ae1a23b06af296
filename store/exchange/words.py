"""Labels and scores as JSON that travels in a free field of another format, and back."""

from __future__ import annotations

import json
from typing import Any

from dragoman.store.hashing import row_id
from dragoman.store.records import Label, Score

from .parsing import Fields

KEY = "dragoman"
"""Under this name our own facts stand in the free fields of other formats."""
NAME_WORDS, NAME_LENGTH = 8, 80


def label_facts(label: Label) -> str:
    """What a label says beyond its description, agent and model, as JSON."""
    facts = label.model_dump(mode="json", exclude={"id", "feature", "description", "agent", "model"})
    return json.dumps({KEY: facts}, ensure_ascii=True)


def label_from(fields: Fields, index: int, description: str, agent: str, model: str | None, id: str, free: str | None) -> Label:
    """A label that another tool wrote, or that we did: then `free` holds the rest of it."""
    facts = _facts(free)
    notes = json.dumps({"notes": free}) if free and not facts else "{}"
    whole = {"run": "", "notes": notes, "name": name_of(description), **facts}
    whole |= {"feature": index, "description": description, "agent": agent, "model": model}
    whole["id"] = id or row_id("read", index, description, agent, model)
    return fields.checked(Label, whole)


def score_facts(score: Score) -> str:
    """What a score says beyond its value, scorer and judge, as JSON."""
    facts = score.model_dump(mode="json", exclude={"value", "scorer", "judge", "label", "feature", "unscored"})
    return json.dumps({KEY: facts}, ensure_ascii=True)


def score_from(fields: Fields, index: int, value: float, scorer: str, judge: str, label: str, free: str | None) -> Score:
    """A score that another tool wrote, or that we did: then `free` holds the rest of it."""
    whole = {"run": "", "contestant": "label", "split": "elsewhere", **_facts(free)}
    whole |= {"feature": index, "value": value, "scorer": scorer, "judge": judge, "label": label, "unscored": None}
    return fields.checked(Score, whole)


def name_of(description: str) -> str:
    """The first words of a description, for labels that have no name."""
    words = description.split(maxsplit=NAME_WORDS)[:NAME_WORDS]
    name = " ".join(words)
    return name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 1] + "…"


def _facts(free: str | None) -> dict[str, Any]:
    """Our own facts in a free field; none where another tool wrote it."""
    if not free or f'"{KEY}"' not in free:
        return {}
    try:
        found = json.loads(free)
    except (ValueError, RecursionError):
        return {}
    facts = found.get(KEY) if isinstance(found, dict) else None
    return facts if isinstance(facts, dict) else {}
