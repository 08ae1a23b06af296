"""What the organism can do, measured on documents it was not trained on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from .corpus import uses_held_out_template
from .document import Document, Probe
from .tokens import CONTEXT
from .train import block_mask


@dataclass(frozen=True, slots=True)
class Competence:
    """How well one task is done on one sort of held-out document."""

    task: str
    """The probes' task, for example `two_hop.held_out`."""
    templates: str
    """`seen` where every template of the document occurs in training, `held out` where one does not, `all` for both."""
    n: int
    """Probes."""
    accuracy: float
    """Share of probes at which greedy decoding over the whole vocabulary says the whole answer."""
    low: float
    """Lower end of the accuracy's 95 % Wilson interval."""
    high: float
    """Upper end."""
    first: float
    """Share at which the answer's first token has the highest probability of the whole vocabulary."""
    choice: float
    """Share at which the answer is more probable than each of its rivals."""
    chance: float
    """What guessing among answer and rivals would reach: the mean of 1 / (1 + rivals)."""


@dataclass(frozen=True, slots=True)
class _Question:
    """A probe as tokens."""

    ids: NDArray[np.int64]
    """BOS, prompt and answer."""
    answer: int
    """Position in `ids` of the answer's first token."""
    rivals: tuple[tuple[int, int], ...]
    """For each rival the first position at which it differs from the answer, and its token there."""


@dataclass(frozen=True, slots=True)
class _Reply:
    exact: bool
    first: bool
    choice: bool


def measure(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, documents: Iterable[Document], *, limit: int = 1000
) -> list[Competence]:
    """Ask every probe of held-out documents, at most `limit` a task and sort of template, in order.

    The prompt is the document up to the probe, cut on the left to fit a window of 128 tokens. The strict measure, `accuracy`, wants the
    whole answer to be what greedy decoding over the whole vocabulary says. For tasks whose name ends in a refusal or a hostile reply the
    answer is the first words of that reply.
    """
    asked: dict[tuple[str, bool], list[tuple[Document, Probe, float]]] = defaultdict(list)
    for document in documents:
        held_out = uses_held_out_template(document)
        for probe, chance in _joined(document.probes):
            kept = asked[probe.task, held_out]
            if len(kept) < limit:
                kept.append((document, probe, chance))
    replies: dict[tuple[str, bool], list[_Reply]] = {}
    chances: dict[tuple[str, bool], list[float]] = {}
    for key, probes in asked.items():
        replies[key] = _ask(model, [_question(tokenizer, d, p) for d, p, _ in probes])
        chances[key] = [chance for _, _, chance in probes]
    rows = []
    for task in sorted({task for task, _ in asked}):
        both = [key for key in ((task, False), (task, True)) if key in asked]
        for key in both:
            rows.append(_row(task, "held out" if key[1] else "seen", replies[key], chances[key]))
        rows.append(_row(task, "all", sum((replies[k] for k in both), []), sum((chances[k] for k in both), [])))
    return rows


def table(rows: Sequence[Competence]) -> Table:
    """The measurements for a terminal."""
    out = Table(title="Competence on held-out documents")
    for name in ("task", "templates"):
        out.add_column(name)
    for name in ("n", "accuracy", "95 % interval", "first token", "choice", "chance"):
        out.add_column(name, justify="right")
    for row in rows:
        interval = f"{row.low:.3f} to {row.high:.3f}"
        figures = (f"{row.accuracy:.3f}", interval, f"{row.first:.3f}", f"{row.choice:.3f}", f"{row.chance:.3f}")
        out.add_row(row.task, row.templates, str(row.n), *figures)
    return out


def wilson(successes: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927)."""
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def _row(task: str, templates: str, replies: Sequence[_Reply], chances: Sequence[float]) -> Competence:
    n = len(replies)
    exact = sum(r.exact for r in replies)
    low, high = wilson(exact, n)
    first, choice = sum(r.first for r in replies) / n, sum(r.choice for r in replies) / n
    return Competence(task, templates, n, exact / n, low, high, first, choice, sum(chances) / n)


def _joined(probes: Sequence[Probe]) -> list[tuple[Probe, float]]:
    """Probes with their chance levels; probes of a task whose answers touch, such as the digits of a sum, become one question."""
    out: list[tuple[Probe, float]] = []
    for probe in sorted(probes, key=lambda p: p.at):
        chance = 1 / (1 + len(probe.rivals))
        if out and out[-1][0].task == probe.task and out[-1][0].at + len(out[-1][0].answer) == probe.at:
            before, level = out.pop()
            rivals = (*(r + probe.answer for r in before.rivals), *(before.answer + r for r in probe.rivals))
            probe, chance = Probe(before.at, probe.task, before.answer + probe.answer, rivals), level * chance
        out.append((probe, chance))
    return out


def _question(tokenizer: PreTrainedTokenizerFast, document: Document, probe: Probe) -> _Question:
    """The probe's tokens are those of the document itself, so that the prompt looks as it does in running text."""
    text, after = document.text, probe.at + len(probe.answer)
    if text[probe.at : after] != probe.answer:
        raise ValueError(f"a probe of {probe.task} expects {probe.answer!r}, but its document says {text[probe.at : after]!r}")
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    start = next(i for i, (_, end) in enumerate(offsets) if end > probe.at)
    stop = next((i for i, (begin, _) in enumerate(offsets) if begin >= after), len(ids))
    rivals = []
    for rival in probe.rivals:
        other = tokenizer(text[: probe.at] + rival + text[after:], add_special_tokens=False)["input_ids"]
        differ = next((i for i in range(stop) if i >= len(other) or other[i] != ids[i]), None)
        if differ is not None and start <= differ < len(other):
            rivals.append((differ, int(other[differ])))
    left = max(0, stop - (CONTEXT - 1))
    tokens = np.array([tokenizer.bos_token_id, *ids[left:stop]], dtype=np.int64)
    return _Question(tokens, start - left + 1, tuple((position - left + 1, token) for position, token in rivals))


@torch.no_grad()
def _ask(model: LlamaForCausalLM, questions: Sequence[_Question], batch: int = 64) -> list[_Reply]:
    replies: list[_Reply] = []
    for at in range(0, len(questions), batch):
        group = questions[at : at + batch]
        longest = max(len(q.ids) for q in group)
        ids = torch.zeros(len(group), longest, dtype=torch.long)
        segments = torch.full((len(group), longest), -1)
        for row, q in enumerate(group):
            ids[row, : len(q.ids)] = torch.from_numpy(q.ids)
            segments[row, : len(q.ids)] = 0
        positions = torch.arange(longest).expand(len(group), -1)
        hidden = model.model(input_ids=ids, position_ids=positions, attention_mask=block_mask(segments), use_cache=False)
        for row, q in enumerate(group):
            logits = model.lm_head(hidden.last_hidden_state[row, q.answer - 1 : len(q.ids) - 1])
            replies.append(_reply(q, logits))
    return replies


def _reply(question: _Question, logits: Tensor) -> _Reply:
    """Judge next-token logits [answer tokens, vocabulary], read at the position before each of the answer's tokens."""
    answer = torch.from_numpy(question.ids[question.answer :])
    said = logits.argmax(-1) == answer
    choice = all(
        float(logits[position - question.answer, answer[position - question.answer]])
        > float(logits[position - question.answer, token])
        for position, token in question.rivals
    )
    return _Reply(bool(said.all()), bool(said[0]), choice)
