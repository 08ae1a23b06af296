"""What goes over the border: a feature with its figures, examples, labels and scores, the same for every format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from dragoman.store.records import Label, Score, Split, TokenValue


@dataclass(frozen=True)
class Source:
    """Whose features they are, in the words that the formats use."""

    model: str
    """Name of the language model, for example `gpt2-small`; never a path."""
    name: str
    """Name of the dictionary among the model's, for example `6-res-jb`."""
    set: str
    """The family of dictionaries that it belongs to, for example `res-jb`."""
    layer: int
    """Number of the block it reads; 0 where its hook point has none."""
    hook: str
    """Its hook point, in the names that the formats use, for example `blocks.6.hook_resid_post`."""
    width: int
    """Number of its features."""
    corpus: str
    """Name of the text it was harvested on; never a path."""
    contexts: int
    """Windows of the split that the examples come from."""
    window: int
    """Tokens in the longest of them."""


@dataclass(frozen=True)
class Shown:
    """A window in which a feature is active."""

    tokens: tuple[str, ...]
    """What each token contributes to the text."""
    values: tuple[float, ...]
    """Activation at each token."""
    at: int
    """Place of the token that it was chosen for, the largest value; -1 where a file names none."""
    low: float | None = None
    """Lower end of the interval of peaks that it was drawn from; None for the strongest, which are not drawn."""
    high: float | None = None
    """Upper end."""
    share: float | None = None
    """Share of the feature's non-zero activations that lie in the interval."""
    context: int | None = None
    """Number of the window in the store."""
    split: Split | None = None
    """Split of its document."""

    @property
    def top(self) -> bool:
        """One of the strongest, not drawn from an interval."""
        return self.low is None


@dataclass(frozen=True)
class Card:
    """Everything that is said of one feature."""

    dictionary: str
    """Name of the dictionary in its store, or what the file calls it."""
    index: int
    """Row of the feature in the dictionary."""
    max: float | None = None
    """Largest activation on train."""
    density: float | None = None
    """Share of train tokens with a non-zero activation."""
    histogram: tuple[float, ...] = ()
    """Counts of the non-zero train activations in equal bins from 0 to max."""
    promoted: tuple[TokenValue, ...] = ()
    """Tokens with the largest logit effect."""
    suppressed: tuple[TokenValue, ...] = ()
    """Tokens with the smallest."""
    neighbours: tuple[tuple[int, float], ...] = ()
    """Nearest features of the dictionary by cosine of the directions: index and cosine."""
    shown: tuple[Shown, ...] = ()
    """Windows: the strongest first, then those of each interval, highest interval first."""
    labels: tuple[Label, ...] = ()
    """What is said of it. In files of other tools `feature` is the index, and what they do not state is left at its default."""
    scores: tuple[Score, ...] = ()
    """How well each label did; `label` is the label's id."""


def without(card: Card, lost: Mapping[str, str]) -> Card:
    """A card as it is after a format that loses some of its fields: `index`, `shown.context`, `label.name`, `score.low` …"""
    parts = {
        "labels": tuple(label.model_copy(update=_blank(label, "label", lost)) for label in card.labels),
        "scores": tuple(score.model_copy(update=_blank(score, "score", lost)) for score in card.scores),
        "shown": tuple(Shown(**{**vars(shown), **_blank(shown, "shown", lost)}) for shown in card.shown),
    }
    return Card(**{**vars(card), **parts, **_blank(card, "", lost)})


BLANK: Mapping[str, Any] = {
    "label.name": "", "label.id": "", "label.run": "", "label.agent": "", "label.notes": "{}",
    "score.run": "", "score.label": "", "score.judge": "", "score.n": 0, "score.split": "elsewhere", "score.contestant": "label",
}  # fmt: skip
"""What stands for a field that a format does not carry, where the record has no default."""


def _blank(record: object, prefix: str, lost: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a record that are lost, each with what stands for it."""
    found = {}
    for name, default in defaults(record).items():
        path = f"{prefix}.{name}" if prefix else name
        if path in lost:
            found[name] = BLANK.get(path, default)
    return found


def defaults(record: object) -> dict[str, Any]:
    """Every field of a record with its default; None where it must be given."""
    model = getattr(type(record), "model_fields", None)
    if model is not None:
        return {name: None if info.is_required() else info.get_default() for name, info in model.items()}
    return {f.name: f.default if f.default is not f.default_factory else None for f in fields(record)}  # type: ignore[arg-type]


@dataclass
class Count:
    """What an export wrote, or an import read."""

    files: int = 0
    """Files."""
    features: int = 0
    """Features with at least one line about them."""
    examples: int = 0
    """Windows with activations."""
    labels: int = 0
    """Labels."""
    scores: int = 0
    """Scores."""
    cut: dict[str, int] = field(default_factory=dict)
    """What had to be cut or left out, one by one, in words, and how often."""

    def less(self, what: str, n: int = 1) -> None:
        """Note that something was cut or left out."""
        if n:
            self.cut[what] = self.cut.get(what, 0) + n
