"""An import: other people's labels become labels of runs of their own, so that our judge scores them like any other.

A run holds the labels of one explainer, at most one a feature: what a file has beyond that goes into further runs. Scores come in
as what they are, marked `imported`, under a judge's name that says where they come from. Examples and activations stay outside:
the store is sealed. Everything is read and checked first, and then written in one transaction; the same files again change
nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.hashing import row_id
from dragoman.store.ledger import clean, label_id, score_id
from dragoman.store.ranges import spec
from dragoman.store.records import DictionaryInfo, Label, Run, Score

from .cards import Card, Count
from .formats import SAYINGS, checked, recognised
from .words import NAME_LENGTH, NAME_WORDS, name_of

IMPORTED = "imported"
"""Flag of scores that another tool measured."""


@dataclass
class Imported:
    """What an import found and wrote."""

    format: str
    """The files' format."""
    count: Count = field(default_factory=Count)
    """What was read, and what was left out."""
    runs: list[Run] = field(default_factory=list)
    """The runs that hold the labels, the fullest last: it is what `score` takes."""
    labels: list[Label] = field(default_factory=list)
    """The labels."""
    scores: list[Score] = field(default_factory=list)
    """The scores."""
    sources: list[str] = field(default_factory=list)
    """What the files call the dictionaries."""
    new: bool = True
    """Whether anything of this was not in the ledger before."""


def import_files(
    store: Store, path: Path, format: str | None = None, dictionary: str | None = None, source: str | None = None
) -> Imported:
    """Read labels and scores of other tools into the ledger.

    Args:
        store: where they go.
        path: a file or folder.
        format: its format; None: from what is in it.
        dictionary: whose features they are about; None: the only one, or those that the files name.
        source: of several dictionaries in the files, the one that is meant.

    Raises `UserError`, with nothing written, when the files cannot be read or are about features that the store does not have.
    """
    name = checked(format) if format else recognised(path)
    if not path.exists():
        raise UserError(f"There is nothing at {path}: check the path.")
    found = Imported(name)
    aim = _Aim(store, dictionary, source, path)
    said: dict[tuple[str, str | None], list[dict[int, Label]]] = {}
    owners: dict[tuple[int, str], Label] = {}
    scored: list[tuple[int, Score]] = []
    for card in SAYINGS[name](path):
        feature = aim.feature(card)
        if feature is None:
            continue
        found.count.features += 1
        found.count.examples += len(card.shown)
        for label in card.labels:
            _sort(found, said, owners, feature, label)
        scored += [(feature, score) for score in card.scores]
    if not found.count.features:
        raise UserError(
            f"{path} holds no features{f' of {source}' if source else ''}, read as {name}: there is nothing to import."
        )
    found.sources = sorted(aim.seen)
    _compose(found, said, owners, scored, path)
    if found.labels:
        known = {run.id for run in store.ledger.runs()}
        found.new = any(run.id not in known for run in found.runs)
        store.ledger.record(runs=found.runs, labels=found.labels, scores=found.scores)
    return found


class _Aim:
    """Which feature of the store a card is about."""

    def __init__(self, store: Store, dictionary: str | None, source: str | None, path: Path) -> None:
        self._known = {info.name: info for info in store.dictionaries}
        if dictionary is not None and dictionary not in self._known:
            raise UserError(f"There is no dictionary {dictionary!r} in this store: it has {', '.join(self._known)}.")
        self._dictionary, self._source, self._path = dictionary, source, path
        self.seen: set[str] = set()
        self._guessed: str | None = None

    def feature(self, card: Card) -> int | None:
        """The global id; None for a card of a dictionary that is not meant."""
        self.seen.add(card.dictionary)
        if self._source is not None and card.dictionary != self._source and card.dictionary.split("/")[-1] != self._source:
            return None
        info = self._info(card.dictionary)
        if card.index >= info.width:
            raise UserError(
                f"{self._path} is about feature {card.index} of {_called(card.dictionary)}, and {info.name} has {info.width} "
                "features: it was written for another dictionary, or --dictionary names the wrong one."
            )
        return info.offset + card.index

    def _info(self, name: str) -> DictionaryInfo:
        if self._dictionary is None and name in self._known:
            return self._known[name]
        if self._dictionary is None and len(self._known) > 1:
            fitting = [info for info in self._known.values() if name in (info.hook_in, info.hook_out)]
            if len(fitting) == 1:
                return fitting[0]
            raise UserError(f"Say with --dictionary which of {', '.join(self._known)} {self._path} is about.")
        if self._source is None and self._guessed not in (None, name):
            several = f"{_called(str(self._guessed))}, {_called(name)} …"
            raise UserError(f"{self._path} is about several dictionaries ({several}): say with --source which of them is meant.")
        self._guessed = name
        return self._known[self._dictionary] if self._dictionary else next(iter(self._known.values()))


def _called(name: str) -> str:
    return ascii(name)[1:-1][:80] or "an unnamed dictionary"


def _sort(
    found: Imported,
    said: dict[tuple[str, str | None], list[dict[int, Label]]],
    owners: dict[tuple[int, str], Label],
    feature: int,
    label: Label,
) -> None:
    """Put a label into the first run of its explainer that has none for the feature."""
    if not label.description.strip():
        found.count.less("empty labels left out")
        return
    runs = said.setdefault((label.agent, label.model), [])
    for run in runs:
        same = run.get(feature)
        if same is not None and same.description == label.description:
            found.count.less("labels that were there twice left out")
            owners[feature, label.id] = same
            return
    place = next((run for run in runs if feature not in run), None)
    if place is None:
        runs.append(place := {})
    place[feature] = owners[feature, label.id] = label


def _compose(
    found: Imported,
    said: dict[tuple[str, str | None], list[dict[int, Label]]],
    owners: dict[tuple[int, str], Label],
    scored: list[tuple[int, Score]],
    path: Path,
) -> None:
    """Runs, labels and scores as they go into the ledger."""
    mine: dict[tuple[int, str], Label] = {}
    for (agent, model), runs in said.items():
        for nth, labels in enumerate(runs):
            run = _run(found.format, agent, model, nth, labels)
            made = {feature: _label(found.format, run, feature, label, path) for feature, label in labels.items()}
            mine |= {(feature, label.id): made[feature] for feature, label in labels.items()}
            found.runs.append(run)
            found.labels += made.values()
    sizes = {run.id: 0 for run in found.runs}
    for label in found.labels:
        sizes[label.run] += 1
    found.runs.sort(key=lambda run: sizes[run.id])
    unique: dict[str, Score] = {}
    for feature, score in scored:
        owner = owners.get((feature, score.label))
        if owner is None or score.contestant != "label":
            found.count.less("scores of controls left out" if score.contestant != "label" else "scores without a label left out")
            continue
        made_of = _score(found.format, feature, mine[feature, owner.id], score)
        if unique.setdefault(score_id(made_of), made_of) is not made_of:
            found.count.less("further scores of the same kind left out")
    found.scores = list(unique.values())
    found.count.labels, found.count.scores = len(found.labels), len(found.scores)


def _run(format: str, agent: str, model: str | None, nth: int, labels: dict[int, Label]) -> Run:
    content = row_id(sorted((feature, *_content(label)) for feature, label in labels.items()))
    config = {"imported": format, "agent": agent, "model": model, "nth": nth, "features": spec(labels), "content": content[:16]}
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return Run(id=row_id("import", text)[:16], kind="label", config=text, status="done")


def _content(label: Label) -> list[Any]:
    return [label.description, label.name, label.pattern, label.output_claim, [facet.model_dump() for facet in label.facets]]


def _label(format: str, run: Run, feature: int, label: Label, path: Path) -> Label:
    """A label of this store; what points into another store goes into its notes."""
    origin = {
        "format": format,
        "file": path.name,
        "index": label.feature,
        "id": label.id,
        "run": label.run,
        "evidence": list(label.evidence),
        "experiments": list(label.experiments),
        "prompt": label.prompt,
    }
    notes: dict[str, Any] = {"imported": {name: value for name, value in origin.items() if value not in (None, "", [])}}
    try:
        before = json.loads(label.notes)
    except (ValueError, RecursionError):
        before = label.notes
    if before:
        notes["notes"] = before
    fits = len(label.name) <= NAME_LENGTH and len(label.name.split()) <= NAME_WORDS and label.name.strip()
    return label.model_copy(
        update={
            "id": label_id(run.id, feature, *_content(label)),
            "feature": feature,
            "run": run.id,
            "name": label.name if fits else name_of(label.name.strip() or label.description),
            "agent": f"{format}:{label.agent}" if label.agent else format,
            "evidence": (),
            "experiments": (),
            "prompt": None,
            "notes": clean(json.dumps(notes, ensure_ascii=True)),
        }
    )


def _score(format: str, feature: int, label: Label, score: Score) -> Score:
    flags = (*(flag for flag in score.flags if flag != IMPORTED), IMPORTED)
    judge = f"{format}:{score.judge}" if score.judge else format
    return score.model_copy(update={"label": label.id, "feature": feature, "run": label.run, "judge": judge, "flags": flags})
