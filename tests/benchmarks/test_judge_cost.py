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
import re
import shutil
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

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
from tests.vllm.widths import Asked, Shorter, Widths, compare, of_ability, shorter

pytestmark = pytest.mark.vllm

FULL = os.environ.get("DRAGOMAN_BENCH") == "full"
LABELS = 8 if FULL else 2
JUDGED = 16 if FULL else 3
"""Labels on which the small judge's intervals are measured."""
ABILITIES = (0.8, 0.9, 0.97, 0.995) if FULL else (0.9,)
"""AUROCs of made-up judges, for which the same is computed."""
DETECTION, FUZZING, SIMULATION = 100, 100, 10
"""Questions of each score: what is usual."""
SHORT, LONG = 32, 64
"""Tokens of a text of detection and fuzzing, and of simulation: what is usual."""
TOGETHER = (1, 10, 20) if FULL else (1, 10)
"""Texts a request of detection and fuzzing."""
DEFAULT = 10
"""What `dragoman score` does unless asked otherwise."""
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
    short: list[Passage]
    """The beginnings of simulation's texts."""


@dataclass(frozen=True)
class Numbers:
    """Questions of each score."""

    detection: int = DETECTION
    fuzzing: int = FUZZING
    simulation: int | None = None
    """So many short texts; None: the usual long ones."""


class Way(NamedTuple):
    """How labels are asked about by us."""

    name: str
    ask: Numbers
    texts: int = DEFAULT


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


def labels(tokenizer: PreTrainedTokenizerFast, count: int) -> list[Label]:
    """Texts of the organism's corpus, cut to the usual lengths; another part of it for every label."""
    rng = np.random.default_rng(0)
    pieces = [p for text in texts() if len(p := _pieces(tokenizer, text)) >= LONG]
    made = []
    for number in range(count):
        drawn = [pieces[i] for i in rng.permutation(len(pieces))[: DETECTION + SIMULATION]]
        short = [Passage(tuple(p[:SHORT])) for p in drawn[:DETECTION]]
        firing = [p for p in short[: FUZZING // 2] for _ in range(2)]
        marked = [Marked(p, tuple(sorted(rng.choice(SHORT, 2, replace=False).tolist()))) for p in firing]
        claim = f"{CLAIMS[number % len(CLAIMS)]}, number {number}"
        long = [Passage(tuple(p[:LONG])) for p in drawn[DETECTION:]]
        made.append(Label(claim, short, marked, long, [Passage(p.strings[:SHORT]) for p in long]))
    return made


class Answered:
    """A gateway whose replies can always be read: a model of random weights says neither yes nor no, and would be asked again."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def ask(self, model: Model, request: Request, place: Place) -> Reply:
        """Send it, and put an answer into the reply."""
        reply = await self.gateway.ask(model, request, place)
        half = math.log(0.5)
        either = (TokenChance("Yes", half), TokenChance("No", half))
        lines = [((TokenChance(f"{letter}: ", 0.0),), either, (TokenChance("\n", 0.0),)) for letter in _asked(request)]
        slots = reply.prompt_logprobs
        return replace(
            reply,
            texts=("Yes",),
            logprobs=tuple(place for line in lines for place in line) or (either,),
            prompt_logprobs=None if slots is None else tuple({**at, "0": half, "9": half} for at in slots),
        )


def _asked(request: Request) -> list[str]:
    """Letters of the texts that a request asks about together."""
    return re.findall(r"([A-Z]): \(", request.pattern or "")


def ours(
    reader: ModelReader, label: Label, number: int, ask: Numbers
) -> dict[str, Callable[[], Awaitable[Sequence[Answer | Simulated]]]]:
    """The three scores as steps that can be counted one by one."""
    texts = label.detection[: ask.detection]
    listed = label.simulation if ask.simulation is None else label.short[: ask.simulation]
    return {
        "detection": lambda: reader.detect(label.claim, texts, Step(number, "ours/detection")),
        "fuzzing": lambda: reader.fuzz(label.claim, label.fuzzing[: ask.fuzzing], Step(number, "ours/fuzzing"), texts),
        "simulation": lambda: reader.simulate(label.claim, listed, Step(number, "ours/simulation")),
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


def measure(server: Served, path: Path, ways: Sequence[Way], asked: Sequence[Label]) -> dict[str, dict[str, Tokens]]:
    """Tokens a label of every way of asking and every score. Every way has labels of its own, since the server remembers what it
    has read; the usual one those of the first.
    """

    async def run() -> dict[str, dict[str, Tokens]]:
        model = server.named()
        await model.check()
        found: dict[str, dict[str, Tokens]] = {}
        async with Gateway(Ledger(path / "ledger.sqlite"), "cost", 0, Budget()) as gateway:
            for number, label in enumerate(asked):
                way = ways[number // LABELS]
                reader = ModelReader(Answered(gateway), model, texts=way.texts)
                for score, work in ours(reader, label, number, way.ask).items():
                    with _counting(server, found.setdefault(way.name, {}).setdefault(score, Tokens())):
                        answers = await work()
                    assert all(a.unscored is None for a in answers), answers[0]
                    together = [isinstance(a, Answer) and a.place > 0 for a in answers]
                    assert all(together) if way.texts > 1 and score != "simulation" else not any(together)
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
    rng = np.random.default_rng(0)
    small = judged(tmp_path)
    widths = {f"the small judge, {score}": compare(asked, DETECTION) for score, asked in small.items()}
    made = {f"a judge of AUROC {area:g}": compare(of_ability(area, 60, DETECTION, rng), DETECTION) for area in ABILITIES}
    short = shorter(SIMULATION, LONG, SHORT)
    print(widths, made, short)
    detection, fuzzing = (_even(w.fixed) for w in widths.values())
    texts = _even(short.texts)
    assert texts <= SIMULATION
    ways = [Way(f"{texts} a request", Numbers(), texts) for texts in TOGETHER]
    ways += [Way("width of the small judge", Numbers(detection, fuzzing, texts))]
    ways += [Way(f"width of {name}", Numbers(_even(w.fixed), _even(w.fixed), texts)) for name, w in made.items()]
    found = measure(server, tmp_path, ways, labels(tokenizer, len(ways) * LABELS))
    cost = {name: Cost.of(scores) for name, scores in found.items()}
    for name, one in cost.items():
        print(name, one, [round(x, 2) for x in one.fewer(cost[USUAL])])
    usual_call, usual_simulation = found[USUAL]["detection"].whole / (DETECTION / 5), found[USUAL]["simulation"].whole
    assert 650 < usual_call < 800 and 21_000 < usual_simulation < 27_000, "what is published about the usual way"
    if FULL:
        TABLE.write_text(table(cost, ways, {**widths, **made}, short))
    assert cost["10 a request"].fewer(cost[USUAL])[0] > 4
    for way in ways[len(TOGETHER) :]:
        assert cost[way.name].fewer(cost[USUAL])[0] > (5 if way.ask.detection < DETECTION else 4.5), way.name


def _even(questions: float) -> int:
    """So many, rounded up to an even number: half of them are of either kind."""
    return math.ceil(questions / 2) * 2


class Cost(NamedTuple):
    """Prompt tokens a label, those of all scores together and the computed ones of each."""

    detection: float
    fuzzing: float
    simulation: float
    whole: float

    @classmethod
    def of(cls, scores: dict[str, Tokens]) -> Cost:
        detection, fuzzing, simulation = (scores[name].uncached for name in cls._fields[:3])
        return cls(detection, fuzzing, simulation, sum(t.whole for t in scores.values()))

    @property
    def computed(self) -> float:
        return self.detection + self.fuzzing + self.simulation

    def fewer(self, usual: Cost) -> tuple[float, float]:
        """How many times fewer tokens than the usual way: computed ones, and all that are sent."""
        return usual.computed / self.computed, usual.whole / self.whole


def table(cost: dict[str, Cost], ways: Sequence[Way], widths: dict[str, Widths], short: Shorter) -> str:
    """The page."""
    lines = [INTRODUCTION]
    asked = {way.name: f"{way.ask.detection} / {way.ask.fuzzing} / {_texts(way.ask)}" for way in ways}
    asked[USUAL] = f"{DETECTION} / {FUZZING} / {_texts(Numbers())}"
    for name in (USUAL, *(way.name for way in ways)):
        one = cost[name]
        figures = " | ".join(f"{tokens:,.0f}" for tokens in (*one[:3], one.computed))
        computed, sent = one.fewer(cost[USUAL])
        lines.append(f"| {name} | {asked[name]} | {figures} | **{computed:.2f}** | {one.whole:,.0f} | {sent:.2f} |")
    lines.append(WIDTHS)
    lines += [f"| {name} | {w.usual:.3f} | {DETECTION} | {w.fixed:.0f} | {w.early:.0f} |" for name, w in widths.items()]
    lines.append(SHORTER.format(features=short.features, width=short.usual, texts=short.texts))
    return "\n".join([*lines, CONCLUSION])


def _texts(ask: Numbers) -> str:
    return f"{SIMULATION} of {LONG}" if ask.simulation is None else f"{ask.simulation} of {SHORT}"


USUAL = "usual"
INTRODUCTION = f"""# What a label's scores cost a judge

Written by `DRAGOMAN_BENCH=full make test-vllm`: prompt tokens a label, means of {LABELS} labels, as vLLM counts them (CPU build,
blocks of 32 tokens), with the tokenizer of Mistral 7B v0.3. *Computed* are those that were not in the prefix cache. All ways ask
about texts of the organism's corpus: so many of {SHORT} tokens in detection, so many highlightings in fuzzing, so many
texts in simulation.

*Usual* is five texts a call after worked examples, and simulation one text a call after worked listings, in prompts of the
published lengths (tests/vllm/usual.py); the prefix cache is on for it too. The others are ours: at equal numbers with 1, 10 and
20 texts a request, and, with 10 (the default), at the width of the usual interval for judges of different ability. The model has
random weights, since only tokens are counted, and answers of it that could not be read are replaced, or the questions would be
asked twice.

| Way | Asked: each score | Detection | Fuzzing | Simulation | Computed | Times fewer | Sent | Times fewer without a cache |
|---|---|---|---|---|---|---|---|---|"""
WIDTHS = f"""
## How many questions a width takes

The same judge answers with a probability (ours) or with yes or no (usual: the same answers, cut at 0.5), and the same function
makes the intervals; the usual way is given the narrower of its two, that of the AUROC and that of balanced accuracy. Of {JUDGED}
labels that the small judge has not seen, and of 60 labels of made-up judges with normal scores. *Early end*: each label is asked
in tens until its interval is as narrow as makes the mean the same.

| Judge | Mean width, yes or no | Questions, yes or no | With probabilities | With an early end |
|---|---|---|---|---|"""
SHORTER = f"""
The interval of simulation's r resamples documents, so that it is the number of texts that makes it narrow: of {{features}}
features made from concepts, predicted by the mean of every token, {SIMULATION} texts of {LONG} tokens have a mean width of
{{width:.3f}}, which {{texts:.1f}} texts of {SHORT} tokens reach as well (half of each the most active ones, half random). A store
harvested with `--window {SHORT}` is asked about in texts of that length; with the default of 127 tokens all ways pay for longer
texts."""
CONCLUSION = """
## Where it comes from

Probabilities save a quarter to two thirds of the questions where the judge is good, and nothing where it is poor: there the
interval of balanced accuracy, which yes and no give as well, is as narrow. An early end saves little beyond that at the same
*mean* width: what easy labels save, hard ones take (it pays where every label has to reach a width). A text that stands among ten
costs little more than its own tokens, and fuzzing quotes the marked words behind the same texts, which the server remembers.

Whether a judge reads ten texts as well as one is another question. 24 requests of this form, answered by a careful reader who saw
the prompts alone, came out as the truth is for 141 of 145 texts (docs/judging.md). The small judge of the tests cannot read such
requests. One that was wired and trained to read ten texts in both questions (with the marks in the text; not kept: it simulated
worse) had an AUROC of 0.90 in detection with 8 texts a request and of 0.98 with one, and of 1.00 with both in fuzzing; a sister
of it 0.93 with 10 and 0.88 with 20. That is why 10 is the default, and why `dragoman judge check` compares both ways on the judge
that is to be used.

Tried on paper and left out: reading the answers at slots of the prompt, as simulation does (no chat template, no cache, and
no fewer tokens); a slot that is the tab itself (2 tokens a text token instead of 3, but nothing parts a token from its
value). What our way writes is not counted: about 4 tokens a text, where a list of five answers has about 11.
"""


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
