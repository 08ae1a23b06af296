"""SAEDashboard's `batch-N.json`: figures, logit effects and examples of some features of one layer; no labels, no scores.

An interval of examples has bin_min, bin_max and bin_contains (a share); the strongest have -1 for the first and the last, and the
maximum for bin_max. qualifying_token_index is -1 where a feature is dead. The fields are those of SAEDashboard's
`NeuronpediaDashboardBatch`, checked on a real file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dragoman.store.records import TokenValue

from .cards import Card, Count, Shown, Source
from .parsing import Fields, document, unreadable
from .writing import batches, line

NAME = "saedashboard"
BATCH = 128
"""Features in a file."""
LOST = {
    "labels": "labels",
    "scores": "scores",
    "max": "the maximum (only the examples show it)",
    "neighbours": "decoder neighbours",
    "shown.context": "numbers of windows",
    "shown.split": "the split of an example",
}
"""What the format has no place for."""


def write(cards: Iterable[Card], source: Source, folder: Path) -> Count:
    """Write `batch-0.json`, `batch-1.json` …"""
    count = Count()
    for number, batch in enumerate(batches(cards, BATCH)):
        features = [feature(card, source) for card in batch]
        found = {"model_id": source.model, "layer": source.layer, "sae_set": source.set, "features": features}
        (folder / f"batch-{number}.json").write_bytes(line(found))
        count.files += 1
        count.features += len(batch)
        count.examples += sum(len(card.shown) for card in batch)
    return count


def feature(card: Card, source: Source) -> dict[str, Any]:
    """A card as SAEDashboard writes it; lists that a store knows nothing for stay empty."""
    return {
        "feature_index": card.index,
        "neuron_alignment_indices": [],
        "neuron_alignment_values": [],
        "neuron_alignment_l1": [],
        "correlated_neurons_indices": [],
        "correlated_neurons_l1": [],
        "correlated_neurons_pearson": [],
        "correlated_features_indices": [],
        "correlated_features_l1": [],
        "correlated_features_pearson": [],
        **effects(card),
        "frac_nonzero": card.density or 0.0,
        **frequencies(card),
        "n_prompts_total": source.contexts,
        "n_tokens_in_prompt": source.window,
        "dataset": source.corpus,
        "decoder_weights_dist": [],
        "activations": [
            {
                "bin_min": -1 if shown.top else shown.low,
                "bin_max": card.max if shown.top else shown.high,
                "bin_contains": -1 if shown.top else shown.share,
                "tokens": list(shown.tokens),
                "values": list(shown.values),
                "qualifying_token_index": shown.at,
            }
            for shown in card.shown
        ],
    }


def effects(card: Card) -> dict[str, Any]:
    """The logit effects, as Neuronpedia names them too."""
    return {
        "neg_str": [token for token, _ in card.suppressed],
        "neg_values": [value for _, value in card.suppressed],
        "pos_str": [token for token, _ in card.promoted],
        "pos_values": [value for _, value in card.promoted],
    }


def frequencies(card: Card) -> dict[str, Any]:
    """The histogram of the non-zero activations, bars at the middle of their bins; that of the logits is not in a store."""
    step = (card.max or 0.0) / max(1, len(card.histogram))
    return {
        "freq_hist_data_bar_values": [step * (place + 0.5) for place in range(len(card.histogram))],
        "freq_hist_data_bar_heights": list(card.histogram),
        "logits_hist_data_bar_heights": [],
        "logits_hist_data_bar_values": [],
    }


def read(path: Path) -> Iterator[Card]:
    """The features of one file, or of all `batch-*.json` of a folder. Raises `UserError` for what SAEDashboard does not write."""
    for file in batches_of(path):
        batch = Fields(document(file), str(file))
        name = f"{batch.text('model_id')}/{batch.whole('layer')}-{batch.text('sae_set')}"
        for fields in batch.items("features"):
            shown = tuple(_shown(entry) for entry in fields.items("activations"))
            yield Card(
                dictionary=name,
                index=fields.whole("feature_index"),
                density=fields.number("frac_nonzero", None),
                histogram=tuple(fields.numbers("freq_hist_data_bar_heights", [])),
                promoted=pairs(fields, "pos_str", "pos_values"),
                suppressed=pairs(fields, "neg_str", "neg_values"),
                shown=shown,
            )


def pairs(fields: Fields, texts: str, values: str) -> tuple[TokenValue, ...]:
    """Tokens and numbers that stand in two lists."""
    tokens, numbers = fields.texts(texts, []), fields.numbers(values, [])
    if len(tokens) != len(numbers):
        fields.fail(f"{texts} has {len(tokens)} entries and {values} has {len(numbers)}")
    return tuple(TokenValue(token, value) for token, value in zip(tokens, numbers, strict=True))


def _shown(fields: Fields) -> Shown:
    tokens, values = fields.texts("tokens"), fields.numbers("values")
    if len(tokens) != len(values) or not tokens:
        fields.fail(f"it has {len(tokens)} tokens and {len(values)} values")
    low, share = fields.number("bin_min"), fields.number("bin_contains")
    top = low == -1 and share == -1
    at = int(fields.number("qualifying_token_index", values.index(max(values))))
    if not -1 <= at < len(tokens):
        fields.fail(f"qualifying_token_index is {at}, and there are {len(tokens)} tokens")
    high = fields.number("bin_max")
    return Shown(tuple(tokens), tuple(values), at, None if top else low, None if top else high, None if top else share)


def batches_of(path: Path) -> list[Path]:
    """The same; `UserError` where there are none."""
    found = files(path)
    if not found:
        raise unreadable(str(path), "there is no batch-N.json in it")
    return found


def files(path: Path) -> list[Path]:
    """The files that `path` stands for, in the order of their numbers."""
    if path.is_file():
        return [path]
    found = [file for file in path.glob("batch-*.json*") if file.name.split("-", 1)[1].split(".")[0].isdigit()]
    return sorted(found, key=lambda file: (int(file.name.split("-", 1)[1].split(".")[0]), file.name))
