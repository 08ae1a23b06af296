"""Which heads and features carry indirect objects and induction: found by what their ablation does, checked on other documents.

Probes that the model answers rightly are halved by document. On the first half:

- heads (to their mean over training text) are added one by one to the set whose ablation costs the task most, less `_PRICE` times
  what it costs the control that it harms most, since heads that stand in for one another show only together;
- features (to zero, the error term kept), those whose direction speaks most for the answers, are ablated alone; chosen are those
  that cost the task most, among those that cost no control more than a share of `_SPARED` of that.

On the second half the chosen ones are ablated together, beside random sets of the same size: of heads, and of features that are
as active at the same points.

The margin is the answer's logit minus the mean of its rivals' (at the first token in which they differ); accuracy is the share of
probes at which the answer's token is still the likeliest of the vocabulary.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from dragoman.evals.organism.competence import Question, question
from dragoman.evals.organism.document import Document
from dragoman.evals.organism.tokens import CONTEXT, token_ids
from dragoman.tools.dictionaries import Dictionary
from dragoman.tools.interventions import Edit, Intervention, Means, ablate, heads
from dragoman.tools.interventions.means import mean_of
from dragoman.tools.interventions.positions import right_padded
from dragoman.tools.logits import direct_effects
from dragoman.tools.source import padded
from dragoman.tools.subject import Subject

TASKS = ("ioi", "induction")
CONTROLS = ("fact.city", "html.close", "person.known", "sum.seen")
"""Tasks that the model does well and that rest on something else."""
HEADS, FEATURES = 3, 30
"""How many are ablated together."""
_TRIED = 60
"""Features ablated one by one: those with the largest activation times direct effect on the margin, summed over the probes."""
_SPARED = 0.25
"""A unit is not chosen that costs a control more than this share of what it costs the task."""
_PRICE = 2.0
"""What a unit of margin lost on a control weighs beside one lost on the task, when heads are chosen."""
_DRAWS = 3
_NEAREST = 6
"""A random feature is drawn from so many that are about as active as the chosen one it stands for."""
_BATCH = 32


@dataclass(frozen=True, slots=True)
class Asked:
    """Probes of one task as tokens."""

    ids: tuple[NDArray[np.int64], ...]
    """BOS and prompt, up to the token before the answer."""
    answers: NDArray[np.int64]
    """First token of each answer."""
    rivals: tuple[tuple[int, ...], ...]
    """First tokens of the rivals, where they differ from the answer there."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One task under one ablation."""

    task: str
    """The probes' task."""
    accuracy: float
    """Share of probes at which the answer's token is the likeliest; 1 without an ablation."""
    margin: float
    """Mean of the answer's logit minus the mean of its rivals'."""
    kl: float
    """Mean KL(clean || ablated) at the answer, in nats."""


@dataclass(frozen=True, slots=True)
class Ablation:
    """One set of units, ablated together on the second half."""

    name: str
    """What was ablated, and for which task it was chosen."""
    units: tuple[str, ...]
    """Heads as LAYER.HEAD, features as DICT/INDEX; empty for random sets, over which the figures are means."""
    figures: tuple[Figure, ...]
    """One for each task and control."""


@dataclass(frozen=True, slots=True)
class Circuits:
    """The whole table."""

    found_on: dict[str, int]
    """Probes of each task in the first half."""
    reported_on: dict[str, int]
    """Probes of each task in the second half."""
    ablations: tuple[Ablation, ...]
    """The first is no ablation at all."""


def measure(
    subject: Subject,
    dictionary: Dictionary,
    documents: Iterable[Document],
    training: Iterable[Document],
    *,
    limit: int = 75,
    seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> Circuits:
    """Find heads and features on one half of the documents, and ablate them on the other.

    Args:
        subject: the organism.
        dictionary: a dictionary of its residual stream.
        documents: held-out documents.
        training: training documents, for the mean outputs of heads.
        limit: probes of each task in the second half, at most; the first half has a third as many.
        seed: of the random sets.
        progress: told what is being done.
    """
    means = mean_of(
        subject,
        list(token_ids(subject.tokenizer, training)),
        [f"z.{n}" for n in range(subject.layers)],
        "tokens of the organism's training text",
        bos=True,
        window=CONTEXT - 1,
    )
    halves = [{task: _right(subject, asked) for task, asked in half.items()} for half in _halves(subject, documents, limit)]
    finding, reporting = (_Half(subject, half) for half in halves)
    every = [f"{layer}.{head}" for layer in range(subject.layers) for head in range(subject.heads)]
    rng = np.random.default_rng(seed)
    ablations = [reporting.ablation("none", (), [[]])]
    for task in TASKS:
        progress(f"{task}: {len(every)} heads")
        chosen = finding.add(task, every, lambda names: _heads(subject, means, names), HEADS)
        ablations.append(reporting.ablation(f"heads for {task}", chosen, [_heads(subject, means, chosen)]))
        others = [name for name in every if name not in chosen]
        draws = [_heads(subject, means, _drawn(rng, others, len(chosen))) for _ in range(_DRAWS)]
        ablations.append(reporting.ablation(f"{len(chosen)} random heads", (), draws))

        active, speaks = _active(subject, dictionary, halves[0][task])
        tried = [str(f) for f in np.argsort(-speaks, kind="stable")[:_TRIED] if speaks[f] > 0]
        progress(f"{task}: {len(tried)} features one by one")
        picked = finding.choose(task, tried, lambda name: [ablate(dictionary, [int(name)])], FEATURES)
        name = dictionary.facts.name
        together: list[Edit] = [ablate(dictionary, [int(f) for f in picked])] if picked else []
        ablations.append(reporting.ablation(f"features for {task}", tuple(f"{name}/{f}" for f in picked), [together]))
        if picked:
            sets = [[ablate(dictionary, _alike(rng, active, [int(f) for f in picked]))] for _ in range(_DRAWS)]
            ablations.append(reporting.ablation(f"{len(picked)} random features as active there", (), sets))
    counts = [{task: len(asked.ids) for task, asked in half.items()} for half in halves]
    return Circuits(counts[0], counts[1], tuple(ablations))


def table(found: Circuits) -> Table:
    """The figures for a terminal: accuracy, and the margin with its change."""
    out = Table(title="Ablations on the second half of the documents: accuracy (margin, KL)")
    out.add_column("ablated")
    for task, n in found.reported_on.items():
        out.add_column(f"{task} ({n})", justify="right")
    for row in found.ablations:
        out.add_row(row.name, *(f"{f.accuracy:.3f} ({f.margin:+.2f}, {f.kl:.3f})" for f in row.figures))
    chosen = [f"{row.name}: {', '.join(row.units)}" for row in found.ablations if row.units]
    out.caption, out.caption_justify = "\n".join(chosen), "left"
    return out


class _Half:
    """The probes of one half, with the clean predictions."""

    def __init__(self, subject: Subject, asked: dict[str, Asked]) -> None:
        self.subject, self.asked = subject, asked
        self.clean = {task: predictions(subject, probes, []) for task, probes in asked.items()}

    def ablation(self, name: str, units: Sequence[str], draws: Sequence[Sequence[Edit]]) -> Ablation:
        """The figures of a set of edits; of several sets, their means."""
        figures = [[self.figure(task, edits) for edits in draws] for task in self.asked]
        means = tuple(
            Figure(
                each[0].task,
                float(np.mean([f.accuracy for f in each])),
                float(np.mean([f.margin for f in each])),
                float(np.mean([f.kl for f in each])),
            )
            for each in figures
        )
        return Ablation(name, tuple(units), means)

    def figure(self, task: str, edits: Sequence[Edit]) -> Figure:
        """One task under some edits."""
        asked, clean = self.asked[task], self.clean[task]
        logp = predictions(self.subject, asked, edits) if edits else clean
        kl = (clean.exp() * (clean - logp)).sum(-1).clamp(min=0)
        accuracy = (logp.argmax(-1).numpy() == asked.answers).mean()
        return Figure(task, float(accuracy), float(_margins(asked, logp).mean()), float(kl.mean()))

    def lost(self, task: str, edits: Sequence[Edit]) -> tuple[float, float]:
        """By how much edits lower the task's margin, and by how much that of the control they harm most (at least 0)."""
        lost = {t: self.figure(t, []).margin - self.figure(t, edits).margin for t in (task, *CONTROLS) if t in self.asked}
        return lost[task], max(0.0, *(lost[t] for t in CONTROLS if t in lost))

    def add(
        self, task: str, names: Sequence[str], edits: Callable[[Sequence[str]], Sequence[Edit]], count: int
    ) -> tuple[str, ...]:
        """`count` units, each the best addition to those before it."""
        chosen: list[str] = []
        while len(chosen) < count:
            scores = {}
            for name in names:
                if name not in chosen:
                    task_lost, control_lost = self.lost(task, edits([*chosen, name]))
                    scores[name] = task_lost - _PRICE * control_lost
            chosen.append(max(scores, key=lambda name: scores[name]))
        return tuple(chosen)

    def choose(self, task: str, names: Sequence[str], edits: Callable[[str], Sequence[Edit]], count: int) -> tuple[str, ...]:
        """The units whose ablation costs the task's margin most, among those that spare the controls."""
        scores = []
        for name in names:
            own = edits(name)
            task_lost, control_lost = self.lost(task, own)
            scores.append(task_lost if control_lost <= _SPARED * task_lost else 0.0)
        order = np.argsort(-np.array(scores), kind="stable")[:count]
        return tuple(names[i] for i in order if scores[i] > 0)


@torch.inference_mode()
def predictions(subject: Subject, asked: Asked, edits: Sequence[Edit]) -> torch.Tensor:
    """Log-probabilities of the token after each prompt, (probes, vocabulary), in float32 on the CPU."""
    intervention = Intervention(subject, edits)
    parts = []
    for first in range(0, len(asked.ids), _BATCH):
        rows = [ids[1:] for ids in asked.ids[first : first + _BATCH]]
        batch = torch.from_numpy(padded(rows, subject.bos_id).ids)
        with intervention.active(right_padded([len(row) for row in rows], True)):
            logits = subject.logits(batch)
        last = torch.tensor([len(row) for row in rows], device=logits.device)
        parts.append(torch.log_softmax(logits[torch.arange(len(rows)), last], -1).cpu())
    return torch.cat(parts)


def _margins(asked: Asked, logp: torch.Tensor) -> NDArray[np.float64]:
    return np.array(
        [
            float(row[answer]) - float(row[list(rivals)].mean())
            for row, answer, rivals in zip(logp, asked.answers.tolist(), asked.rivals, strict=True)
        ]
    )


def _halves(subject: Subject, documents: Iterable[Document], limit: int) -> tuple[dict[str, Asked], dict[str, Asked]]:
    """Probes of every task and control, halved by a hash of the document's text."""
    found: tuple[dict[str, list[Question]], dict[str, list[Question]]] = (defaultdict(list), defaultdict(list))
    for document in documents:
        which = hashlib.sha256(document.text.encode()).digest()[0] % 2
        for probe in document.probes:
            if probe.task in (*TASKS, *CONTROLS) and len(found[which][probe.task]) < (limit if which else limit // 3):
                found[which][probe.task].append(question(subject.tokenizer, document, probe))
    return tuple({task: _asked(half[task]) for task in (*TASKS, *CONTROLS) if half[task]} for half in found)  # type: ignore[return-value]


def _asked(questions: Sequence[Question]) -> Asked:
    kept = [(q, tuple(token for at, token in q.rivals if at == q.answer)) for q in questions]
    kept = sorted(((q, rivals) for q, rivals in kept if rivals and q.answer > 1), key=lambda pair: pair[0].answer)
    answers = np.array([q.ids[q.answer] for q, _ in kept], np.int64)
    return Asked(tuple(q.ids[: q.answer] for q, _ in kept), answers, tuple(rivals for _, rivals in kept))


def _right(subject: Subject, asked: Asked) -> Asked:
    """The probes that the model answers rightly."""
    right = np.flatnonzero(predictions(subject, asked, []).argmax(-1).numpy() == asked.answers)
    return Asked(tuple(asked.ids[i] for i in right), asked.answers[right], tuple(asked.rivals[i] for i in right))


def _heads(subject: Subject, means: Means, names: Sequence[str]) -> list[Edit]:
    pairs = [tuple(map(int, name.split("."))) for name in names]
    return [heads(subject, layer, [head], means) for layer, head in pairs]


def _drawn(rng: np.random.Generator, names: Sequence[str], count: int) -> list[str]:
    return [names[i] for i in rng.choice(len(names), min(count, len(names)), replace=False)]


def _alike(rng: np.random.Generator, active: NDArray[np.float64], picked: Sequence[int]) -> list[int]:
    """For each feature another one, drawn from those nearest in activity."""
    found: list[int] = []
    for feature in picked:
        others = [f for f in np.argsort(np.abs(active - active[feature]), kind="stable").tolist() if f not in (*picked, *found)]
        found.append(int(rng.choice(others[:_NEAREST])))
    return found


@torch.inference_mode()
def _active(subject: Subject, dictionary: Dictionary, asked: Asked) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At the tokens before the answers: mean activation of each feature, and that times its direct effect on the margin."""
    hook = dictionary.facts.hook_in
    effects = direct_effects(subject, dictionary.directions).cpu().double()
    active, speaks = torch.zeros(dictionary.width).double(), torch.zeros(dictionary.width).double()
    for ids, answer, rivals in zip(asked.ids, asked.answers.tolist(), asked.rivals, strict=True):
        x = subject.capture(torch.from_numpy(ids)[None], [hook])[hook][0, -1:]
        codes = dictionary.encode(x)[0].cpu().double()
        active += codes
        speaks += codes * (effects[:, answer] - effects[:, list(rivals)].mean(1))
    n = max(1, len(asked.ids))
    return (active / n).numpy(), (speaks / n).numpy()
