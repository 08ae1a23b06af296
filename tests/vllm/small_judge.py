"""The small judge: a language model that answers the prompts of evals/judge/prompts about labels like "fires on the word X".

It makes `make test-vllm` a test of real requests to a real model that knows the answers. Made again, from a seed, after a change
of the prompts (some minutes on one core):

    python -m tests.vllm.small_judge
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from dragoman.evals.gateway.calls import Message
from dragoman.evals.judge import prompting
from dragoman.evals.organism.train import save_model
from tests.vllm.exams import Claim, draw, texts, words

FOLDER = Path(__file__).parent / "small_judge"
BOS, END, PAD = "<|begin|>", "<|end|>", "<|pad|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
HEAD = 32


@dataclass(frozen=True)
class Settings:
    """Shape of the judge and how long it is trained."""

    vocabulary: int = 3072
    """Entries of the tokenizer."""
    width: int = 192
    """Residual stream."""
    layers: int = 3
    """Blocks."""
    hidden: int = 384
    """Units of each block's MLP."""
    tokens: int = 1_500_000
    """Tokens read in training."""
    bare: float = 0.3
    """Share of training on short prompts that hold little besides what has to be compared: matching is learned there."""
    rate: float = 3e-3
    """Of AdamW."""
    rows: int = 3
    """Rows in a step."""
    length: int = 1024
    """Tokens in a row."""


@dataclass(frozen=True)
class Example:
    """Tokens of one prompt with its answer."""

    prefix: str
    """Which prompts it shares its beginning with."""
    ids: list[int]
    """The whole prompt and its answer."""
    targets: dict[int, int]
    """Token to be predicted, by the position that predicts it."""


def main() -> None:
    """Train, and write the judge in half precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--tokens", type=int, default=Settings.tokens)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    tokenizer = train_tokenizer(rng, Settings.vocabulary)
    save_model(train(tokenizer, Settings(tokens=given.tokens), given.seed), tokenizer, given.out)


def train_tokenizer(rng: np.random.Generator, vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE over prompts and texts. A space, a digit and a mark are tokens of their own, so that a word is the same
    tokens in a claim, in a text, on a line and between marks.
    """
    tokenizer = Tokenizer(models.BPE())
    split = Regex(r" |\d|\n|\t|<<|>>|[^\w\s<>|]")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(split, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        [
            *texts(),
            *(" ".join(part) for part in words() for _ in range(40)),
            *(text for _ in range(200) for text, _, _ in prompts(draw(rng), rng)),
        ],
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=[BOS, END, PAD, *ROLES],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    wrapped = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=END, pad_token=PAD, clean_up_tokenization_spaces=False
    )
    wrapped.chat_template = TEMPLATE
    return wrapped


def prompts(claim: Claim, rng: np.random.Generator, bare: bool = False) -> list[tuple[str, str, str]]:
    """What is asked about a claim: (text up to the answer, answer, kind). In a listing, the answer is a digit for each slot.

    `bare`: about short texts, and from the claim on only, without what always stands before it.
    """
    asked = [claim.question(rng, bool(rng.random() < 0.5), *((3, 10) if bare else ())) for _ in range(4)]
    form = prompting.PERCENT if rng.random() < 0.15 else prompting.YES_NO
    made = []
    for question in asked:
        cut, fires = question.passage, any(question.fires)
        made.append(_chat(prompting.detection(claim.text, cut, form), fires, form))
        for right in rng.permutation(2)[: int(rng.integers(3))] if fires else ():
            marked = question.marked(bool(right), rng)
            made.append(_chat(prompting.fuzzing(claim.text, marked, form), bool(right), form))
    listed = "".join("90"[not f] for question in asked[:2] for f in question.fires)
    made.append((BOS + prompting.listing(claim.text, [question.passage for question in asked[:2]]), listed, "listing"))
    if bare:
        made = [(text[text.rindex("<claim>") :], answer, kind) for text, answer, kind in made]
    return made


def examples(tokenizer: PreTrainedTokenizerFast, rng: np.random.Generator, bare: bool = False) -> Iterator[Example]:
    """Prompts without end, with the tokens to be predicted."""
    digits = [_id(tokenizer, str(d)) for d in range(10)]
    slot, tab, end = (_id(tokenizer, token) for token in ("?", "ĉ", END))
    while True:
        for text, answer, kind in prompts(draw(rng), rng, bare):
            ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
            if kind != "chat":
                slots = [i for i, (a, b) in enumerate(pairwise(ids)) if (a, b) == (tab, slot)][-len(answer) :]
                yield Example(kind, ids, {i: digits[int(a)] for i, a in zip(slots, answer, strict=True)})
            else:
                said: list[int] = [*tokenizer(answer, add_special_tokens=False)["input_ids"], end]
                whole = ids + said
                yield Example(kind, whole[:-1], {len(ids) - 1 + i: said[i] for i in range(len(said))})


def train(tokenizer: PreTrainedTokenizerFast, settings: Settings, seed: int) -> LlamaForCausalLM:
    """Train a Llama, and return it in float32."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(_config(tokenizer, settings))
    wire(model, *(_id(tokenizer, token) for token in ("word", "<<", "Ġ")))
    model.set_attn_implementation("sdpa")
    last = model.model.layers[-1]
    norms = [last.post_attention_layernorm.weight, model.model.norm.weight]
    learned = [last.self_attn.o_proj.weight, *last.mlp.parameters(), *norms]
    model.requires_grad_(False)
    for parameter in learned:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(learned, lr=settings.rate, betas=(0.9, 0.98), weight_decay=0.0)
    soft = _digit_targets(tokenizer)
    steps = settings.tokens // (settings.rows * settings.length)
    began, losses = time.monotonic(), []
    rng, pad = np.random.default_rng(seed + 1), tokenizer.pad_token_id
    bare = islice(batches(examples(tokenizer, rng, bare=True), settings, pad), int(settings.bare * steps))
    for step, batch in enumerate(islice(chain(bare, batches(examples(tokenizer, rng), settings, pad)), steps)):
        share = min(1.0, (step + 1) / 30, 2.5 * (1 - step / steps))
        for group in optimizer.param_groups:
            group["lr"] = settings.rate * max(1e-3, share)
        loss = _loss(model, batch, soft)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        model.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
        if (step + 1) % 25 == 0:
            seconds = time.monotonic() - began
            print(f"{step + 1}/{steps} loss {np.mean(losses[-25:]):.4f} {seconds:.0f} s", file=sys.stderr, flush=True)
    model.train(False)
    return model


OWN = 3
"""Tokens whose code overlaps with no other: the cue, the mark and the space."""
CODE, BEFORE, BEFORE_THAT, MATCH, MATCH_TOO, CONSTANT = 0, 64, 96, 128, 160, 191
"""Where wired parts begin in the residual stream: a token's code, codes of tokens before it, what matches fetched; a constant."""


@torch.no_grad()
def wire(model: LlamaForCausalLM, cue: int, mark: int, space: int) -> None:
    """Set weights that compare the words of a text with the claim's word; see evals/organism/wiring.py for the why.

    Embeddings are random codes: a word that no claim has named is compared as well as any other. Two heads of the first block
    fetch the codes of the token before and of the one before that (a space is a token). Two heads of the second block find the
    same token elsewhere and fetch what stood before it there: where that is `cue`, the end of "fires on the word", it is the
    claim's word. In the third block one head hands this on to the next token (for listings), one looks for it anywhere but in
    the claim itself (for detection), and one looks for it right after `mark` (for fuzzing). What is learned is the rest of the
    third block: what to say when it is found, and when not.
    """
    half = HEAD // 2
    table: Tensor = model.model.embed_tokens.weight
    table.zero_()
    codes = torch.nn.functional.normalize(torch.randn(len(table), BEFORE - CODE - OWN), dim=1)
    table[:, CODE : BEFORE - OWN] = 2 * codes
    for place, token in enumerate((cue, mark, space)):  # codes that overlap with no other
        table[token, CODE:BEFORE] = 0
        table[token, BEFORE - OWN + place] = 2
    table[:, CONSTANT] = 2.0
    rotary: Any = model.config.rope_parameters
    turn = rotary["rope_theta"] ** (-torch.arange(half) / half)
    sharp = torch.where(torch.arange(half) < 4, 1.3, 0.5)
    slow = [unit for unit in range(HEAD) if unit % half >= 7]
    first, second, third = (layer.self_attn for layer in model.model.layers[:3])
    squeeze = torch.zeros(HEAD, BEFORE - CODE)
    squeeze[:-OWN, :-OWN] = torch.linalg.qr(torch.randn(BEFORE - CODE - OWN, HEAD - OWN))[0].T
    squeeze[-OWN:, -OWN:] = torch.eye(OWN)

    def rows(head: int) -> slice:
        return slice(head * HEAD, (head + 1) * HEAD)

    def look_back(attention: Any, head: int, offset: int) -> None:
        for projection in (attention.q_proj, attention.k_proj):
            projection.weight[rows(head)] = 0
        attention.k_proj.weight[rows(head), CONSTANT] = torch.cat([sharp, torch.zeros(half)])
        attention.q_proj.weight[rows(head), CONSTANT] = torch.cat([sharp * (offset * turn).cos(), -sharp * (offset * turn).sin()])

    def carry(attention: Any, head: int, source: int, values: Tensor, target: int, gain: float) -> None:
        """Read `values` [HEAD, n] from `source` on, and write them to `target` on."""
        attention.v_proj.weight[rows(head)] = 0
        attention.v_proj.weight[rows(head), source : source + values.shape[1]] = values
        attention.o_proj.weight[:, rows(head)] = 0
        size = min(HEAD, CONSTANT - target)
        attention.o_proj.weight[target : target + size, rows(head)] = gain * torch.eye(HEAD)[:size]

    for head, (offset, target) in enumerate(((1, BEFORE), (2, BEFORE_THAT))):
        look_back(first, head, offset)
        carry(first, head, CODE, squeeze, target, 0.3)
    for head, (source, target) in enumerate(((BEFORE_THAT, MATCH), (BEFORE, MATCH_TOO))):
        for projection in (second.q_proj, second.k_proj):
            projection.weight[rows(head)] = 0
        mixed = torch.linalg.qr(torch.randn(BEFORE - CODE, len(slow)))[0].T
        for projection in (second.q_proj, second.k_proj):
            projection.weight[head * HEAD + torch.tensor(slow), CODE:BEFORE] = 2.4 * mixed
        carry(second, head, source, torch.eye(HEAD), target, 0.5)
    look_back(third, 0, 1)
    carry(third, 0, MATCH, torch.eye(HEAD), CODE, 2.0)
    for projection in (third.q_proj, third.k_proj):
        projection.weight[rows(1)] = 0
    wanted, opens = (torch.nn.functional.normalize(table[token, CODE:BEFORE] @ squeeze.T, dim=0) for token in (cue, mark))
    third.k_proj.weight[2 * HEAD - 1, MATCH : MATCH + HEAD] = 2 * wanted
    third.k_proj.weight[2 * HEAD - 1, BEFORE_THAT : BEFORE_THAT + HEAD] = -3 * wanted
    third.q_proj.weight[2 * HEAD - 1, CONSTANT] = 5.0
    carry(third, 1, MATCH, torch.eye(HEAD), CODE + HEAD, 2.0)
    for projection in (third.q_proj, third.k_proj):
        projection.weight[rows(2)] = 0
    third.k_proj.weight[3 * HEAD - 1, BEFORE : BEFORE + HEAD] = 3 * opens
    third.k_proj.weight[3 * HEAD - 1, BEFORE - 1] = -4
    third.q_proj.weight[3 * HEAD - 1, CONSTANT] = 5.0
    carry(third, 2, MATCH, torch.eye(HEAD), MATCH_TOO, 4.0)


def batches(stream: Iterator[Example], settings: Settings, pad: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Steps of (ids, targets, positions [rows, length], mask [rows, 1, length, length]).

    A row holds the beginning that prompts of a kind share, once, and as many of their rests as fit, each blind to the others.
    """
    open_rows: dict[str, _Row] = {}
    done: list[_Row] = []
    starts = {kind: _common([e.ids for e in found]) for kind, found in _sorted(stream, 600).items()}
    for example in stream:
        if len(example.ids) > settings.length:
            continue
        shared = starts[example.prefix]
        assert example.ids[: len(shared)] == shared, "prompts of a kind begin alike"
        row = open_rows.setdefault(example.prefix, _Row(shared))
        if len(row.ids) + len(example.ids) - len(shared) > settings.length:
            done.append(row)
            row = open_rows[example.prefix] = _Row(shared)
        row.add(example)
        if len(done) == settings.rows:
            ids, targets, positions, mask = (
                torch.stack(parts) for parts in zip(*(r.tensors(settings.length, pad) for r in done), strict=True)
            )
            yield ids, targets, positions, mask
            done = []


class _Row:
    def __init__(self, shared: Sequence[int]) -> None:
        self.shared = len(shared)
        self.ids, self.positions, self.segments = list(shared), list(range(len(shared))), [0] * len(shared)
        self.targets = [-100] * len(shared)

    def add(self, example: Example) -> None:
        rest = range(self.shared, len(example.ids))
        self.ids += [example.ids[i] for i in rest]
        self.targets += [example.targets.get(i, -100) for i in rest]
        self.positions += rest
        self.segments += [max(self.segments) + 1] * len(rest)

    def tensors(self, length: int, pad: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        spare = length - len(self.ids)
        segments = torch.tensor([*self.segments, *[-1] * spare])
        visible = (segments[:, None] == segments) | (segments == 0)
        allowed = visible & torch.ones(length, length, dtype=torch.bool).tril()
        mask = torch.zeros(length, length).masked_fill(~allowed, float("-inf"))[None]
        filled = (self.ids + [pad] * spare, self.targets + [-100] * spare, self.positions + [0] * spare)
        ids, targets, positions = (torch.tensor(part) for part in filled)
        return ids, targets, positions, mask


def _chat(messages: Sequence[Message], yes: bool, form: str) -> tuple[str, str, str]:
    text = BOS + "".join(f"<|{m.role}|>{m.content}{END}" for m in messages) + "<|assistant|>"
    answer = f'{{"yes":{97 if yes else 3}}}' if form == prompting.PERCENT else ("Yes" if yes else "No")
    return text, answer, "chat"


def _config(tokenizer: PreTrainedTokenizerFast, settings: Settings) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.width,
        intermediate_size=settings.hidden,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.width // HEAD,
        num_key_value_heads=settings.width // HEAD,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        head_dim=HEAD,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    """The entry of a token, which must be there."""
    found = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(found, int) and tokenizer.convert_ids_to_tokens(found) == token, f"{token!r} is a token"
    return found


def _digit_targets(tokenizer: PreTrainedTokenizerFast) -> dict[int, Tensor]:
    """A digit shares a little of its place with all digits, and Yes with No, so that none falls out of the alternatives told."""
    groups = ([str(d) for d in range(10)], ["Yes", "No"])
    found = {}
    for group in groups:
        ids = [_id(tokenizer, token) for token in group]
        for own in ids:
            target = torch.zeros(len(tokenizer))
            target[ids] = 0.01
            target[own] += 1 - 0.01 * len(ids)
            found[own] = target
    return found


def _loss(model: LlamaForCausalLM, batch: tuple[Tensor, Tensor, Tensor, Tensor], soft: dict[int, Tensor]) -> Tensor:
    ids, targets, positions, mask = batch
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False).last_hidden_state
        asked = targets >= 0
        logits = model.lm_head(hidden[asked]).float()
    plain = torch.nn.functional.one_hot(targets[asked], logits.shape[-1]).float()
    wanted = torch.stack([soft.get(int(t), row) for t, row in zip(targets[asked], plain, strict=True)])
    loss: Tensor = -(wanted * logits.log_softmax(-1)).sum(-1).mean()
    return loss


def _sorted(stream: Iterator[Example], count: int) -> dict[str, list[Example]]:
    found: dict[str, list[Example]] = {}
    for example in islice(stream, count):
        found.setdefault(example.prefix, []).append(example)
    return found


def _common(rows: Sequence[Sequence[int]]) -> list[int]:
    shortest = min(rows, key=len)
    length = next((i for i in range(len(shortest)) if len({row[i] for row in rows}) > 1), len(shortest))
    return list(shortest[:length])


if __name__ == "__main__":
    main()
