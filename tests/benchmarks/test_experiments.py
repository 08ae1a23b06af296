"""What experiments on a feature cost, and whether a search from nothing finds the organism's trigger.

`DRAGOMAN_BENCH=full` writes docs/benchmarks/experiments.md; otherwise small counts show that it runs
and that the trigger is found.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest
import torch

from dragoman.evals.organism.families.trigger import CARRIER, NEAR_MISSES, TRIGGER
from dragoman.evals.organism.load import corpus_documents, organism_paths
from dragoman.tools.activate import contrast
from dragoman.tools.attribution import occlude
from dragoman.tools.harvest import harvest
from dragoman.tools.probe import Probe
from dragoman.tools.search import search_inputs
from dragoman.tools.source import padded
from dragoman.tools.workbench import Workbench

FULL = os.environ.get("DRAGOMAN_BENCH") == "full"
DOCUMENTS = 1500 if FULL else 200
REPEATS = 15 if FULL else 3
FEATURES, LENGTHS, FLUENCIES, SEEDS = (3, (4, 10), (0.0, 0.05), range(4)) if FULL else (1, (4,), (0.05,), range(3))
BUDGET = 4000
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks" / "experiments.md"

INTRODUCTION = f"""# Experiments on features, measured

Written by `make bench` on {platform.machine()} with {os.cpu_count()} cores, on the organism and its residual dictionary,
with a store of {DOCUMENTS} documents.
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A store of the organism."""
    folder = tmp_path_factory.mktemp("experiments")
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": d.text}) + "\n" for d in corpus_documents(DOCUMENTS)), "utf-8")
    paths = organism_paths()
    store = harvest(folder / "S", str(paths.model), [str(paths.sae)], str(folder / "text.jsonl"), progress=False)
    with Workbench.open(store) as opened:
        yield opened


@pytest.fixture(scope="module")
def page() -> Iterator[list[str]]:
    """The parts of the page, written at the end."""
    parts: list[str] = []
    yield parts
    print("\n" + "\n".join(parts))
    if FULL:
        PAGE.write_text(INTRODUCTION + "\n".join(parts))


@pytest.mark.benchmark
def test_occlusion_costs_what_its_forwards_cost(bench: Workbench, page: list[str]) -> None:
    """Every token of a full window occluded at its last token, against the same rows through the model in batches of 16."""
    tokens = bench.store.tokens("test")
    row = int((tokens.starts[1:] - tokens.starts[:-1]).argmax())
    ids = tokens.ids[tokens.starts[row] : tokens.starts[row + 1]].tolist()
    last = len(ids) - 1
    number = next(int(f) for f in bench.store.features("live") if bench.stats(f).active)
    probe = Probe.of(bench, number)
    text = tokens.text(row)
    prompt = probe.prompt(text)
    assert len(prompt) + probe.prepend_bos == 128, "a window of 128 tokens, BOS among them"
    neutral = probe.neutral
    rows = [[*ids[:i], neutral, *ids[i + 1 :]] for i in range(len(ids))]
    batches = [torch.from_numpy(padded(rows[i : i + 16], probe.bos).ids) for i in range(0, len(rows), 16)]
    hook = probe.dictionary.facts.hook_in

    def forwards() -> None:
        for batch in batches:
            bench.subject.capture(batch, [hook])

    ours, bare = [], []
    for _ in range(REPEATS + 1):
        ours.append(seconds(lambda: occlude(probe, prompt, last)))
        bare.append(seconds(forwards))
    ratio = statistics.median(a / b for a, b in zip(ours[1:], bare[1:], strict=True))
    page += [
        "\n## Occlusion\n",
        f"Every token of a text of 128 tokens (BOS among them) replaced in turn and the feature read at the last: "
        f"{1000 * statistics.median(ours[1:]):.0f} ms, against {1000 * statistics.median(bare[1:]):.0f} ms for the same "
        f"{len(rows)} rows through the model alone in batches of 16: **{ratio:.2f} ×** (median of {REPEATS} pairs; aim 1.5).",
    ]
    if FULL:
        assert ratio <= 1.5


@pytest.mark.benchmark
@pytest.mark.slow
def test_a_search_from_nothing_finds_the_trigger(bench: Workbench, page: list[str]) -> None:
    """Features that answer to the trigger and not to what resembles it; the search is told a feature and nothing else."""
    carriers = [template.replace("{=", "").replace("|trigger.carrier}", "") for template in (*CARRIER.train, *CARRIER.held_out)]
    notices = [carrier.format(phrase=TRIGGER) for carrier in carriers]
    others = [carrier.format(phrase=phrase) for carrier in carriers for phrase in NEAR_MISSES]
    chosen = sorted(contrast(bench, notices, others, n=50).rows, key=lambda row: -row.strength)[:FEATURES]
    lines = [
        "| Feature | Peak after the trigger | after near misses | Tokens | Fluency | Found | Forwards | Best text, seed 0 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    found_at_all = 0
    for row, fluency, length in product(chosen, FLUENCIES, LENGTHS):
        runs = [
            search_inputs(
                Probe.of(bench, row.feature),
                "gradient",
                from_nothing=True,
                length=length,
                budget=BUDGET,
                seed=seed,
                fluency=fluency,
            )
            for seed in SEEDS
        ]
        hits = sum(any(TRIGGER in found.text for found in run.found) for run in runs)
        found_at_all += hits
        held = [[entry.forwards for entry in run.history if TRIGGER in entry.text] for run in runs]
        when = [forwards[0] for forwards in held if forwards]
        shown = runs[0].found[0].text.replace("|", "\\|").replace("`", "'").replace("\n", "↵")
        lines.append(
            f"| {row.feature} | {row.peak_a:.1f} | {row.peak_b:.1f} | {length} | {fluency} | {hits} of {len(runs)} | "
            f"{statistics.median(when) if when else '-'} | `{shown}` {runs[0].found[0].value:.1f} |"
        )
    page += [
        "\n## Search from nothing\n",
        f"A search by gradients that begins with random tokens and never sees the corpus, {BUDGET:,} forwards, for the features "
        f"whose peaks differ most between carrier sentences with the trigger ('{TRIGGER}') and with near misses. *Found*: runs "
        "(seeds) in which one of the five best texts holds the trigger, word for word. *Forwards*: until the best text so "
        "far held it, median over the runs in which it ever did. *Fluency*: what a nat of unlikelihood a token costs, in train "
        "maxima of the feature; at 0 the search looks for the strongest text, however odd.\n",
        *lines,
    ]
    if FULL:  # small counts show that it runs: what is found in so few forwards is a matter of luck
        assert found_at_all > 0, "the trigger is found for one of the features that answer to it most"


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun
