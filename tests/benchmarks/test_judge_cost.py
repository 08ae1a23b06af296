"""What a label's scores cost a judge, in prompt tokens that vLLM had to compute, against the usual way of asking.

Both ways are sent to the same vLLM server on the CPU, with the prefix cache on, about the same texts; tokens are vLLM's own
counts.
`DRAGOMAN_BENCH=full` asks about more labels and writes docs/benchmarks/judge_cost.md. Part of `make test-vllm`.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.calls import Place, Reply, Request, TokenChance
from dragoman.evals.gateway.gateway import Gateway
from dragoman.evals.gateway.models import Model
from dragoman.evals.judge.environment import find
from dragoman.evals.judge.model import ModelReader
from dragoman.evals.judge.reader import Answer, Marked, Passage, Simulated, Step
from dragoman.store.ledger import Ledger
from tests.vllm import usual
from tests.vllm.exams import texts
from tests.vllm.served import Served

pytestmark = pytest.mark.vllm

FULL = os.environ.get("DRAGOMAN_BENCH") == "full"
LABELS = 8 if FULL else 2
DETECTION, FUZZING, SIMULATION = 100, 100, 10
"""Questions of each score: what is usual."""
SHORT, LONG = 32, 64
"""Tokens of a text of detection and fuzzing, and of simulation: what is usual."""
TABLE = Path(__file__).parents[2] / "docs" / "benchmarks" / "judge_cost.md"
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}]\n{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n{% endif %}"
)
CLAIMS = (
    "fires on the word after a colour",
    "names of animals, mostly of birds, in descriptions",
    "numbers that stand for a year or a date in a form",
    "the closing bracket of a nested list in program code",
)


@dataclass(frozen=True)
class Label:
    """What is asked about one label, the same in every way of asking."""

    claim: str
    detection: list[Passage]
    fuzzing: list[Marked]
    simulation: list[Passage]


@dataclass
class Tokens:
    """Prompt tokens a label."""

    whole: float = 0.0
    uncached: float = 0.0


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    """A real one, of 32,768 entries: that of Mistral 7B v0.3 (Apache 2.0), which comes with vLLM."""
    site = next(find().program.parent.parent.glob("lib/python*/site-packages"))
    folder = tmp_path_factory.mktemp("tokenizer")
    shutil.copy(site / "mistral_common" / "data" / "mistral_instruct_tokenizer_240323.model.v3", folder / "tokenizer.model")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer"}))
    made: Any = AutoTokenizer.from_pretrained(folder)
    made.chat_template = TEMPLATE
    assert isinstance(made, PreTrainedTokenizerFast)
    return made


@pytest.fixture(scope="module")
def server(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A model of random weights with that tokenizer: what is counted depends on the tokens alone."""
    folder = tmp_path_factory.mktemp("judge")
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "head_dim": 32,
    }
    config = LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=2, max_position_embeddings=4096, **shape)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    served = Served(folder, tmp_path_factory.mktemp("log"))
    try:
        yield served
    finally:
        served.stop()


def labels(tokenizer: PreTrainedTokenizerFast) -> list[Label]:
    """Texts of the organism's corpus, cut to the usual lengths; another part of it for every label."""
    rng = np.random.default_rng(0)
    pieces = [p for text in texts() if len(p := _pieces(tokenizer, text)) >= LONG]
    made = []
    for number in range(LABELS):
        drawn = [pieces[i] for i in rng.permutation(len(pieces))[: DETECTION + SIMULATION]]
        short = [Passage(tuple(p[:SHORT])) for p in drawn[:DETECTION]]
        firing = [p for p in short[: FUZZING // 2] for _ in range(2)]
        marked = [Marked(p, tuple(sorted(rng.choice(SHORT, 2, replace=False).tolist()))) for p in firing]
        claim = f"{CLAIMS[number % len(CLAIMS)]}, number {number}"
        made.append(Label(claim, short, marked, [Passage(tuple(p[:LONG])) for p in drawn[DETECTION:]]))
    return made


class Answered:
    """A gateway whose replies can always be read: a model of random weights says neither yes nor no, and would be asked again."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def ask(self, model: Model, request: Request, place: Place) -> Reply:
        """Send it, and put an answer into the reply."""
        reply = await self.gateway.ask(model, request, place)
        half = math.log(0.5)
        slots = reply.prompt_logprobs
        return replace(
            reply,
            texts=("Yes",),
            logprobs=((TokenChance("Yes", half), TokenChance("No", half)),),
            prompt_logprobs=None if slots is None else tuple({**at, "0": half, "9": half} for at in slots),
        )


def ours(reader: ModelReader, label: Label, number: int) -> dict[str, Callable[[], Awaitable[Sequence[Answer | Simulated]]]]:
    """The three scores as steps that can be counted one by one."""
    return {
        "detection": lambda: reader.detect(label.claim, label.detection, Step(number, "ours/detection")),
        "fuzzing": lambda: reader.fuzz(label.claim, label.fuzzing, Step(number, "ours/fuzzing")),
        "simulation": lambda: reader.simulate(label.claim, label.simulation, Step(number, "ours/simulation")),
    }


def usually(label: Label) -> dict[str, list[Request]]:
    """The usual requests: five texts a call, and simulation one text a call."""
    marked = [_highlighted(m) for m in label.fuzzing]
    plain = [p.text for p in label.detection]
    return {
        "detection": [Request(usual.detection(label.claim, plain[i : i + 5]), max_tokens=1) for i in range(0, DETECTION, 5)],
        "fuzzing": [Request(usual.fuzzing(label.claim, marked[i : i + 5]), max_tokens=1) for i in range(0, FUZZING, 5)],
        "simulation": [
            Request(prompt=usual.simulation(label.claim, p.strings), max_tokens=0, prompt_logprobs=15, keep=())
            for p in label.simulation
        ],
    }


def measure(server: Served, path: Path, asked: list[Label]) -> dict[str, dict[str, Tokens]]:
    """Tokens a label of every way of asking and every score."""

    async def run() -> dict[str, dict[str, Tokens]]:
        model = server.named()
        await model.check()
        found: dict[str, dict[str, Tokens]] = {}
        async with Gateway(Ledger(path / "ledger.sqlite"), "cost", 0, Budget()) as gateway:
            for number, label in enumerate(asked):
                for score, work in ours(ModelReader(Answered(gateway), model), label, number).items():
                    with _counting(server, found.setdefault("ours", {}).setdefault(score, Tokens()), len(asked)):
                        answers = await work()
                    assert all(a.unscored is None for a in answers), answers[0]
                for score, requests in usually(label).items():
                    with _counting(server, found.setdefault("usual", {}).setdefault(score, Tokens()), len(asked)):
                        calls = [gateway.ask(model, r, Place(number, f"usual/{score}", i)) for i, r in enumerate(requests)]
                        await asyncio.gather(*calls)
        return found

    return asyncio.run(run())


def test_cost_of_a_label(server: Served, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    found = measure(server, tmp_path, labels(tokenizer))
    for way, scores in found.items():
        print(way, {score: (round(t.whole), round(t.uncached)) for score, t in scores.items()})
    usual_calls = found["usual"]["detection"].whole / (DETECTION / 5), found["usual"]["simulation"].whole
    assert 650 < usual_calls[0] < 800 and 21_000 < usual_calls[1] < 27_000, "what is published about the usual way"
    total = {way: sum(t.uncached for t in scores.values()) for way, scores in found.items()}
    whole = {way: sum(t.whole for t in scores.values()) for way, scores in found.items()}
    print({way: (round(whole["usual"] / whole[way], 2), round(total["usual"] / total[way], 2)) for way in found})
    if FULL:
        ratios = tuple(sums["usual"] / sums["ours"] for sums in (total, whole))
        TABLE.write_text(table(found, *ratios))
    assert total["usual"] / total["ours"] > 1.8


def table(found: dict[str, dict[str, Tokens]], uncached_ratio: float, whole_ratio: float) -> str:
    """The page."""
    lines = [INTRODUCTION]
    for way, scores in found.items():
        for score, t in scores.items():
            lines.append(f"| {way} | {score} | {t.whole:,.0f} | {t.uncached:,.0f} |")
        whole, uncached = (sum(getattr(t, name) for t in scores.values()) for name in ("whole", "uncached"))
        lines.append(f"| {way} | **all three** | **{whole:,.0f}** | **{uncached:,.0f}** |")
    lines += [
        "",
        f"**{uncached_ratio:.2f} times fewer** computed prompt tokens than the usual way at the same number of questions,",
        f"{whole_ratio:.2f} times fewer without a cache. The aim is 5 times fewer at the same width of the interval. Widths are",
        "not measured here, and nothing is credited for graded answers or for an early end (`--width`). The gain is that of",
        "simulation: asked one by one, detection and fuzzing cost more than five at a time behind a cached beginning.",
    ]
    return "\n".join(lines) + "\n"


INTRODUCTION = f"""# What a label's scores cost a judge

Written by `DRAGOMAN_BENCH=full make test-vllm`: prompt tokens a label, means of {LABELS} labels, as vLLM counts them (CPU build,
blocks of 32 tokens), with the tokenizer of Mistral 7B v0.3. All ways ask about the same texts of the organism's corpus:
{DETECTION} of {SHORT} tokens for detection, {FUZZING} highlightings for fuzzing, {SIMULATION} of {LONG} tokens for simulation.

*Usual* is five texts a call after worked examples, and simulation one text a call after worked listings, in prompts of the
published lengths (tests/vllm/usual.py); the prefix cache is on for it too. The model has random weights, since only tokens are
counted, and answers of it that could not be read are replaced, or the questions would be asked twice.

| Way | Score | Prompt tokens | Computed (not from the cache) |
|---|---|---|---|"""


@contextmanager
def _counting(server: Served, tokens: Tokens, labels: int) -> Iterator[None]:
    """Add what the server counts meanwhile, as a mean over the labels."""
    before = server.counters()
    yield
    after = server.counters()
    whole, cached = (after[name] - before[name] for name in ("prompt", "cached"))
    tokens.whole += whole / labels
    tokens.uncached += (whole - cached) / labels


def _pieces(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    """What each token contributes to a text, on one line."""
    text = " ".join(text.split())
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    ends = [end for _, end in offsets]
    return [text[a:b] for a, b in zip([0, *ends], ends, strict=False) if b > a]


def _highlighted(marked: Marked) -> str:
    """The whole text with its highlighted tokens marked, as is usual."""
    return "".join(f"<<{s}>>" if i in marked.highlights else s for i, s in enumerate(marked.passage.strings))
