"""Neuronpedia's upload batches (`POST /api/feature/upload-batch`), within its limits.

A batch has 1 to 128 features; a feature has at least one activation, at most 20 tokens on each side of the logits, and
explanations of at most 512 characters; an activation has at most 1024 tokens. What is longer is cut, and features that are never
active on train are left out; both are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dragoman.store.records import TokenValue

from .cards import Card, Count, Shown, Source
from .parsing import Fields, document
from .saedashboard import batches_of
from .words import label_from
from .writing import batches, line

NAME = "neuronpedia-upload"
BATCH, LOGITS, TEXT, TOKENS = 128, 20, 512, 1024
"""Features a batch; tokens a side of the logits; characters an explanation; tokens an activation."""
LOST = {
    "scores": "scores",
    "max": "the maximum",
    "histogram": "the histogram",
    "neighbours": "decoder neighbours",
    "shown.context": "numbers of windows",
    "shown.split": "the split of an example",
    "label.id": "ids of labels",
    "label.run": "runs of labels",
    "label.name": "names of labels",
    "label.facets": "facets",
    "label.pattern": "patterns",
    "label.output_claim": "output claims",
    "label.evidence": "evidence",
    "label.experiments": "experiments",
    "label.prompt": "prompts",
    "label.confidence": "confidence",
    "label.notes": "notes",
}
"""What the format has no place for."""


def write(cards: Iterable[Card], source: Source, folder: Path) -> Count:
    """Write `batch-0.json` …, each the body of one request."""
    count = Count()
    for number, batch in enumerate(batches(_active(cards, count), BATCH)):
        body = {"modelId": source.model, "source": source.name, "features": [_feature(card, count) for card in batch]}
        (folder / f"batch-{number}.json").write_bytes(line(body))
        count.files += 1
    return count


def _active(cards: Iterable[Card], count: Count) -> Iterator[Card]:
    """Those with an example; the others would have the whole batch refused."""
    for card in cards:
        if card.shown:
            yield card
        else:
            count.less("features without an activation left out")


def _feature(card: Card, count: Count) -> dict[str, Any]:
    said = []
    for label in card.labels:
        if not label.description:
            count.less("empty labels left out")
            continue
        count.less(f"labels cut to {TEXT} characters", (text := cut(label.description)) != label.description)
        said.append({"text": text, "methodName": label.agent, "modelName": label.model or ""})
    count.less(f"lists of logits cut to {LOGITS} tokens", (len(card.promoted) > LOGITS) + (len(card.suppressed) > LOGITS))
    count.features += 1
    count.examples += len(card.shown)
    count.labels += len(said)
    return {
        "index": card.index,
        "density": card.density or 0.0,
        "topLogits": _logits(card.promoted),
        "bottomLogits": _logits(card.suppressed),
        "activations": [_activation(shown, count) for shown in card.shown],
        "explanations": said,
    }


def cut(text: str) -> str:
    """The longest beginning of a text that the server takes. It counts in UTF-16 units, in which some characters are two."""
    units, room = 0, 0
    for place, character in enumerate(text):
        units += 1 + (character > "\uffff")
        if units < TEXT:
            room = place + 1
        if units > TEXT:
            return text[:room] + "…"
    return text


def _logits(effects: tuple[TokenValue, ...]) -> list[dict[str, Any]]:
    return [{"token": token, "value": value} for token, value in effects[:LOGITS]]


def _activation(shown: Shown, count: Count) -> dict[str, Any]:
    first = max(0, min(shown.at - TOKENS // 2, len(shown.tokens) - TOKENS))
    count.less(f"examples cut to {TOKENS} tokens", len(shown.tokens) > TOKENS)
    here = slice(first, first + TOKENS)
    quantile = {} if shown.top else {"quantileMin": shown.low, "quantileMax": shown.high, "quantileFraction": shown.share}
    return {"tokens": list(shown.tokens[here]), "values": list(shown.values[here]), **quantile}


def read(path: Path) -> Iterator[Card]:
    """The features of one batch, or of all `batch-*.json` of a folder. Raises `UserError` for what is no upload batch."""
    for file in batches_of(path):
        batch = Fields(document(file), str(file))
        name = f"{batch.text('modelId')}/{batch.text('source')}"
        for fields in batch.items("features"):
            yield _read(name, fields)


def _read(name: str, fields: Fields) -> Card:
    index = fields.whole("index")
    return Card(
        dictionary=name,
        index=index,
        density=fields.number("density", None),
        promoted=_tokens(fields, "topLogits"),
        suppressed=_tokens(fields, "bottomLogits"),
        shown=tuple(_shown(entry) for entry in fields.items("activations", [])),
        labels=tuple(
            label_from(
                said, index, said.text("text"), said.text("methodName", ""), said.text("modelName", None) or None, "", None
            )
            for said in fields.items("explanations", [])
        ),
    )


def _tokens(fields: Fields, name: str) -> tuple[TokenValue, ...]:
    return tuple(TokenValue(entry.text("token"), entry.number("value")) for entry in fields.items(name, []))


def _shown(fields: Fields) -> Shown:
    tokens, values = fields.texts("tokens"), fields.numbers("values")
    if len(tokens) != len(values) or not tokens:
        fields.fail(f"it has {len(tokens)} tokens and {len(values)} values")
    low = fields.number("quantileMin", None)
    high, share = fields.number("quantileMax", None), fields.number("quantileFraction", None)
    return Shown(tuple(tokens), tuple(values), values.index(max(values)), low, high, share)
