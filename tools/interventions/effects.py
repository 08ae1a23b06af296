"""What an intervention does to the model's predictions: the same texts without and with it.

Logits are compared after their mean over the vocabulary is taken off, because adding a constant to all of them changes nothing.
All figures are causal: measured in edited forward passes (see `tools/logits.py` for the linear ones).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dragoman.store.errors import UserError
from dragoman.tools.subject import Subject

from . import display
from .edits import Edit
from .freezing import Tape, check, taped
from .running import Intervention
from .texts import Text, TextBatch, batches, bos_of, token_ids

At = Literal["all", "last"]
"""Where effects are read: on every token from the first edited one of its text on, or on the last token of each text."""
PER_TOKEN = 2_000
"""Tokens whose effects are kept one by one."""
TOP = 10


@dataclass(frozen=True)
class TokenEffect:
    """What the edit did to the prediction made at one token."""

    text: int
    """Number of the text."""
    position: int
    """Position of the token in it, BOS not counted."""
    token: str
    """What the token contributes."""
    kl: float
    """KL(clean || edited) of the next token's distribution, in nats."""
    loss_change: float | None
    """Edited minus clean loss of the token that follows, in nats; None at the last token of a text."""
    edited: bool
    """Whether an edit applied at this token."""


@dataclass(frozen=True)
class LogitShift:
    """What the edit did to one vocabulary entry, averaged over the tokens where effects are read."""

    token: str
    """The entry's text."""
    id: int
    """Its id."""
    shift: float
    """Change of its mean-centred logit."""
    before: float
    """Its probability without the edit."""
    after: float
    """Its probability with it."""


@dataclass(frozen=True)
class Effects:
    """What an intervention did, over all texts. Shown as a table in notebooks and terminals."""

    done: tuple[str, ...]
    """Each edit in words."""
    frozen: tuple[str, ...]
    """What was held as in the clean pass: `attention`, `norms`."""
    at: At
    """Where effects were read."""
    texts: int
    """Number of texts."""
    tokens: int
    """Tokens at which effects were read."""
    kl: float
    """Mean KL(clean || edited) over them, in nats."""
    kl_max: float
    """Largest of them."""
    loss_before: float | None
    """Mean next-token loss over them without the edit, in nats; None where no token follows any of them."""
    loss_after: float | None
    """The same with the edit."""
    promoted: tuple[LogitShift, ...]
    """Vocabulary entries whose mean-centred logit rose most."""
    suppressed: tuple[LogitShift, ...]
    """Those whose logit fell most."""
    chosen: tuple[LogitShift, ...]
    """The entries that were asked for."""
    per_token: tuple[TokenEffect, ...]
    """The tokens one by one, in order."""
    left_out: int
    """Tokens beyond those."""

    @property
    def loss_change(self) -> float | None:
        """Mean loss with the edit minus without it."""
        return None if self.loss_before is None or self.loss_after is None else self.loss_after - self.loss_before

    def __repr__(self) -> str:
        return display.effects_text(self)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return display.effects_html(self)


class Passes(NamedTuple):
    """A batch's logits without and with the edits."""

    batch: TextBatch
    """Which texts."""
    clean: Float[Tensor, "batch columns vocabulary"]
    """Logits without."""
    edited: Float[Tensor, "batch columns vocabulary"]
    """Logits with."""
    touched: Bool[np.ndarray, "batch columns"]
    """Where anything was edited."""


def measure(
    subject: Subject,
    edits: Sequence[Edit],
    texts: Sequence[Text],
    *,
    chosen: Sequence[str | int] = (),
    at: At = "all",
    freeze: Sequence[str] = (),
    bos: bool | None = None,
    top: int = TOP,
) -> Effects:
    """Run the texts without and with the edits and compare the predictions.

    Args:
        subject: the model.
        edits: applied together.
        texts: texts, or token ids without BOS.
        chosen: vocabulary entries to report, as ids or as texts that are one token each.
        at: `all` or `last`.
        freeze: `attention`, `norms` or both.
        bos: whether BOS stands before each text; None: the tokenizer's habit.
        top: entries promoted and suppressed to report.

    Raises:
        UserError: an edit does not fit the subject or the texts, or a chosen entry is not one token.
    """
    bos = bos_of(subject, bos)
    ids = token_ids(subject, texts, bos)
    wanted = [one_token(subject, entry) for entry in chosen]
    strings = [_strings(subject, text, own) for text, own in zip(texts, ids, strict=True)]
    tally = _Tally(int(subject.text_config.vocab_size), subject.device)
    rows: list[TokenEffect] = []
    for passes in run(subject, edits, ids, bos, freeze):
        for row, own in enumerate(ids[passes.batch.first : passes.batch.first + len(passes.clean)]):
            first = int(passes.batch.layout.first[row])
            touched = passes.touched[row, first : first + len(own)]
            read = read_at(at, touched, bool(passes.touched[row, :first].any()))
            clean, edited = passes.clean[row, first : first + len(own)], passes.edited[row, first : first + len(own)]
            number = passes.batch.first + row
            rows += tally.add(number, own, clean, edited, read, touched, strings[number], PER_TOKEN - len(rows))
    return tally.effects(subject, tuple(map(str, edits)), check(freeze), at, len(texts), wanted, top, rows)


@torch.inference_mode()
def run(
    subject: Subject, edits: Sequence[Edit], ids: Sequence[np.ndarray], bos: bool, freeze: Sequence[str] = ()
) -> Iterator[Passes]:
    """Every batch of texts without and with the edits."""
    intervention = Intervention(subject, edits)
    held = check(freeze)
    if "norms" in held and any(point.kind == "mlp_normalized" for point in intervention.points):
        raise UserError("An edit at mlp_normalized changes what a frozen norm computes: edit mlp_in, or leave the norms live.")
    for batch in batches(subject, ids, bos):
        tape = Tape(held)
        with ExitStack() as stack:
            if held:
                stack.enter_context(taped(subject, tape))
            clean = subject.logits(batch.ids)
            tape.replaying = True
            with intervention.active(batch.layout):
                edited = subject.logits(batch.ids)
        yield Passes(batch, clean, edited, intervention.touched(batch.layout, batch.ids.shape[1]))


def one_token(subject: Subject, entry: str | int) -> int:
    """The id of a vocabulary entry given as its id or its text.

    Raises:
        UserError: there is no such id, or the text is not exactly one token.
    """
    if isinstance(entry, int):
        if not 0 <= entry < int(subject.text_config.vocab_size):
            raise UserError(f"There is no token {entry}: ids are 0 to {int(subject.text_config.vocab_size) - 1}.")
        return entry
    found = subject.tokenize(entry).ids.tolist()
    if len(found) == 2 and not subject.vocabulary[found[0]].strip() and subject.vocabulary[found[1]] == entry:
        return int(found[1])  # a tokenizer that begins every text with a space
    if len(found) != 1:
        parts = ", ".join(repr(subject.vocabulary[i]) for i in found) or "nothing"
        raise UserError(f"{entry!r} is not one token of this model but {parts}: give one token (mind the space before a word).")
    return int(found[0])


class _Tally:
    """Sums over the tokens at which effects are read."""

    def __init__(self, vocabulary: int, device: torch.device) -> None:
        self.shift, self.before, self.after = (torch.zeros(vocabulary, device=device) for _ in range(3))
        self.tokens = self.followed = self.seen = 0
        self.kl = self.kl_max = self.loss_before = self.loss_after = 0.0

    def add(
        self,
        text: int,
        ids: np.ndarray,
        clean: Float[Tensor, "tokens vocabulary"],
        edited: Float[Tensor, "tokens vocabulary"],
        read: Bool[np.ndarray, " tokens"],
        touched: Bool[np.ndarray, " tokens"],
        strings: Sequence[str],
        room: int,
    ) -> list[TokenEffect]:
        """Take in one text; returns at most `room` of its tokens one by one."""
        p, q = torch.log_softmax(clean, -1), torch.log_softmax(edited, -1)
        kl = (p.exp() * (p - q)).sum(-1).clamp(min=0)
        following = torch.from_numpy(ids[1:].astype(np.int64)).to(p.device)[:, None]
        before, after = (-x[:-1].gather(1, following)[:, 0] for x in (p, q))
        where = torch.from_numpy(read).to(p.device)
        self.shift += ((edited - edited.mean(-1, keepdim=True)) - (clean - clean.mean(-1, keepdim=True)))[where].sum(0)
        self.before += p.exp()[where].sum(0)
        self.after += q.exp()[where].sum(0)
        self.tokens += int(read.sum())
        self.followed += int(read[:-1].sum())
        self.seen += len(ids)
        self.kl += float(kl[where].sum())
        self.kl_max = max(self.kl_max, float(kl[where].max())) if read.any() else self.kl_max
        self.loss_before += float(before[where[:-1]].sum())
        self.loss_after += float(after[where[:-1]].sum())
        change = [*(after - before).tolist(), None]
        found = zip(range(len(ids)), strings, kl.tolist(), change, touched.tolist(), strict=True)
        return [TokenEffect(text, *values) for values in list(found)[:room]]

    def effects(
        self,
        subject: Subject,
        done: tuple[str, ...],
        frozen: tuple[str, ...],
        at: At,
        texts: int,
        chosen: Sequence[int],
        top: int,
        rows: list[TokenEffect],
    ) -> Effects:
        n = max(1, self.tokens)
        shift, before, after = ((x / n).cpu() for x in (self.shift, self.before, self.after))

        def row(token: int) -> LogitShift:
            return LogitShift(subject.vocabulary[token], token, float(shift[token]), float(before[token]), float(after[token]))

        order = torch.argsort(shift, descending=True, stable=True).tolist()
        top = min(top, len(order))
        moved = self.tokens > 0
        return Effects(
            done=done,
            frozen=frozen,
            at=at,
            texts=texts,
            tokens=self.tokens,
            kl=self.kl / n,
            kl_max=self.kl_max,
            loss_before=self.loss_before / self.followed if self.followed else None,
            loss_after=self.loss_after / self.followed if self.followed else None,
            promoted=tuple(row(t) for t in order[:top] if moved and shift[t] > 0),
            suppressed=tuple(row(t) for t in order[::-1][:top] if moved and shift[t] < 0),
            chosen=tuple(row(t) for t in chosen),
            per_token=tuple(rows),
            left_out=self.seen - len(rows),
        )


def read_at(at: At, touched: Bool[np.ndarray, " tokens"], earlier: bool) -> Bool[np.ndarray, " tokens"]:
    """Which tokens of a text count: the last, or all from the first edited on."""
    if at == "last":
        last = np.zeros(len(touched), bool)
        last[-1] = True
        return last
    return np.logical_or.accumulate(touched) | earlier


def _strings(subject: Subject, text: Text, ids: np.ndarray) -> list[str]:
    if not isinstance(text, str):
        return [subject.vocabulary[i] for i in ids]
    tokens = subject.tokenize(text)
    return [text[a:b] for a, b in zip(tokens.starts, tokens.ends, strict=True)]
