"""What a label's scores cost a judge, in prompt tokens that vLLM had to compute, against the usual way of asking.

Both ways are sent to the same vLLM server on the CPU, with the prefix cache on, about the same texts; tokens are vLLM's own
counts. How many questions of ours reach the interval width of the usual number is measured first, on the answers of the small
judge (tests/vllm/widths.py).
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
from tests.vllm.exams import Claim, Question, texts, unseen
from tests.vllm.served import Served
from tests.vllm.small_judge import FOLDER
from tests.vllm.widths import Asked, Widths, compare, of_ability

pytestmark = pytest.mark.vllm

FULL = os.environ.get("DRAGOMAN_BENCH") == "full"
LABELS = 8 if FULL else 2
JUDGED = 16 if FULL else 3
"""Labels on which the small judge's intervals are measured."""
ABILITIES = (0.8, 0.9, 0.97, 0.995)
"""AUROCs of made-up judges, for which the same is computed."""
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


@dataclass(frozen=True)
class Numbers:
    """Questions of each score."""

    detection: int = DETECTION
    fuzzing: int = FUZZING


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
    for number in range(2 * LABELS):
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


def ours(
    reader: ModelReader, label: Label, number: int, ask: Numbers
) -> dict[str, Callable[[], Awaitable[Sequence[Answer | Simulated]]]]:
    """The three scores as steps that can be counted one by one."""
    return {
        "detection": lambda: reader.detect(label.claim, label.detection[: ask.detection], Step(number, "ours/detection")),
        "fuzzing": lambda: reader.fuzz(label.claim, label.fuzzing[: ask.fuzzing], Step(number, "ours/fuzzing")),
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


def measure(server: Served, path: Path, asked: list[Label], fewer: Numbers) -> dict[str, dict[str, Tokens]]:
    """Tokens a label of every way of asking and every score. What is asked fewer questions are other labels, since the server
    remembers what it has read.
    """

    async def run() -> dict[str, dict[str, Tokens]]:
        model = server.named()
        await model.check()
        found: dict[str, dict[str, Tokens]] = {}
        async with Gateway(Ledger(path / "ledger.sqlite"), "cost", 0, Budget()) as gateway:
            reader = ModelReader(Answered(gateway), model)
            for number, label in enumerate(asked):
                way, ask = (OURS, Numbers()) if number < LABELS else (EQUAL, fewer)
                for score, work in ours(reader, label, number, ask).items():
                    with _counting(server, found.setdefault(way, {}).setdefault(score, Tokens())):
                        answers = await work()
                    assert all(a.unscored is None for a in answers), answers[0]
                for score, requests in usually(label).items() if number < LABELS else ():
                    with _counting(server, found.setdefault(USUAL, {}).setdefault(score, Tokens())):
                        calls = [gateway.ask(model, r, Place(number, f"usual/{score}", i)) for i, r in enumerate(requests)]
                        await asyncio.gather(*calls)
        return found

    return asyncio.run(run())


def judged(path: Path) -> dict[str, list[Asked]]:
    """What the small judge says about labels that it has not seen, as many questions a label as is usual."""
    rng = np.random.default_rng(8)
    claims = unseen(rng, JUDGED)
    exams = [[claim.question(rng, i < DETECTION // 2, 16, 32) for i in range(DETECTION)] for claim in claims]
    server = Served(FOLDER, path)

    async def run() -> dict[str, list[Asked]]:
        model = server.named()
        await model.check()
        async with Gateway(Ledger(path / "judged.sqlite"), "judged", 0, Budget()) as gateway:
            reader = ModelReader(gateway, model)
            pairs = list(zip(claims, exams, strict=True))
            detected = [await _detected(reader, claim, exam, i) for i, (claim, exam) in enumerate(pairs)]
            fuzzed = [await _fuzzed(reader, claim, exam, i, rng) for i, (claim, exam) in enumerate(pairs)]
            return {"detection": detected, "fuzzing": fuzzed}

    try:
        return asyncio.run(run())
    finally:
        server.stop()


async def _detected(reader: ModelReader, claim: Claim, exam: list[Question], number: int) -> Asked:
    answers = await reader.detect(claim.text, [q.passage for q in exam], Step(number, "judged/detection"))
    return Asked(np.array([any(q.fires) for q in exam]), np.array([a.value for a in answers], np.float64))


async def _fuzzed(reader: ModelReader, claim: Claim, exam: list[Question], number: int, rng: np.random.Generator) -> Asked:
    firing = [q for q in exam if any(q.fires)][: FUZZING // 2]
    marked = [q.marked(right, rng) for right in (True, False) for q in firing]
    answers = await reader.fuzz(claim.text, marked, Step(number, "judged/fuzzing"))
    return Asked(np.arange(len(marked)) < len(firing), np.array([a.value for a in answers], np.float64))


def test_cost_of_a_label(server: Served, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    widths = {score: compare(asked, DETECTION) for score, asked in judged(tmp_path).items()}
    print(widths)
    fewer = Numbers(*(math.ceil(widths[score].fixed / 2) * 2 for score in ("detection", "fuzzing")))
    found = measure(server, tmp_path, labels(tokenizer), fewer)
    for way, scores in found.items():
        print(way, {score: (round(t.whole), round(t.uncached)) for score, t in scores.items()})
    usual_calls = found[USUAL]["detection"].whole / (DETECTION / 5), found[USUAL]["simulation"].whole
    assert 650 < usual_calls[0] < 800 and 21_000 < usual_calls[1] < 27_000, "what is published about the usual way"
    total = {way: sum(t.uncached for t in scores.values()) for way, scores in found.items()}
    whole = {way: sum(t.whole for t in scores.values()) for way, scores in found.items()}
    print({way: (round(whole[USUAL] / whole[way], 2), round(total[USUAL] / total[way], 2)) for way in found})
    if FULL:
        rng = np.random.default_rng(0)
        made = {area: compare(of_ability(area, 60, DETECTION, rng), DETECTION) for area in ABILITIES}
        ratios = [(total[USUAL] / total[way], whole[USUAL] / whole[way]) for way in (OURS, EQUAL)]
        TABLE.write_text(table(found, ratios, widths, made))
    assert total[USUAL] / total[OURS] > 1.8
    assert total[USUAL] / total[EQUAL] > 2


def table(
    found: dict[str, dict[str, Tokens]], ratios: list[tuple[float, float]], widths: dict[str, Widths], made: dict[float, Widths]
) -> str:
    """The page."""
    lines = [INTRODUCTION]
    for way, scores in found.items():
        for score, t in scores.items():
            lines.append(f"| {way} | {score} | {t.whole:,.0f} | {t.uncached:,.0f} |")
        whole, uncached = (sum(getattr(t, name) for t in scores.values()) for name in ("whole", "uncached"))
        lines.append(f"| {way} | **all three** | **{whole:,.0f}** | **{uncached:,.0f}** |")
    (same, same_whole), (equal, equal_whole) = ratios
    lines += [
        "",
        f"At the same width of the interval **{equal:.2f} times fewer** computed prompt tokens than the usual way",
        f"({equal_whole:.2f} without a cache); at the same number of questions {same:.2f} times",
        f"({same_whole:.2f} without a cache).",
        WIDTHS,
    ]
    rows = {f"the small judge, {score}": w for score, w in widths.items()}
    rows |= {f"a made-up judge of AUROC {area:g}": w for area, w in made.items()}
    lines += [f"| {name} | {w.usual:.3f} | {DETECTION} | {w.fixed:.0f} | {w.early:.0f} |" for name, w in rows.items()]
    return "\n".join([*lines, CONCLUSION])


WIDTHS = f"""
## How many questions a width takes

The same judge answers with a probability (ours) or with yes or no (usual: the same answers, cut at 0.5, since the small judge
reads no other prompts than ours), and the same function makes the intervals; the usual way is given the narrower of its two,
that of the AUROC and that of balanced accuracy. Of {JUDGED} labels that the small judge
has not seen, and of 60 labels of made-up judges with normal scores. *Early end*: each label is asked in tens until its interval
is as narrow as makes the mean the same.

| Judge | Mean width, yes or no | Questions, yes or no | With probabilities | With an early end |
|---|---|---|---|---|"""
CONCLUSION = """
## What keeps it from 5

The aim is 5 times fewer at the same width. Probabilities save a quarter to two thirds of the questions where the judge is good,
and nothing where it is poor (then the ratio is that of equal numbers): there the interval of balanced accuracy, which yes and no
give as well, is as narrow. An early end saves little
beyond that at the same *mean* width: what easy labels save, hard ones take (it pays where every label has to reach a width).
Simulation is read from log-probabilities in both ways and is asked about the same texts. What is left is the price of a
question: asked one by one, detection and fuzzing pay for the text, for what stands around it and for half a block of the cache,
more than five at a time behind a cached beginning.

## Several texts a request

`dragoman score` asks detection and fuzzing about 10 texts a request (`--texts-a-request`): a text of 32 tokens then costs
about 38 computed tokens in detection and 43 in fuzzing, its share of the beginning included. The figures below are counted
with the same texts and tokenizer, but without a server, by a model of its cache, which gives its counts of
detection and fuzzing for one text a request exactly. *Width* is at equal width, with the number of
questions that a made-up judge of that AUROC needs, above.

| Texts a request | Detection | Fuzzing | Simulation | Same number | Width, AUROC 0.9 | 0.97 | 0.995 | Same number, no cache |
|---|---|---|---|---|---|---|---|---|
| 1 | 6,568 | 6,508 | 2,377 | 2.12 | 2.69 | 3.84 | 3.57 | 1.45 |
| 10 | 3,788 | 4,300 | 2,377 | 3.13 | 3.88 | 5.30 | 4.98 | 3.98 |
| 20 | 3,670 | 4,148 | 2,377 | 3.21 | 3.98 | 5.41 | 5.09 | 4.61 |

So about 5 times is reached where the judge is very good, and 3 to 4 times elsewhere. Six requests of this form, answered by a
careful reader who saw the prompts alone, came out as the truth is for 96 of 96 texts (12 to 20 a request). The small judge
of the tests cannot read such requests. One that was wired and trained to (not kept: it simulated worse) had an AUROC of
0.90 in detection with 8 texts a request and of 0.98 with one, and of 1.00 with both in fuzzing; a sister of it 0.93 with 10
and 0.88 with 20. That is why 10 is the default, and why `dragoman judge check` compares both ways on the judge that is to
be used.

Tried on paper and left out: reading the answers at slots of the prompt, as simulation does (no chat template, no cache, and
no fewer tokens); a slot that is the tab itself (2 tokens a text token instead of 3, but nothing parts a token from its
value); fuzzing over the texts of detection's requests, of which the server would remember the beginning (a fifth fewer, but
each score would have to wait for the other). What our way writes is not counted: about 4 tokens a text, where a list of
five answers has about 11.
"""
OURS, EQUAL, USUAL = "ours", "ours, equal width", "usual"


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
def _counting(server: Served, tokens: Tokens) -> Iterator[None]:
    """Add what the server counts meanwhile, as a mean over the labels."""
    before = server.counters()
    yield
    after = server.counters()
    whole, cached = (after[name] - before[name] for name in ("prompt", "cached"))
    tokens.whole += whole / LABELS
    tokens.uncached += (whole - cached) / LABELS


def _pieces(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    """What each token contributes to a text, on one line."""
    text = " ".join(text.split())
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    ends = [end for _, end in offsets]
    return [text[a:b] for a, b in zip([0, *ends], ends, strict=False) if b > a]


def _highlighted(marked: Marked) -> str:
    """The whole text with its highlighted tokens marked, as is usual."""
    return "".join(f"<<{s}>>" if i in marked.highlights else s for i, s in enumerate(marked.passage.strings))
