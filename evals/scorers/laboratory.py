"""What generative and causal scores need of the world, and how a store with its model gives it.

Detection and simulation ask about stored activations. The scores of `generation.py`, `counterfactual.py` and `intervention.py`
ask what happens on texts that nobody has stored: texts that a judge wrote, edited contexts, continuations under a steer. A
laboratory answers that. No answer of it is ever shown to a judge, apart from the texts themselves.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import zip_longest
from types import TracebackType
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from dragoman.evals.judge.reader import Passage
from dragoman.store.errors import UserError
from dragoman.tools.edit import Edited, apply
from dragoman.tools.edits import Edit
from dragoman.tools.gauge import Gauge
from dragoman.tools.intervene import steers
from dragoman.tools.interventions import FeatureEdit, Intervention, generate, random_direction
from dragoman.tools.interventions.texts import batches, token_ids
from dragoman.tools.pairs import small_edits
from dragoman.tools.probe import gauge_of
from dragoman.tools.prompt import Prompt
from dragoman.tools.workbench import Workbench

Values = Float[NDArray[np.float32], " tokens"]
T = TypeVar("T")

WEAKEST, STRONGEST = -5.0, 7.0
"""Base-2 logarithms of the strengths between which one is looked for, in train maxima of the feature."""
_HALVINGS = 9
_TUNED_ON = 12
_KEPT = 512
"""Answers that are kept."""


class Altered(NamedTuple):
    """A passage after one small edit."""

    passage: Passage
    """What stands there now."""
    done: str
    """The edit in a few words; for people, never shown to a judge."""


class Steer(NamedTuple):
    """What pushes the model while it writes, at every token."""

    feature: int
    """Global id."""
    strength: float
    """So many train maxima of the feature are added to it."""
    random: int | None = None
    """Seed of a random direction that is added instead, with the norm that the feature would have had."""


class Tuned(NamedTuple):
    """A strength found for a stated effect."""

    strength: float
    """In train maxima of the feature."""
    kl: float
    """KL(clean || steered) of the next token after the prompts at that strength, in nats; below what was asked for where
    no strength reaches it."""


class Laboratory(Protocol):
    """A world in which features can be tried. Texts are given as passages: ids as the subject's tokenizer makes them."""

    @property
    def rivals(self) -> Sequence[int]:
        """Global ids of the live features whose steer can stand beside that of the feature under test."""
        ...

    async def passages(self, texts: Sequence[str]) -> list[Passage]:
        """Texts as the subject reads them, cut to a window of the store; a text without tokens is an empty passage."""
        ...

    async def activations(self, feature: int, passages: Sequence[Passage]) -> list[Values]:
        """The feature's activation on every token of each passage."""
        ...

    async def alter(self, feature: int, passage: Passage, most: int, seed: int) -> list[Altered]:
        """At most so many small edits of a passage's end, of every kind alike, chosen without a look at what they do."""
        ...

    async def tune(self, feature: int, prompts: Sequence[Passage], kl: float, random: int | None = None) -> Tuned:
        """The strength at which a steer changes the next token after the prompts by this KL on average."""
        ...

    async def continuations(self, prompts: Sequence[Passage], steer: Steer | None, tokens: int, seed: int) -> list[str]:
        """What the model writes after each prompt, sampled at temperature 1: unsteered (None) or under a steer."""
        ...


class WorkbenchLaboratory:
    """The laboratory of a store with its model and dictionaries. All of it runs on one thread beside the event loop.

    Answers are kept for a while: a shuffled label asks for what its feature's own label asked for, and continuations under a
    feature stand beside those of many others.
    """

    reach = 8
    """Tokens before the last one of a passage that edits are about."""
    substitutes = 2
    """Words of its kind tried in the place of each word."""

    def __init__(self, bench: Workbench) -> None:
        """`bench` is used from the laboratory's thread only; whoever opened it closes it after `close`."""
        self.bench = bench
        self._thread = ThreadPoolExecutor(1, "laboratory")
        self._kept: OrderedDict[object, list[Any]] = OrderedDict()
        self._probes: OrderedDict[int, Gauge] = OrderedDict()
        self._live: tuple[int, ...] | None = None

    def __enter__(self) -> WorkbenchLaboratory:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Wait for what is running and end the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    @property
    def rivals(self) -> Sequence[int]:
        """Live features."""
        if self._live is None:
            self._live = tuple(self.bench.store.features("live"))
        return self._live

    async def passages(self, texts: Sequence[str]) -> list[Passage]:
        """Texts as the subject reads them, cut to a window."""
        return await self._run(lambda: [self._passage(text) for text in texts])

    async def activations(self, feature: int, passages: Sequence[Passage]) -> list[Values]:
        """The feature's activation on every token of each passage, as a harvest would store it."""
        key = ("activations", feature, tuple(passage.ids for passage in passages))
        return await self._run(lambda: self._keep(key, lambda: self._activations(feature, passages)))

    async def alter(self, feature: int, passage: Passage, most: int, seed: int) -> list[Altered]:
        """Small edits of the last tokens (see `tools/pairs.py`); those that the tokenizer would cut otherwise are left out."""
        key = ("altered", feature, passage.ids, most, seed)
        return await self._run(lambda: self._keep(key, lambda: self._alter(feature, passage, most, seed)))

    async def tune(self, feature: int, prompts: Sequence[Passage], kl: float, random: int | None = None) -> Tuned:
        """Halves the interval of strengths; the KL is read at the last token of the first prompts.

        Raises:
            UserError: the feature cannot be steered.
        """
        prompts = prompts[:_TUNED_ON]
        key = ("tuned", feature, random, kl, tuple(p.ids for p in prompts))
        (tuned,) = await self._run(lambda: self._keep(key, lambda: [self._tune(feature, random, prompts, kl)]))
        return tuned

    async def continuations(self, prompts: Sequence[Passage], steer: Steer | None, tokens: int, seed: int) -> list[str]:
        """Sampled continuations, all prompts in one batch.

        Raises:
            UserError: the feature cannot be steered.
        """
        key = ("written", steer, tokens, seed, tuple(p.ids for p in prompts))
        return await self._run(lambda: self._keep(key, lambda: self._written(prompts, steer, tokens, seed)))

    # On the laboratory's thread

    def _passage(self, text: str) -> Passage:
        prompt = Prompt.from_text(self.bench.speaker, text)
        return Passage(prompt.strings[: self.bench.window], prompt.ids[: self.bench.window])

    def _activations(self, feature: int, passages: Sequence[Passage]) -> list[Values]:
        filled = [n for n, passage in enumerate(passages) if passage.ids]
        values = self._probe(feature).values([passages[n].ids for n in filled])
        found: list[Values] = [np.zeros(0, np.float32)] * len(passages)
        for n, row in zip(filled, values, strict=True):
            found[n] = row
        return found

    def _alter(self, feature: int, passage: Passage, most: int, seed: int) -> list[Altered]:
        probe = self._probe(feature)
        prompt = Prompt.from_ids(probe.speaker, passage.ids)
        kinds: dict[type, list[Edit]] = defaultdict(list)
        for edit in small_edits(probe, prompt, self.reach, self.substitutes):
            kinds[type(edit)].append(edit)
        random = np.random.default_rng([seed, feature, len(passage.ids)])
        mixed = [[edits[n] for n in random.permutation(len(edits))] for edits in kinds.values()]
        found: dict[tuple[int, ...], Altered] = {}
        for edit in (edit for layer in zip_longest(*mixed) for edit in layer if edit is not None):
            if len(found) == most:
                break
            edited = self._edited(probe, prompt, edit)
            if edited is not None and edited.ids not in found and edited.ids != prompt.ids:
                found[edited.ids] = Altered(Passage(edited.strings, edited.ids), str(edit))
        return list(found.values())

    def _edited(self, probe: Gauge, prompt: Prompt, edit: Edit) -> Prompt | None:
        """The prompt after an edit, None where it cannot be made or the tokenizer would cut the new text otherwise."""
        try:
            edited: Edited = apply(probe, prompt, [edit])
        except UserError:
            return None
        after = edited.after
        return after if after.canonical and len(after) <= self.bench.window else None

    def _tune(self, feature: int, random: int | None, prompts: Sequence[Passage], wanted: float) -> Tuned:
        effect = _Effect(self.bench, [p.ids for p in prompts])

        def tried(power: float) -> Tuned:
            return Tuned(2.0**power, effect.kl(self._edit(Steer(feature, 2.0**power, random))))

        low, high = WEAKEST, STRONGEST
        best = tried(STRONGEST)
        if best.kl <= wanted:
            return best
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            found = tried(middle)
            best = min(best, found, key=lambda tuned: abs(tuned.kl - wanted))
            low, high = (low, middle) if found.kl > wanted else (middle, high)
        return best

    def _edit(self, steer: Steer) -> FeatureEdit:
        (edit,) = steers(self.bench, [steer.feature], steer.strength)
        return edit if steer.random is None else random_direction(edit, steer.random)

    def _written(self, prompts: Sequence[Passage], steer: Steer | None, tokens: int, seed: int) -> list[str]:
        made = generate(
            self.bench.subject,
            [p.ids for p in prompts],
            [] if steer is None else [self._edit(steer)],
            tokens=tokens,
            temperature=1.0,
            seed=seed,
            bos=self.bench.prepend_bos,
        )
        return [said.text for said in made]

    def _probe(self, feature: int) -> Gauge:
        if feature not in self._probes:
            self._probes[feature] = gauge_of(self.bench, feature)
            while len(self._probes) > _KEPT:
                self._probes.popitem(last=False)
        return self._probes[feature]

    def _keep(self, key: object, make: Callable[[], list[T]]) -> list[T]:
        """A copy of what was made for this key."""
        if key not in self._kept:
            self._kept[key] = make()
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return list(self._kept[key])

    async def _run(self, work: Callable[[], T]) -> T:
        def alone() -> T:
            with self.bench.lock:
                return work()

        return await asyncio.get_running_loop().run_in_executor(self._thread, alone)


class _Effect:
    """KL(clean || steered) of the token after some prompts; the clean pass is made once."""

    def __init__(self, bench: Workbench, ids: Sequence[tuple[int, ...]]) -> None:
        self.subject = bench.subject
        rows = token_ids(self.subject, ids, bench.prepend_bos)
        self._batches = list(batches(self.subject, rows, bench.prepend_bos))
        self._clean = self._predictions(None)

    def kl(self, edit: FeatureEdit) -> float:
        """Mean over the prompts, in nats."""
        steered = self._predictions(Intervention(self.subject, [edit]))
        return float((self._clean.exp() * (self._clean - steered)).sum(-1).clamp(min=0).mean())

    @torch.inference_mode()
    def _predictions(self, intervention: Intervention | None) -> Float[Tensor, "prompts vocabulary"]:
        """Log-probabilities of the next token after each prompt."""
        found = []
        for batch in self._batches:
            with nullcontext() if intervention is None else intervention.active(batch.layout):
                logits = self.subject.logits(batch.ids)
            last = torch.from_numpy(batch.layout.first + batch.layout.tokens - 1).to(logits.device)
            found.append(torch.log_softmax(logits[torch.arange(len(logits), device=logits.device), last].float(), -1))
        return torch.cat(found)
