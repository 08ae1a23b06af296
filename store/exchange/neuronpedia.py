"""Neuronpedia's bulk files: features, activations and explanations, a gzip file of JSON lines for every 1024 features.

    MODEL/SOURCE/release.jsonl, model.jsonl, sourceset.jsonl, source.jsonl
    MODEL/SOURCE/features/batch-N.jsonl.gz, activations/…, explanations/…, scores/…

`scores/` is ours: Neuronpedia's exports hold none, and its importer passes over it; a row there has the fields of its
ExplanationScore. What a label says beyond its description stands as JSON in `notes`, what a score says beyond its value in
`jsonDetails`. Read as well: a single file of explanations, and the JSON list that its explanation API returns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from dragoman.store.hashing import row_id
from dragoman.store.records import Label, Score

from .cards import Card, Count, Shown, Source
from .parsing import Fields, document, lines, unreadable
from .saedashboard import effects, files, frequencies, pairs
from .words import label_facts, label_from, score_facts, score_from
from .writing import batches, line, packed_lines

NAME = "neuronpedia"
BATCH = 1024
"""Features in a batch, as in Neuronpedia's own exports."""
AUTHOR = "dragoman"
"""Stands for the author; Neuronpedia's importer puts its own user there."""
LOST = {
    "score.unscored": "the reasons why a label is unscored",
    "shown.split": "the split of an example",
}
"""What the format has no place for."""
PARTS = ("features", "activations", "explanations", "scores")


def write(cards: Iterable[Card], source: Source, folder: Path, now: str) -> Count:
    """Write the tree; now: an ISO time, for the fields that want one."""
    count = Count()
    place = folder / source.model / source.name
    place.mkdir(parents=True)
    for name, row in about(source, now).items():
        (place / name).write_bytes(line(row))
        count.files += 1
    for number, batch in enumerate(batches(cards, BATCH)):
        with ExitStack() as stack:
            out = {part: stack.enter_context(packed_lines(place / part / f"batch-{number}.jsonl.gz")) for part in PARTS}
            count.files += len(out)
            for card in batch:
                out["features"].write(line(feature(card, source, now)))
                for shown in card.shown:
                    out["activations"].write(line(activation(card, shown, source, now)))
                for label in card.labels:
                    out["explanations"].write(line(explanation(label, card.index, source, now)))
                scored = [score for score in card.scores if score.value is not None]
                for score in scored:
                    out["scores"].write(line(explanation_score(score, now)))
                count.features += 1
                count.examples += len(card.shown)
                count.labels += len(card.labels)
                count.scores += len(scored)
                count.less("scores without a figure left out", len(card.scores) - len(scored))
    return count


def about(source: Source, now: str) -> dict[str, dict[str, Any]]:
    """The four files about the whole."""
    made = {"creatorId": AUTHOR, "createdAt": now}
    return {
        "release.jsonl": {"name": source.set, "description": source.set, "creatorName": AUTHOR, "urls": [], **made},
        "model.jsonl": {"id": source.model, "displayName": source.model, "displayNameShort": source.model, "instruct": False}
        | {"updatedAt": now, **made},
        "sourceset.jsonl": {
            "modelId": source.model,
            "name": source.set,
            "releaseName": source.set,
            "creatorName": AUTHOR,
            **made,
        },
        "source.jsonl": {
            "id": source.name,
            "modelId": source.model,
            "setName": source.set,
            "dataset": source.corpus,
            "num_prompts": source.contexts,
            "num_tokens_in_prompt": source.window,
            **made,
        },
    }


def feature(card: Card, source: Source, now: str) -> dict[str, Any]:
    """A row of features/."""
    return {
        **_address(card.index, source),
        "sourceSetName": source.set,
        "creatorId": AUTHOR,
        "createdAt": now,
        "maxActApprox": card.max,
        "frac_nonzero": card.density,
        "hasVector": False,
        "vector": [],
        "hookName": source.hook,
        "topkCosSimIndices": [index for index, _ in card.neighbours],
        "topkCosSimValues": [cosine for _, cosine in card.neighbours],
        "neuron_alignment_indices": [],
        "neuron_alignment_values": [],
        "neuron_alignment_l1": [],
        "correlated_neurons_indices": [],
        "correlated_neurons_pearson": [],
        "correlated_neurons_l1": [],
        "correlated_features_indices": [],
        "correlated_features_pearson": [],
        "correlated_features_l1": [],
        **effects(card),
        **frequencies(card),
        "decoder_weights_dist": [],
    }


def activation(card: Card, shown: Shown, source: Source, now: str) -> dict[str, Any]:
    """A row of activations/."""
    return {
        "id": row_id("activation", source.model, source.name, card.index, shown.context, shown.top)[:25],
        **_address(card.index, source),
        "tokens": list(shown.tokens),
        "values": list(shown.values),
        "maxValue": shown.values[shown.at],
        "maxValueTokenIndex": shown.at,
        "minValue": min(shown.values),
        "dataIndex": None if shown.context is None else str(shown.context),
        "dataSource": source.corpus,
        "binMin": -1 if shown.top else shown.low,
        "binMax": -1 if shown.top else shown.high,
        "binContains": -1 if shown.top else shown.share,
        "qualifyingTokenIndex": shown.at,
        "creatorId": AUTHOR,
        "createdAt": now,
    }


def explanation(label: Label, index: int, source: Source, now: str) -> dict[str, Any]:
    """A row of explanations/."""
    return {
        "id": label.id,
        **_address(index, source),
        "description": label.description,
        "typeName": label.agent,
        "explanationModelName": label.model,
        "authorId": AUTHOR,
        "notes": label_facts(label),
        "embedding": [],
        "createdAt": now,
    }


def explanation_score(score: Score, now: str) -> dict[str, Any]:
    """A row of scores/; its own id is the hash of the rest."""
    row = {
        "value": score.value,
        "explanationId": score.label,
        "explanationScoreTypeName": score.scorer,
        "explanationScoreModelName": score.judge,
        "jsonDetails": score_facts(score),
    }
    return {"id": row_id("score", row)[:25], **row, "createdAt": now}


def read(path: Path, examples: bool = True) -> Iterator[Card]:
    """The features of a source folder, batch by batch; of a file or folder of explanations, those that they are about.

    examples: read activations/ too, by far the largest part.

    Raises `UserError` for what Neuronpedia does not write.
    """
    alone = files(path)
    if alone:
        for file in alone:
            yield from _explained(file)
        return
    for folder in sources(path):
        names = {file.name: None for part in PARTS[:3] for file in files(folder / part)}
        for name in names:
            yield from _batch(folder, name, examples)


def sources(path: Path) -> list[Path]:
    """The source folders under `path`: itself, or those one or two levels below."""
    found = [p for depth in ("", "*", "*/*") for p in sorted(path.glob(depth) if depth else [path]) if _is_source(p)]
    if not found:
        raise unreadable(str(path), "there is no features/, activations/ or explanations/ with files batch-N.jsonl.gz in it")
    return found


def _is_source(path: Path) -> bool:
    return path.is_dir() and any(files(path / part) for part in PARTS[:3])


def _batch(folder: Path, name: str, examples: bool) -> Iterator[Card]:
    cards: dict[str, Card] = {}
    if (folder / "features" / name).exists():
        for fields in lines(folder / "features" / name):
            card = _featured(fields)
            cards[_key(card)] = card
    if examples and (folder / "activations" / name).exists():
        shown: dict[str, list[Shown]] = {}
        for fields in lines(folder / "activations" / name):
            card = _card(fields)
            cards.setdefault(_key(card), card)
            shown.setdefault(_key(card), []).append(_shown(fields))
        cards = {key: replace(card, shown=tuple(shown.get(key, ()))) for key, card in cards.items()}
    if (folder / "explanations" / name).exists():
        for fields in lines(folder / "explanations" / name):
            _explain(cards, fields)
    if (folder / "scores" / name).exists():
        _score(cards, folder / "scores" / name)
    yield from cards.values()


def _explained(path: Path) -> Iterator[Card]:
    """Explanations alone: JSON lines, or one JSON list."""
    cards: dict[str, Card] = {}
    if path.name.split(".", 1)[-1].startswith("jsonl"):
        rows: Iterable[Fields] = lines(path)
    else:
        found = document(path)
        rows = (Fields(row, f"{path}, [{n}]") for n, row in enumerate(found if isinstance(found, list) else [found]))
    for fields in rows:
        _explain(cards, fields)
    yield from cards.values()


def _explain(cards: dict[str, Card], fields: Fields) -> None:
    """Add a label, and the scores that stand inside it, as the API gives them."""
    card = _card(fields)
    card = cards.get(_key(card), card)
    label = label_from(
        fields,
        card.index,
        fields.text("description", ""),
        fields.text("typeName", ""),
        fields.text("explanationModelName", None),
        fields.text("id", ""),
        fields.text("notes", None),
    )
    scores = tuple(_scored(entry, card.index, label.id) for entry in fields.items("scores", []))
    cards[_key(card)] = replace(card, labels=(*card.labels, label), scores=(*card.scores, *scores))


def _score(cards: dict[str, Card], path: Path) -> None:
    """Add the rows of scores/ to the cards whose labels they are about."""
    owner = {label.id: key for key, card in cards.items() for label in card.labels}
    found: dict[str, list[Score]] = {}
    for fields in lines(path):
        label = fields.text("explanationId")
        if label not in owner:
            fields.fail("explanationId names no explanation of this batch")
        found.setdefault(owner[label], []).append(_scored(fields, cards[owner[label]].index, label))
    for key, scores in found.items():
        cards[key] = replace(cards[key], scores=(*cards[key].scores, *scores))


def _scored(fields: Fields, index: int, label: str) -> Score:
    judge = fields.text("explanationScoreModelName", "")
    scorer = fields.text("explanationScoreTypeName")
    return score_from(fields, index, fields.number("value"), scorer, judge, label, fields.text("jsonDetails", None))


def _featured(fields: Fields) -> Card:
    indices, cosines = fields.numbers("topkCosSimIndices", []), fields.numbers("topkCosSimValues", [])
    if len(indices) != len(cosines):
        fields.fail(f"topkCosSimIndices has {len(indices)} entries and topkCosSimValues has {len(cosines)}")
    return replace(
        _card(fields),
        max=fields.number("maxActApprox", None),
        density=fields.number("frac_nonzero", None),
        histogram=tuple(fields.numbers("freq_hist_data_bar_heights", [])),
        promoted=pairs(fields, "pos_str", "pos_values"),
        suppressed=pairs(fields, "neg_str", "neg_values"),
        neighbours=tuple((int(i), cosine) for i, cosine in zip(indices, cosines, strict=True)),
    )


def _shown(fields: Fields) -> Shown:
    tokens, values = fields.texts("tokens"), fields.numbers("values")
    if len(tokens) != len(values) or not tokens:
        fields.fail(f"it has {len(tokens)} tokens and {len(values)} values")
    at = fields.whole("maxValueTokenIndex", values.index(max(values)))
    low, share = fields.number("binMin", None), fields.number("binContains", None)
    top = low is None or (low == -1 and share == -1)
    context = fields.text("dataIndex", None)
    return Shown(
        tuple(tokens),
        tuple(values),
        min(at, len(tokens) - 1),
        None if top else low,
        None if top else fields.number("binMax"),
        None if top else share,
        int(context) if context and context.isascii() and context.isdigit() and len(context) < 19 else None,
    )


def _card(fields: Fields) -> Card:
    """An empty card of the feature that a row is about."""
    return Card(f"{fields.text('modelId', '')}/{fields.text('layer', '')}", fields.whole("index"))


def _key(card: Card) -> str:
    return f"{card.dictionary}:{card.index}"


def _address(index: int, source: Source) -> dict[str, str]:
    return {"modelId": source.model, "layer": source.name, "index": str(index)}
