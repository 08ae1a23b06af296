"""Text generated under edits, with a cache, prompts of different lengths side by side.

Prompts are padded on the left. Each row's positions run on from its own first token, so that edits at positions mean the same
with the cache and without it, and in whatever batch a prompt stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from dragoman.store.errors import UserError
from dragoman.tools.subject import Subject

from . import display
from .edits import Edit, FeatureEdit, random_direction, steer
from .running import Intervention
from .texts import Text, TextBatch, batches, bos_of, prompt_batch, token_ids

MOST_TOKENS = 2_000
"""Tokens that one call generates for a prompt at most."""


@dataclass(frozen=True)
class Generated:
    """What the model said after one prompt."""

    prompt: str
    """The prompt."""
    ids: tuple[int, ...]
    """Token ids that came after it, EOS left out."""
    text: str
    """Their text."""


@dataclass(frozen=True)
class Continuation:
    """One generated text of a comparison of strengths."""

    strength: float
    """Times the features' largest activations; 0 for the unsteered text."""
    direction: str
    """`none`, `feature`, or `random` for the control of equal norm."""
    prompt: str
    """The prompt."""
    text: str
    """What came after it."""
    surprise: float | None
    """Mean loss of the generated tokens in the unsteered model, in nats a token: high where the steer broke the text."""


@dataclass(frozen=True)
class Steering:
    """The same prompts at several strengths, beside the unsteered text and a random direction of equal norm."""

    features: tuple[str, ...]
    """DICT/INDEX of what was steered."""
    amounts: tuple[float, ...]
    """Their largest activations: strength 1."""
    positions: str
    """Where the steer was added."""
    temperature: float
    """0: the likeliest token each time."""
    seed: int
    """Seed of the random direction and of sampling."""
    continuations: tuple[Continuation, ...]
    """In the order of prompts, then strengths; the random direction after the feature."""

    def __repr__(self) -> str:
        return display.steering_text(self)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return display.steering_html(self)


def compare_strengths(
    subject: Subject,
    edit: FeatureEdit,
    prompts: Sequence[Text],
    strengths: Sequence[float],
    *,
    tokens: int = 40,
    temperature: float = 0.0,
    seed: int = 0,
    bos: bool | None = None,
    control: bool = True,
) -> Steering:
    """Generate from each prompt without a steer, and at each strength with it and with a random direction of the same norm.

    Args:
        subject: the model.
        edit: the steer at strength 1, as `steer(dictionary, features, 1, maxima)` makes it; its amounts are multiplied.
        prompts: texts, or token ids without BOS.
        strengths: multiples of it; 0 is the unsteered text, which is always there.
        tokens: how many to generate.
        temperature: 0 takes the likeliest token each time.
        seed: of the random direction and of sampling.
        bos: whether BOS stands before each prompt; None: the tokenizer's habit.
        control: whether to generate with the random direction.

    Raises:
        UserError: the edit is not a steer or does not fit, a strength is not finite, or the prompts do not fit the model.
    """
    if edit.how != "add":
        raise UserError("Strengths are compared of a steer; a clamp or an ablation has none.")
    runs: list[tuple[float, str, list[Edit]]] = [(0.0, "none", [])]
    for strength in strengths:
        if strength == 0:
            continue
        scaled = steer(edit.dictionary, edit.features, strength, edit.amounts, edit.positions)
        runs.append((strength, "feature", [scaled]))
        if control:
            runs.append((strength, "random", [random_direction(scaled, seed)]))
    bos = bos_of(subject, bos)
    found: list[list[Continuation]] = [[] for _ in prompts]
    for strength, direction, edits in runs:
        made = generate(subject, prompts, edits, tokens=tokens, temperature=temperature, seed=seed, bos=bos)
        surprises = surprise(subject, prompts, made, bos)
        for row, (said, loss) in enumerate(zip(made, surprises, strict=True)):
            found[row].append(Continuation(strength, direction, said.prompt, said.text, loss))
    name = edit.dictionary.facts.name
    return Steering(
        features=tuple(f"{name}/{feature}" for feature in edit.features),
        amounts=edit.amounts,
        positions=str(edit.positions),
        temperature=temperature,
        seed=seed,
        continuations=tuple(c for row in found for c in row),
    )


@torch.inference_mode()
def generate(
    subject: Subject,
    prompts: Sequence[Text],
    edits: Sequence[Edit] = (),
    *,
    tokens: int = 40,
    temperature: float = 0.0,
    seed: int = 0,
    bos: bool | None = None,
    cache: bool = True,
) -> list[Generated]:
    """Continue the prompts under edits.

    Args:
        subject: the model.
        prompts: texts, or token ids without BOS; they may differ in length.
        edits: applied in every forward pass, at their positions.
        tokens: at most so many new tokens; a text ends earlier at EOS.
        temperature: 0 takes the likeliest token each time.
        seed: of sampling; each prompt draws from its own stream.
        bos: whether BOS stands before each prompt; None: the tokenizer's habit.
        cache: keep keys and values; without, everything is computed anew at each token, which gives the same text.

    Raises:
        UserError: a number is out of range, an edit does not fit, or prompt and new tokens are longer than the model takes.
    """
    if not 1 <= tokens <= MOST_TOKENS:
        raise UserError(f"{tokens} tokens cannot be generated: ask for 1 to {MOST_TOKENS:,}.")
    if not 0 <= temperature < float("inf"):
        raise UserError(f"The temperature {temperature} must be a finite number, 0 or above.")
    bos = bos_of(subject, bos)
    ids = token_ids(subject, prompts, bos, room=tokens)
    batch = prompt_batch(subject, ids, bos, tokens)
    intervention = Intervention(subject, edits)
    pick = _Picker(temperature, seed, len(ids))
    with ExitStack() as stack:
        stack.enter_context(subject.packed())
        stack.enter_context(intervention.active(batch.layout))
        new = _loop(subject, batch, intervention, pick, tokens, cache)
    return [_said(subject, prompt, own, row) for prompt, own, row in zip(prompts, ids, new.tolist(), strict=True)]


def surprise(subject: Subject, prompts: Sequence[Text], made: Sequence[Generated], bos: bool) -> list[float | None]:
    """Mean loss of the generated tokens in the unedited model, in nats a token; None where nothing was generated."""
    ids = token_ids(subject, prompts, bos)
    whole = [np.concatenate([own, np.array(said.ids, own.dtype)]) for own, said in zip(ids, made, strict=True)]
    found: list[float | None] = []
    for batch in batches(subject, whole, bos):
        logits = subject.logits(batch.ids)
        for row in range(len(logits)):
            number = batch.first + row
            first, prompt, end = int(batch.layout.first[row]), len(ids[number]), len(whole[number])
            if end == prompt:
                found.append(None)
                continue
            following = torch.from_numpy(whole[number][prompt:].astype(np.int64)).to(logits.device)
            predicted = torch.log_softmax(logits[row, first + prompt - 1 : first + end - 1], -1)
            found.append(float(-predicted.gather(1, following[:, None]).mean()))
    return found


def _loop(
    subject: Subject, batch: TextBatch, intervention: Intervention, pick: _Picker, tokens: int, cache: bool
) -> Int[Tensor, "batch tokens"]:
    """New token ids; after EOS a row repeats it."""
    from transformers import DynamicCache

    ids = batch.ids.to(subject.device)
    columns = torch.arange(ids.shape[1] + tokens, device=subject.device)
    start = torch.from_numpy(batch.layout.first - int(batch.layout.bos)).to(subject.device)[:, None]
    real = (columns >= start).long()
    places = (columns - start).clamp(min=0)
    stop = _eos(subject)
    past = DynamicCache(config=subject.text_config) if cache else None
    done = torch.zeros(len(ids), dtype=torch.bool, device=subject.device)
    for _ in range(tokens):
        seen = past.get_seq_length() if past is not None else 0
        end = ids.shape[1]
        intervention.at(seen)
        inputs: dict[str, Any] = {"past_key_values": past, "use_cache": True} if cache else {}
        if bool((start > 0).any()):
            inputs["attention_mask"] = real[:, :end]
        inputs["position_ids"] = places[:, seen:end]
        logits = subject.logits(ids[:, seen:], last=1, **inputs)[:, -1]
        chosen = pick(logits)
        if stop.numel():
            chosen = torch.where(done, stop[0], chosen)
            done |= torch.isin(chosen, stop)
        ids = torch.cat([ids, chosen[:, None]], 1)
        if bool(done.all()):
            break
    return ids[:, batch.ids.shape[1] :]


class _Picker:
    """Chooses the next token of each row."""

    def __init__(self, temperature: float, seed: int, rows: int) -> None:
        self.temperature = temperature
        self.streams = [torch.Generator().manual_seed((seed << 20) + row) for row in range(rows)]

    def __call__(self, logits: Float[Tensor, "batch vocabulary"]) -> Int[Tensor, " batch"]:
        if self.temperature == 0:
            return logits.argmax(-1)
        shares = torch.softmax(logits / self.temperature, -1).cpu()
        drawn = [torch.multinomial(row, 1, generator=stream) for row, stream in zip(shares, self.streams, strict=True)]
        return torch.cat(drawn).to(logits.device)


def _eos(subject: Subject) -> Int[Tensor, " n"]:
    """Ids that end a text, as the model's configuration and the tokenizer say."""
    configured = getattr(subject.model.generation_config, "eos_token_id", None)
    ids = configured if isinstance(configured, list) else [configured, subject.tokenizer.eos_token_id]
    return torch.tensor(sorted({int(i) for i in ids if i is not None}), dtype=torch.long, device=subject.device)


def _said(subject: Subject, prompt: Text, own: np.ndarray, new: list[int]) -> Generated:
    stop = set(_eos(subject).tolist())
    ids = new[: next((at for at, token in enumerate(new) if token in stop), len(new))]
    decode = subject.tokenizer.backend_tokenizer.decode
    before = decode(own.tolist(), skip_special_tokens=False)
    whole = decode([*own.tolist(), *ids], skip_special_tokens=False)
    text = whole[len(before) :] if whole.startswith(before) else decode(ids, skip_special_tokens=False)
    return Generated(prompt if isinstance(prompt, str) else before, tuple(ids), text)
