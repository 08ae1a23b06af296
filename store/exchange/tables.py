"""Tables of our own, as Parquet or CSV: labels, scores, features, examples. A feature is DICT/INDEX.

Examples come from train rows alone, and the figures of features from train rows, except liveness and dense. Scores come with
those of the controls of the same scoring runs. In CSV lists are JSON, and a text that a spreadsheet would take for a formula has
a ' before it, which is taken away again when it is read. Of these tables labels and scores can be read; a labels table may be
anybody's, with columns feature (or index) and description (or label, or explanation).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from dragoman.store.features import Store
from dragoman.store.records import FeatureKey, Label, Score

from .cards import Card, Count
from .parsing import Fields, parsed
from .sheets import NUMBER, NUMBERS, TEXT, TEXTS, TRUTH, WHOLE, Kind, open_sheet, read_sheet
from .words import label_from
from .writing import batches

FORMATS = ("csv", "parquet")
PARTS = ("labels", "scores", "features", "examples")
LOST = {
    "csv": {"texts": "the difference between an empty text and none"},
    "parquet": {},
}
"""What the tables have no place for, besides what STORE_LOST says."""
STORE_LOST = (
    "activations outside the examples",
    "top tokens, neighbours, co-activation and logit effects",
    "whole-corpus figures",
)
"""What of a store is in none of the tables."""
COLUMNS: Mapping[str, Mapping[str, Kind]] = {
    "labels": {
        "id": TEXT, "feature": TEXT, "run": TEXT, "name": TEXT, "description": TEXT, "facets": TEXT,
        "pattern": TEXT, "output_claim": TEXT, "agent": TEXT, "model": TEXT, "evidence": TEXT, "experiments": TEXT,
        "prompt": TEXT, "confidence": NUMBER, "notes": TEXT,
    },
    "scores": {
        "label": TEXT, "feature": TEXT, "run": TEXT, "scorer": TEXT, "judge": TEXT, "contestant": TEXT,
        "split": TEXT, "value": NUMBER, "low": NUMBER, "high": NUMBER, "n": WHOLE, "unscored": TEXT, "flags": TEXT,
    },
    "features": {
        "feature": TEXT, "max": NUMBER, "mean": NUMBER, "active": WHOLE, "density": NUMBER, "firing": WHOLE,
        "firing_density": NUMBER, "threshold": NUMBER, "quantiles": NUMBERS, "histogram": NUMBERS,
        "firing_contexts": WHOLE, "liveness": TEXT, "dense": TRUTH, "sampled": TRUTH,
    },
    "examples": {
        "feature": TEXT, "split": TEXT, "context": WHOLE, "at": WHOLE, "peak": NUMBER, "low": NUMBER,
        "high": NUMBER, "share": NUMBER, "tokens": TEXTS, "values": NUMBERS,
    },
}  # fmt: skip
"""The columns of every table and what they hold."""
_JSON = {"labels": ("facets", "evidence", "experiments"), "scores": ("flags",)}
_ROWS = 256


def write_cards(cards: Iterable[Card], folder: Path, form: str, parts: Iterable[str], store: Store) -> Count:
    """Write the tables in one pass over the cards of one or several dictionaries."""
    parts, count = set(parts), Count()
    figures = store.stats_table().select([name for name in COLUMNS["features"] if name != "feature"])
    with (
        open_sheet(folder / f"labels.{form}", COLUMNS["labels"], "labels" in parts) as labels,
        open_sheet(folder / f"examples.{form}", COLUMNS["examples"], "examples" in parts) as examples,
        open_sheet(folder / f"features.{form}", COLUMNS["features"], "features" in parts) as features,
        open_sheet(folder / f"scores.{form}", COLUMNS["scores"], "scores" in parts) as scores,
    ):
        for batch in batches(cards, _ROWS):
            labels.write(label_row(label, store) for card in batch for label in card.labels)
            examples.write(row for card in batch for row in example_rows(card))
            features.write(feature_rows(batch, store, figures))
            told = list(_with_controls(batch, store)) if "scores" in parts else []
            scores.write(score_row(score, store) for score in told)
            count.features += len(batch)
            count.labels += sum(len(card.labels) for card in batch) if "labels" in parts else 0
            count.examples += sum(len(card.shown) for card in batch) if "examples" in parts else 0
            count.scores += len(told)
    count.files = len(parts)
    return count


def label_row(label: Label, store: Store) -> dict[str, Any]:
    """A label as a row."""
    return _packed("labels", {**label.model_dump(mode="json"), "feature": str(store.key(label.feature))})


def score_row(score: Score, store: Store) -> dict[str, Any]:
    """A score as a row."""
    return _packed("scores", {**score.model_dump(mode="json"), "feature": str(store.key(score.feature))})


def feature_rows(cards: Sequence[Card], store: Store, figures: pa.Table) -> Iterator[dict[str, Any]]:
    """The figures of features, as rows; figures: those of every feature of the store, by id."""
    keys = [FeatureKey(card.dictionary, card.index) for card in cards]
    for key, row in zip(keys, figures.take([store.id(key) for key in keys]).to_pylist(), strict=True):
        yield {"feature": str(key), **row}


def example_rows(card: Card) -> Iterator[dict[str, Any]]:
    """The examples of a card, as rows."""
    for shown in card.shown:
        yield {**vars(shown), "feature": f"{card.dictionary}/{card.index}", "peak": shown.values[shown.at]}


def _with_controls(cards: Iterable[Card], store: Store) -> Iterator[Score]:
    """The scores of the cards' labels, and those of the controls in the same runs."""
    for card in cards:
        yield from card.scores
        runs = {score.run for score in card.scores}
        if runs:
            feature = card.scores[0].feature
            yield from (s for s in store.ledger.scores(feature=feature) if s.run in runs and s.contestant != "label")


def _packed(table: str, row: dict[str, Any]) -> dict[str, Any]:
    return {name: json.dumps(value, ensure_ascii=True) if name in _JSON[table] else value for name, value in row.items()}


def read(path: Path) -> Iterator[Card]:
    """Labels with their scores, from a labels table or from a folder that has one. Raises `UserError` for what is none."""
    path, scores = _files(path)
    cards: dict[tuple[str, int], Card] = {}
    for fields in read_sheet(path):
        dictionary, index = _address(fields)
        card = cards.setdefault((dictionary, index), Card(dictionary, index))
        cards[dictionary, index] = replace(card, labels=(*card.labels, _label(fields, index)))
    for fields in read_sheet(scores) if scores else ():
        dictionary, index = _address(fields)
        card = cards.setdefault((dictionary, index), Card(dictionary, index))
        cards[dictionary, index] = replace(card, scores=(*card.scores, _score(fields, index)))
    yield from cards.values()


def _files(path: Path) -> tuple[Path, Path | None]:
    """The labels table, and that of the scores if there is one."""
    if path.is_file():
        return path, None
    for form in FORMATS:
        if (path / f"labels.{form}").is_file():
            scores = path / f"scores.{form}"
            return path / f"labels.{form}", scores if scores.is_file() else None
    raise Fields({}, str(path)).fail("there is no labels.csv or labels.parquet in it")


def _address(fields: Fields) -> tuple[str, int]:
    """Dictionary and index; the dictionary is empty where the row does not say."""
    name = fields.given("feature", "index")
    if isinstance(fields.value[name], str):
        dictionary, _, index = fields.value[name].strip().rpartition("/")
        if not index.isascii() or not index.isdigit() or len(index) > 18:
            fields.fail(f"{name} is {ascii(fields.value[name])[:60]}, not DICT/INDEX or INDEX")
        return dictionary or fields.text("dictionary", "") or "", int(index)
    return fields.text("dictionary", "") or "", fields.whole(name)


def _label(fields: Fields, index: int) -> Label:
    text = fields.text(fields.given("description", "explanation", "label"), "")
    facts = {name: fields.text(name, None) for name in ("name", "pattern", "output_claim", "prompt", "run")}
    facts |= {name: _unpacked(fields, name) for name in _JSON["labels"]}
    facts |= {"confidence": fields.number("confidence", None), "notes": fields.text("notes", None)}
    given = {name: value for name, value in facts.items() if value is not None}
    agent, model, id = fields.text("agent", "") or "", fields.text("model", None), fields.text("id", "") or ""
    free = json.dumps({"dragoman": given})
    return label_from(fields, index, text, agent, model, id, free)


def _score(fields: Fields, index: int) -> Score:
    row = {name: fields.text(name, "") for name in ("label", "run", "scorer", "judge", "contestant")}
    row |= {name: fields.number(name, None) for name in ("value", "low", "high")}
    row |= {"split": fields.text("split", "elsewhere"), "n": fields.whole("n", 0), "unscored": fields.text("unscored", None)}
    return fields.checked(Score, {**row, "feature": index, "flags": _unpacked(fields, "flags") or []})


def _unpacked(fields: Fields, name: str) -> Any:
    text = fields.text(name, None)
    return None if text is None else parsed(text, f"{fields.place}, {name}")
