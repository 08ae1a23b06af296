"""How hard the levels of the suite `planted` are for explainers that need no language model, and what its truths look like.

`DRAGOMAN_BENCH=full` writes docs/benchmarks/planted.md; otherwise small counts show that it runs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from dragoman.agents.induction import Induction
from dragoman.evals.benchmark.baselines import Lookup
from dragoman.evals.benchmark.planted import PlantedSuite, PlantedTrial
from dragoman.evals.benchmark.planted.levels import LEVELS
from dragoman.evals.benchmark.records import FreshText, Truth
from dragoman.evals.benchmark.recovery import Fresh, recovery
from dragoman.evals.explainer import Explainer
from dragoman.evals.validation import Validator
from dragoman.store.features import Store
from dragoman.tools.patterns import parse, usage_of

FULL = os.environ.get("DRAGOMAN_BENCH") == "full"
SEEDS, FEATURES, DOCUMENTS, TEXTS = (range(3), 25, 1500, 24) if FULL else (range(1), 6, 600, 6)
EXAMPLES = 14
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks" / "planted.md"
Rows = list[tuple[Truth, Mapping[str, float]]]


@pytest.mark.benchmark
def test_levels_grow_harder(tmp_path: Path) -> None:
    rows: Rows = []
    shown: list[str] = []
    for seed in SEEDS:
        trial = PlantedSuite(documents=DOCUMENTS).prepare(tmp_path / str(seed), seed, FEATURES)
        rows += measured(trial)
        shown += examples(trial) if seed == 0 else []
    lookup = [mean([row for row in rows if row[0].level == level], "lookup") for level in (1, 5)]
    assert lookup[0] > lookup[1]
    if FULL:
        means = [mean([row for row in rows if row[0].level == level], "induction") for level in LEVELS]
        assert means == sorted(means, reverse=True)
        write(rows, shown)


def measured(trial: PlantedTrial) -> Rows:
    """Recovery of every live feature by every explainer."""
    rows: Rows = []
    with Store.open(trial.store) as store:
        view, usage, words = store.train_view(), usage_of(store.tokens("train")), store.tokens("train").vocabulary
        validator = Validator(store, usage)
        explainers: dict[str, Explainer] = {"lookup": Lookup(), "induction": Induction(usage)}
        for feature in trial.features:
            fresh = Fresh(trial.fresh(feature, 1, TEXTS), words, usage)
            found: dict[str, float] = {}
            for name, explainer in explainers.items():
                label = explainer.explain(view, feature, validator.of(feature), 0)
                figures = recovery(fresh, parse(label.pattern or "").predict(fresh.text))
                found |= {name: figures["recovery.mcc"], f"{name} context": figures.get("recovery.context", np.nan)}
            rows.append((trial.truths[feature], found))
    return rows


def mean(rows: Rows, name: str) -> float:
    """Over features, those without the figure left out."""
    return float(np.nanmean([figures[name] for _, figures in rows]))


def examples(trial: PlantedTrial) -> list[str]:
    """Truths with a true and a near text of each: one a kind."""
    found: list[str] = []
    kinds: set[str] = set()
    for feature in trial.features:
        truth = trial.truths[feature]
        if truth.kind in kinds or len(found) == EXAMPLES:
            continue
        kinds.add(truth.kind)
        texts = trial.fresh(feature, 0, 6)
        true = min((text for text in texts if text.kind == "true"), key=lambda text: len(text.ids))
        near = min((text for text in texts if text.kind == "near"), key=lambda text: abs(len(text.ids) - 16))
        pattern = f"`{truth.pattern}`" if truth.pattern else "none"
        found.append(
            f"**Level {truth.level}, {truth.kind}.** {truth.text}\n\n- pattern: {pattern}\n- fires: {strip(true)}\n"
            f"- silent: {strip(near)}\n"
        )
    return found


def strip(text: FreshText) -> str:
    """The end of a text as Markdown code, firing tokens in double brackets, which nothing else in the corpus has."""
    pieces = [text.text[a:b] for a, b in text.offsets]
    marked = "".join(f"⟦{piece}⟧" if fires else piece for piece, fires in zip(pieces, text.fires, strict=True))
    shown = marked.replace("\n", "↵").replace("`", "ˋ")
    return f"`{'…' if len(shown) > 150 else ''}{shown[-150:]}`"


def write(rows: Rows, shown: list[str]) -> None:
    """The measured part of the page; what stands before the mark is written by hand."""
    table = [
        "| level | truths | features | lookup | lookup, context | induction | induction, context |",
        "|---|---|---|---|---|---|---|",
    ]
    for level in LEVELS:
        for hard, name in ((False, "with a pattern"), (True, "without one")):
            mine = [row for row in rows if row[0].level == level and row[0].hard == hard]
            if mine:
                figures = [mean(mine, key) for key in ("lookup", "lookup context", "induction", "induction context")]
                said = " | ".join("–" if np.isnan(figure) else f"{figure:.2f}" for figure in figures)
                table.append(f"| {level} | {name} | {len(mine)} | {said} |")
        mine = [row for row in rows if row[0].level == level]
        table.append(
            f"| {level} | **all** | {len(mine)} | **{mean(mine, 'lookup'):.2f}** | | **{mean(mine, 'induction'):.2f}** | |"
        )
    before = PAGE.read_text("utf-8").split(MARK)[0]
    kinds = sorted({(truth.level or 0, truth.kind, truth.hard) for truth, _ in rows})
    by_kind = ["| kind | truth | features | lookup | induction |", "|---|---|---|---|---|"]
    for kind in sorted({kind for _, kind, _ in kinds}):
        mine = [row for row in rows if row[0].kind == kind]
        written = "no pattern" if mine[0][0].hard else "pattern"
        by_kind.append(f"| {kind} | {written} | {len(mine)} | {mean(mine, 'lookup'):.2f} | {mean(mine, 'induction'):.2f} |")
    counts = f"{len(rows)} features of {len(SEEDS)} seeds, stores of {DOCUMENTS:,} documents, {TEXTS} fresh texts of each kind."
    parts = [before + MARK, counts, "\n".join(table), "By kind:", "\n".join(by_kind), "## Examples (seed 0)", *shown]
    PAGE.write_text("\n\n".join(part.strip("\n") for part in parts) + "\n", "utf-8")


MARK = "<!-- What follows is written by DRAGOMAN_BENCH=full pytest tests/benchmarks/test_planted.py -->"
