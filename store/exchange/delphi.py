"""delphi's results: a text file for each explanation, and one for each explanation and scorer with every judged text.

    explanations/HOOKPOINT_latentN.txt      a JSON string
    scores/SCORER/HOOKPOINT_latentN.txt     a JSON list of judged texts: str_tokens, activations, distance, activating,
                                            prediction, probability, correct
    latents/HOOKPOINT/FIRST_LAST.safetensors    see latents.py
    run_config.json                         read for the explainer's name

A score file is a list of judged texts with their truth, so that it holds texts of the test split. `distance` is the decile of the
text's peak among the non-zero train activations, 1 the strongest, and -1 where the feature does not fire. What is read of a score
file are its figures, computed as delphi does: balanced accuracy at the prediction, and the area under the curve where there are
probabilities.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.store.features import Store
from dragoman.store.records import JudgeAnswer, Label, Score

from .cards import Card, Count, Source
from .parsing import Fields, document, shown, unreadable
from .words import label_from

NAME = "delphi"
SCORERS = {"detection": "detection", "fuzzing": "fuzz"}
"""Scores of ours whose answers delphi has a folder for, and the folder's name."""
LOST = {
    "max": "the maximum",
    "density": "densities",
    "histogram": "histograms",
    "promoted": "logit effects",
    "suppressed": "logit effects",
    "neighbours": "decoder neighbours",
    "shown": "examples (latents/ has all train activations instead)",
    "scores": "intervals and controls of scores, and scores without answers (scores/ has the answers)",
    "label.id": "ids of labels",
    "label.run": "runs of labels",
    "label.name": "names of labels",
    "label.facets": "facets",
    "label.pattern": "patterns",
    "label.output_claim": "output claims",
    "label.agent": "agents",
    "label.model": "models",
    "label.evidence": "evidence",
    "label.experiments": "experiments",
    "label.prompt": "prompts",
    "label.confidence": "confidence",
    "label.notes": "notes",
}
"""What the format has no place for."""
_FILE = re.compile(r"(?P<hook>.+)_latent(?P<index>\d{1,18})\.txt")


@dataclass(frozen=True)
class Judged:
    """One text that a judge was asked about."""

    tokens: tuple[str, ...]
    """Its tokens."""
    values: tuple[float, ...]
    """The feature's activation on each."""
    activating: bool
    """The truth."""
    prediction: bool | None
    """What the judge said; None where its reply could not be read."""
    probability: float | None
    """Of yes, where it is known."""
    distance: int
    """Decile of the peak, 1 the strongest; -1 where the feature does not fire."""

    @property
    def correct(self) -> bool | None:
        """Whether the judge was right."""
        return None if self.prediction is None else self.prediction == self.activating


def write(cards: Iterable[Card], source: Source, folder: Path, store: Store | None = None, answers: bool = True) -> Count:
    """Write explanations/, and with a store the judges' answers about their labels into scores/."""
    count = Count()
    (folder / "explanations").mkdir(parents=True)
    for card in cards:
        if not card.labels:
            continue
        label, name = card.labels[-1], f"{hook_name(source)}_latent{card.index}.txt"
        (folder / "explanations" / name).write_text(json.dumps(label.description, ensure_ascii=True), "ascii")
        count.less("labels beyond a feature's latest left out", len(card.labels) - 1)
        count.files += 1
        count.features += 1
        count.labels += 1
        for scorer, judged in _answered(store, label, card).items() if store and answers else ():
            place = folder / "scores" / scorer
            place.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(json.dumps([_item(one) for one in judged], ensure_ascii=True, allow_nan=False), "ascii")
            count.files += 1
            count.scores += 1
            count.examples += len(judged)
    return count


def hook_name(source: Source) -> str:
    """The hook point as it stands in file names."""
    return source.hook.replace("/", "--")


def _answered(store: Store, label: Label, card: Card) -> dict[str, list[Judged]]:
    """What the latest judge of a label answered, by delphi's name of the score."""
    found = {}
    for name, scorer in SCORERS.items():
        for run in dict.fromkeys(score.run for score in reversed(card.scores) if score.label == label.id):
            answers = store.ledger.answers(run, "label", name, feature=label.feature)
            clear = [answer for answer in answers if answer.truth is not None]
            if clear:
                found[scorer] = list(_judged(store, clear))
                break
    return found


def _judged(store: Store, answers: Sequence[JudgeAnswer]) -> Iterator[Judged]:
    """The texts of some answers about one feature, with its activations."""
    feature = answers[0].feature
    quantiles = np.asarray(store.feature(feature).stats.quantiles)
    numbers = [answer.context for answer in answers]
    values = store.values(feature, numbers)
    for answer, context in zip(answers, store.contexts(numbers), strict=True):
        here = values[answer.context]
        decile = 10 - int(np.clip(np.searchsorted(quantiles[1:-1], here.max(initial=0.0), side="right"), 0, 9))
        yield Judged(
            tokens=context.strings,
            values=tuple(here.tolist()),
            activating=bool(answer.truth),
            prediction=None if answer.probability is None else answer.probability > 0.5,
            probability=answer.probability,
            distance=decile if answer.truth else -1,
        )


def _item(judged: Judged) -> dict[str, Any]:
    return {
        "str_tokens": list(judged.tokens),
        "activations": list(judged.values),
        "distance": judged.distance,
        "activating": judged.activating,
        "prediction": judged.prediction,
        "probability": judged.probability,
        "correct": judged.correct,
    }


def read(path: Path) -> Iterator[Card]:
    """The explanations of a result folder, each with its scores. Raises `UserError` for what delphi does not write."""
    if path.is_file():
        yield _explained(path, None)
        return
    folder = path / "explanations" if (path / "explanations").is_dir() else path
    model = _model(path)
    explained = latent_files(folder)
    if not explained and not latent_files(path / "scores", "*/"):
        raise unreadable(str(path), "there is no HOOKPOINT_latentN.txt in it")
    scored: dict[tuple[str, int], list[Path]] = {}
    for file in latent_files(path / "scores", "*/"):
        scored.setdefault(address(file), []).append(file)
    for file in explained:
        card = _explained(file, model)
        files = scored.pop((card.dictionary, card.index), [])
        label = card.labels[0].id
        yield replace(card, scores=tuple(score for one in files for score in figures(one, card.index, label)))
    for (hook, index), files in scored.items():
        yield Card(hook, index, scores=tuple(score for file in files for score in figures(file, index, "")))


def latent_files(folder: Path, below: str = "") -> list[Path]:
    """The files that are named after a latent, by hook point and number."""
    return sorted((f for f in folder.glob(f"{below}*_latent*.txt") if _FILE.fullmatch(f.name)), key=lambda f: (address(f), f))


def address(file: Path) -> tuple[str, int]:
    """Hook point and number of the latent that a file is about. Raises `UserError` when its name says nothing."""
    match = _FILE.fullmatch(file.name)
    if match is None:
        raise unreadable(str(file), "its name is not HOOKPOINT_latentN.txt")
    return match["hook"], int(match["index"])


def _explained(file: Path, model: str | None) -> Card:
    hook, index = address(file)
    text = document(file)
    if not isinstance(text, str):
        raise unreadable(str(file), f"{shown(text)} stands where a JSON string should")
    return Card(hook, index, labels=(label_from(Fields({}, str(file)), index, text, "", model, "", None),))


def judged(file: Path) -> list[Judged]:
    """The texts of a score file."""
    found = document(file)
    if not isinstance(found, list):
        raise unreadable(str(file), "it is no list of judged texts")
    return [_read(Fields(entry, f"{file}, [{number}]")) for number, entry in enumerate(found)]


def _read(fields: Fields) -> Judged:
    prediction = fields.value.get("prediction")
    activating = fields.value.get("activating")
    if activating not in (True, False, 0, 1) or prediction not in (None, True, False, 0, 1):
        fields.fail(f"activating is {shown(activating)} and prediction {shown(prediction)}, which are no yes or no")
    tokens, values = fields.texts("str_tokens", []), fields.numbers("activations", [])
    distance = int(fields.number("distance", -1))
    probability = fields.number("probability", None)
    return Judged(tuple(tokens), tuple(values), bool(activating), None if prediction is None else bool(prediction), probability,
                  distance)  # fmt: skip


def figures(file: Path, index: int, label: str) -> list[Score]:
    """The figures of a score file."""
    read = [one for one in judged(file) if one.prediction is not None]
    truth = np.array([one.activating for one in read], bool)
    said = np.array([one.prediction for one in read], bool)
    probability = [one.probability for one in read]
    scorer = file.parent.name

    def made(figure: str, value: float | None, unscored: str | None = None) -> Score:
        return Score(
            label=label,
            feature=index,
            run="",
            scorer=f"{scorer}.{figure}",
            judge="",
            contestant="label",
            split="elsewhere",
            value=value,
            n=len(read),
            unscored=unscored,
        )

    if not truth.any() or truth.all():
        return [made("balanced_accuracy", None, "delphi's file has texts of one class alone")]
    found = [made("balanced_accuracy", float((said[truth].mean() + (~said[~truth]).mean()) / 2))]
    if all(p is not None for p in probability):
        found.append(made("auroc", _area(truth, np.array(probability, np.float64))))
    return found


def _area(truth: Any, probability: Any) -> float:
    """The share of pairs in which the positive has the higher probability, ties counting half."""
    order = np.sort(probability[~truth])
    below = np.searchsorted(order, probability[truth], side="left")
    upto = np.searchsorted(order, probability[truth], side="right")
    return float((below + upto).sum() / 2 / truth.sum() / (~truth).sum())


def _model(path: Path) -> str | None:
    """The explainer's name, from delphi's own settings."""
    for folder in (path, path.parent):
        if (folder / "run_config.json").is_file():
            settings = Fields(document(folder / "run_config.json"), str(folder / "run_config.json"))
            model: str | None = settings.text("explainer_model", None)
            return model
    return None
