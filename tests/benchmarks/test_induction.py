"""The LLM-free explainer over the organism's live features: quality, readability, speed, and what readability costs.

`DRAGOMAN_BENCH=full` measures all live features on 6,000 documents and writes docs/benchmarks/induction.md; otherwise a small
count is measured and only what does not depend on the load of the machine is asserted.
"""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest

from dragoman.agents.explainers import make_induction
from dragoman.agents.oneshot import label
from dragoman.evals.organism.load import corpus_documents, organism_paths
from dragoman.evals.scoring import score
from dragoman.evals.statistics import median_interval, paired, pearson
from dragoman.evals.summary import Summary, summarise, tabulate
from dragoman.store.features import Store
from dragoman.store.records import Label
from dragoman.tools.harvest import harvest
from dragoman.tools.induction import Inducer
from dragoman.tools.induction.grow import Evidence
from dragoman.tools.induction.tree import LEAVES, grow_tree
from dragoman.tools.patterns import PatternText, parse
from dragoman.tools.patterns.language import MAX_LITERALS, MAX_NAMES, Affix, Like, OneOf, Tokens

FULL = os.environ.get("DRAGOMAN_BENCH") == "full"
DOCUMENTS = 6000 if FULL else 300
FEATURES = None if FULL else 8
TREES = 200 if FULL else 2
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks" / "induction.md"


@pytest.mark.benchmark
@pytest.mark.slow
def test_induction_on_the_organism(tmp_path: Path) -> None:

    path = tmp_path / "store"
    text = tmp_path / "corpus.jsonl"
    text.write_text("".join(json.dumps({"text": document.text}) + "\n" for document in corpus_documents(DOCUMENTS)))
    paths = organism_paths()
    with harvest(path, str(paths.model), [str(paths.sae)], str(text), progress=False) as store:
        live = store.features("live")
        chosen = live if FEATURES is None else np.random.default_rng(0).choice(live, FEATURES, replace=False).tolist()
    began, spent = time.monotonic(), processor()
    run = label(path, make_induction, "induction", chosen, workers=2, progress=False)
    seconds, spent = time.monotonic() - began, processor() - spent
    scored = score(path, run.id, workers=2, progress=False)
    with Store.open(path) as store:
        labels = {found.feature: found for found in store.ledger.labels(run=run.id)}
        scores = list(store.ledger.scores(run=scored.id))
        trees = unlimited(store, sorted(labels)[:: max(1, len(labels) // TREES)])
        tokens = sum(len(store.tokens(split).ids) for split in ("train", "validation", "test"))
    summary = summarise(scores)
    assert len(labels) == len(chosen)
    for found in labels.values():
        assert_readable(found)
    r = summary.line("simulation.r", "label").median
    assert r.n > 0
    assert summary.line("simulation.r", "shuffled").median.value < 0.2 < r.value
    if not FULL:
        return
    rate, undisturbed = len(labels) / seconds, 2 * len(labels) / spent
    PAGE.parent.mkdir(exist_ok=True)
    values = tabulate(scores)[0][("simulation.r", "label")]
    PAGE.write_text(page(summary, labels, len(live), values, trees, rate, undisturbed, tokens, DOCUMENTS), encoding="utf-8")
    lookup = next(c for c in summary.comparisons if (c.scorer, c.against) == ("simulation.r", "token_lookup"))
    assert r.value >= 0.80
    assert summary.line("detection.balanced_accuracy", "label").median.value >= 0.85
    assert lookup.pairing.mean.low > 0
    assert rate >= 8


def processor() -> float:
    """Seconds of processor time of this process and of those it has ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def assert_readable(found: Label) -> None:
    """Short, in at most two sentences, with no list longer than the language allows, and saying what the pattern says."""
    assert found.pattern is not None
    pattern = parse(found.pattern)
    assert found.description == pattern.render()
    assert len(found.name.split()) <= 8
    assert len(re.findall(r"[.!?](?=\s|$)", re.sub(r'"[^"]*"|\'[^\']*\'', "", found.description))) <= 2
    for listed in lists(pattern):
        assert len(listed) <= MAX_LITERALS


def lists(node: object) -> list[tuple[str, ...]]:
    """Every list of literal texts in a pattern."""
    if isinstance(node, OneOf | Affix):
        return [node.texts]
    if isinstance(node, Like):
        assert len(node.names) <= MAX_NAMES
        return [node.names]
    if isinstance(node, Tokens):
        return [found for term in node.terms for factor in term for found in lists(factor)]
    if isinstance(node, tuple):
        return [found for part in node for found in lists(part)]
    names = getattr(node, "__dataclass_fields__", {})
    return [found for name in names for found in lists(getattr(node, name))]


def unlimited(store: Store, features: list[int]) -> dict[int, float]:
    """Correlation on all test tokens of a tree of token sets of any size, for each feature."""
    view = store.train_view()
    inducer = Inducer(view)
    test = PatternText(store.tokens("test"), inducer.usage)
    found = {}
    for feature in features:
        at, value = view.activations(feature)
        tree = grow_tree(Evidence(inducer.bank, at, (value / value.max()).astype(np.float32), 0))
        real = np.zeros(len(test), np.float32)
        flat, values = store.activations(feature, "test")
        real[flat] = values
        found[feature] = pearson(tree.predict(test), real)
    return found


def page(
    summary: Summary,
    labels: dict[int, Label],
    live: int,
    r: dict[int, float],
    trees: dict[int, float],
    rate: float,
    undisturbed: float,
    tokens: int,
    documents: int,
) -> str:
    """The table of the documentation."""
    words = np.array([len(found.description.split()) for found in labels.values()])
    short, usual, long = np.quantile(words, [0.25, 0.5, 0.75])
    low, middle, high = np.quantile(list(r.values()), [0.25, 0.5, 0.75])
    rows = []
    for line in summary.lines:
        if line.scorer in ("simulation.r", "detection.auroc", "detection.balanced_accuracy"):
            m = line.median
            rows.append(f"| {line.scorer} | {line.contestant} | {m.value:.3f} [{m.low:.3f}, {m.high:.3f}] | {m.n} |")
    compared = []
    for c in summary.comparisons:
        if c.scorer in ("simulation.r", "detection.balanced_accuracy"):
            mean = c.pairing.mean
            interval = f"{mean.value:+.3f} [{mean.low:+.3f}, {mean.high:+.3f}]"
            compared.append(f"| {c.scorer} | {c.against} | {interval} | {c.pairing.better:.0%} |")
    both = sorted(f for f in set(trees) & set(r) if np.isfinite(trees[f]))
    ours, theirs = np.array([r[f] for f in both]), np.array([trees[f] for f in both])
    random = np.random.default_rng(0)
    tree, lead = median_interval(theirs, random), paired(theirs, ours, random).mean
    sample = sorted(labels)[:: max(1, len(labels) // 30)][:30]
    bar = "\\|"
    shown = [f"| {f} | {r.get(f, float('nan')):.2f} | {labels[f].description.replace('|', bar)} |" for f in sample]
    return f"""# The LLM-free explainer on the organism

{len(labels):,} of the {live:,} live features of the shipped dictionary, {tokens:,} tokens of {documents:,} documents; test split;
judge `pattern`, which scores the rule, not the words. Written by `make bench` (tests/benchmarks/test_induction.py).
Intervals are 95 % bootstraps over features.

| scorer | contestant | median over features | features |
|---|---|---|---|
{lines(rows)}

| scorer | label minus | mean difference | label better on |
|---|---|---|---|
{lines(compared)}

Simulation r of the labels: quartiles {low:.3f}, {middle:.3f}, {high:.3f}.

## Speed

{rate:.1f} labels a second with two processes, opening the store and making the tables included; load average
{os.getloadavg()[0]:.1f} on {os.cpu_count()} processors when it ended. {undisturbed:.1f} in a second of the time of
two processors, which other work slows less.

## The price of readability

Labels have {usual:.0f} words in the median (quartiles {short:.0f} and {long:.0f}, longest {words.max()}).
A tree of {LEAVES} leaves whose token sets may have any size reaches r {tree.value:.3f} [{tree.low:.3f}, {tree.high:.3f}]
in the median over {tree.n} features (all test tokens); in the mean it leads the labels by
{lead.value:.3f} [{lead.low:.3f}, {lead.high:.3f}].

## Thirty labels, evenly spaced

| feature | r | label |
|---|---|---|
{lines(shown)}
"""


def lines(rows: list[str]) -> str:
    """Rows of a table."""
    return "\n".join(rows)
