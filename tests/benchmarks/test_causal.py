"""What readers that know the truth reach in the generative and causal scores of the organism's features, and what asking costs.

`DRAGOMAN_BENCH=full` writes docs/benchmarks/causal.md; otherwise small counts show that it runs.
"""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from dragoman.evals.exams import Examiner
from dragoman.evals.judge.reader import Answer, Chosen, Passage, Reader, Step, Written
from dragoman.evals.judge.scripted import Refusing
from dragoman.evals.scorers import counterfactual, generation, intervention
from dragoman.evals.scorers.exam import Exam
from dragoman.evals.scorers.laboratory import Laboratory, WorkbenchLaboratory
from dragoman.evals.scorers.measure import Measure
from dragoman.evals.scorers.sample import Sizes
from dragoman.tools.probe import Probe
from dragoman.tools.workbench import Workbench

FULL = os.environ.get("DRAGOMAN_BENCH") == "full"
FEATURES = 20 if FULL else 3
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks" / "causal.md"
Ask = Callable[[Reader, str, Exam, Laboratory, Step], Coroutine[Any, Any, list[Measure]]]
SCORES: dict[str, Ask] = {"generation": generation.ask, "counterfactual": counterfactual.ask, "intervention": intervention.ask}
TOKENS = 10


class Model(Refusing):
    """The model itself: its claim is a feature's address, and it looks up what the feature does."""

    name = "the model itself"

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench

    async def detect(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Answer]:
        probe = Probe.of(self.bench, claim)
        peaks = [float(values.max()) for values in probe.values([passage.ids for passage in passages])]
        return [Answer(float(peak > probe.threshold), "scripted") for peak in peaks]

    async def write(self, claim: str, fires: bool, n: int, step: Step) -> Written:
        """Train contexts in which it fires hardest, or near misses."""
        found = self.bench.store.train_view().examples(self.bench.store.id(claim), "top" if fires else "near_miss", 2 * n)
        texts = ["".join(example.context.strings) for example in found]
        return Written(tuple(dict.fromkeys(texts))[:n])


class Tokens(Refusing):
    """Knows single tokens: on which ones the feature fires most often in train, and which ones it promotes."""

    name = "two lists of tokens"

    def __init__(self, bench: Workbench) -> None:
        self.bench, self.train = bench, bench.store.tokens("train")
        self.known: dict[str, tuple[frozenset[int], tuple[str, ...]]] = {}

    def facts(self, claim: str) -> tuple[frozenset[int], tuple[str, ...]]:
        if claim not in self.known:
            flat, values = self.bench.store.activations(claim, "train")
            fires = self.train.ids[flat[values > self.bench.threshold(claim)]]
            often = np.argsort(-np.bincount(fires, minlength=len(self.train.vocabulary)), kind="stable")[:TOKENS]
            promoted = [value.token.strip() for value in self.bench.store.feature(claim).promoted]
            self.known[claim] = frozenset(often.tolist()), tuple(token for token in promoted if token)
        return self.known[claim]

    async def detect(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Answer]:
        fires, _ = self.facts(claim)
        return [Answer(float(not fires.isdisjoint(passage.ids)), "scripted") for passage in passages]

    async def write(self, claim: str, fires: bool, n: int, step: Step) -> Written:
        """Train contexts that hold the commonest of its tokens, or none of them."""
        known, _ = self.facts(claim)
        holds = np.zeros(self.train.n_contexts, bool)
        holds[np.unique(self.train.row[np.isin(self.train.ids, list(known))])] = True
        rows = np.random.default_rng(0).permutation(np.flatnonzero(holds == fires))[:n]
        return Written(tuple(self.train.text(int(row)) for row in rows))

    async def choose(self, claim: str, task: Literal["passage", "continuations"], options: Sequence[str], step: Step) -> Chosen:
        _, promoted = self.facts(claim)
        counts = np.array([sum(option.count(token) for token in promoted) for option in options], np.float64)
        best = counts == counts.max()
        return Chosen(tuple((best / best.sum()).tolist()), "scripted")


@pytest.fixture(scope="module")
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """The shared store, or a larger one."""
    if not FULL:
        yield request.getfixturevalue("organism_bench")
        return
    import json

    from dragoman.evals.organism.load import corpus_documents, organism_paths
    from dragoman.tools.harvest import harvest

    folder, paths = tmp_path_factory.mktemp("causal"), organism_paths()
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": d.text}) + "\n" for d in corpus_documents(1000)), "utf-8")
    store = harvest(folder / "S", str(paths.model), [str(paths.sae)], str(folder / "text.jsonl"), progress=False)
    with Workbench.open(store) as opened:
        yield opened


@pytest.mark.benchmark
@pytest.mark.slow
def test_ceilings_and_costs_on_the_organism(bench: Workbench) -> None:
    store = bench.store
    stats = {row["feature"]: row for row in store.stats_table().to_pylist()}
    live = [f for f in store.features("live") if not stats[f]["dense"]]
    chosen = np.sort(np.random.default_rng(0).choice(live, FEATURES, replace=False)).tolist()
    others = dict(zip(chosen, [*chosen[1:], chosen[0]], strict=True))
    found: dict[tuple[str, str, str], list[Measure]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    with WorkbenchLaboratory(bench) as laboratory:
        examiner = Examiner(store, 0, Sizes())
        asyncio.run(laboratory.alter(chosen[0], examiner.exam(chosen[0]).passage(0), 1, 0))  # loads what all features share
        for feature in chosen:
            exam = examiner.exam(feature)
            for reader in (Tokens(bench), Model(bench)):
                for whose, claim in (("its own", str(store.key(feature))), ("another's", str(store.key(others[feature])))):
                    for score, ask in SCORES.items():
                        begun = time.process_time()
                        measures = asyncio.run(ask(reader, claim, exam, laboratory, Step(feature, f"score/label/{score}")))
                        if reader.name == Tokens.name and whose == "its own":
                            seconds[score].append(time.process_time() - begun)
                        for measure in measures:
                            found[measure.scorer, reader.name, whose].append(measure)
    page = _page(found, seconds)
    print("\n" + page)
    if FULL:
        PAGE.write_text(page)

    def mean(scorer: str, reader: str, whose: str = "its own") -> float:
        return float(np.mean([m.value for m in found[scorer, reader, whose] if m.value is not None]))

    assert mean("counterfactual.auroc", Model.name) == mean("counterfactual.balanced_accuracy", Model.name) == 1
    assert mean("generation.trigger_rate", Model.name) > 0.9 > mean("generation.trigger_rate", Model.name, "another's")
    assert mean("generation.auroc", Model.name) > 0.9
    assert mean("intervention.accuracy", Tokens.name) > mean("intervention.accuracy", Tokens.name, "another's")
    if FULL:
        assert all(np.median(times) < 20 for times in seconds.values())


def _page(found: dict[tuple[str, str, str], list[Measure]], seconds: dict[str, list[float]]) -> str:
    lines = [
        "# Generative and causal scores on the organism, measured\n",
        f"Written by `make bench` on {platform.machine()}: {FEATURES} live features of the residual dictionary, readers that "
        "know the truth in part. What they reach is what a judge of words can be hoped to reach; another feature's label is the "
        "shuffled control. Mean over the scored features, and how many those are. *The model itself* looks up what the feature "
        "does on a text, and writes train contexts in which it fires hardest or near misses; *two lists of tokens* knows the "
        f"{TOKENS} tokens on which the feature fires most often in train, and the tokens that its decoder promotes.\n",
        "| Score | Reader | its own label | another's label | scored |",
        "|---|---|---|---|---|",
    ]
    for scorer, reader in sorted({(scorer, reader) for scorer, reader, _ in found}):
        own, other = (
            [m.value for m in found[scorer, reader, whose] if m.value is not None] for whose in ("its own", "another's")
        )
        if own:
            shuffled = f"{np.mean(other):.3f}" if other else "-"
            lines.append(f"| {scorer} | {reader} | {np.mean(own):.3f} | {shuffled} | {len(own)} of {FEATURES} |")
    lines += [
        "\nChance is .5 for AUROC and balanced accuracy and .25 for both figures of the intervention; `intervention.control` "
        "puts a random direction of the feature's norm in its place.\n",
        "## Cost\n",
        "Seconds of processor time a feature without the judge, on one thread: texts run, edits made and run, strengths tuned "
        "and continuations written. The first intervention of a run also continues the prompts under the other features that "
        "stand beside every one.\n",
        "| Score | Median | First feature |",
        "|---|---|---|",
        *(f"| {score} | {np.median(times[1:] or times):.1f} | {times[0]:.1f} |" for score, times in seconds.items()),
    ]
    return "\n".join(lines) + "\n"
