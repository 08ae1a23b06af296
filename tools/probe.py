"""One feature, ready for experiments: its activation on any token sequences, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dragoman.store.errors import UserError
from dragoman.store.records import FeatureKey

from .dictionaries import Dictionary, pre_activations
from .dictionaries.dictionary import DENSE
from .prompt import Prompt
from .source import excluded, padded
from .subject import Subject
from .workbench import Workbench


@dataclass(frozen=True)
class Focus:
    """The token at which a feature is looked at, and what can influence it there."""

    prompt: Prompt
    """The text."""
    start: int
    """First token of the window that holds the position: nothing before it is seen."""
    position: int
    """The token, counted in the whole text."""
    value: float
    """The feature's activation there."""

    @property
    def ids(self) -> tuple[int, ...]:
        """Ids of the window up to the position and with it; attention is causal, so nothing after it matters."""
        return self.prompt.ids[self.start : self.position + 1]


class Probe:
    """A feature of a subject and a dictionary. Counts the sequences it runs through the model in `forwards`."""

    def __init__(
        self,
        subject: Subject,
        dictionary: Dictionary,
        index: int,
        *,
        prepend_bos: bool,
        window: int,
        threshold: float = 0.0,
        maximum: float = 0.0,
        bench: Workbench | None = None,
    ) -> None:
        """
        Args:
            subject: the model.
            dictionary: holds the feature.
            index: its row there.
            prepend_bos: whether BOS stands before every window.
            window: tokens of a window, BOS not counted; longer texts are cut.
            threshold: the feature fires above this.
            maximum: its largest activation on train, 0 where it is not known.
            bench: the store it comes from, for what needs a corpus.
        """
        self.subject, self.dictionary, self.index = subject, dictionary, index
        self.prepend_bos, self.window, self.threshold, self.maximum = prepend_bos, window, threshold, maximum
        self.bench = bench
        self.forwards = 0

    @classmethod
    def of(cls, bench: Workbench, feature: str | int | FeatureKey) -> Probe:
        """The probe of a store's feature.

        Raises:
            UserError: there is no such feature, or model or dictionary cannot be loaded.
        """
        number = bench.store.id(feature)
        found, stats = bench.feature(number), bench.stats(number)
        return cls(
            bench.subject,
            found.dictionary,
            found.index,
            prepend_bos=bench.prepend_bos,
            window=bench.window,
            threshold=stats.threshold,
            maximum=stats.max,
            bench=bench,
        )

    @property
    def key(self) -> str:
        """The feature's address."""
        return f"{self.dictionary.facts.name}/{self.index}"

    @property
    def bos(self) -> int | None:
        """Id of the token before every window, None where there is none."""
        return self.subject.bos_id if self.prepend_bos else None

    def prompt(self, text: str | Prompt) -> Prompt:
        """The text, tokenized if it is not yet.

        Raises:
            UserError: it holds no tokens.
        """
        prompt = text if isinstance(text, Prompt) else Prompt.from_text(self.subject, text)
        if not len(prompt):
            raise UserError("The text is empty: give one with at least one token.")
        return prompt

    def fires(self, value: float) -> bool:
        """Whether an activation is above the threshold."""
        return value > self.threshold

    # Reading

    def values(self, rows: Sequence[Sequence[int]], cut: bool = True) -> list[Float[np.ndarray, " tokens"]]:
        """The activation on every token of each row of ids (BOS not among them).

        Rows longer than a window are cut, as a harvest does; with `cut` false only those that the model cannot read whole.
        """
        length = self.window if cut else max(self.window, self.subject.max_positions - int(self.prepend_bos))
        pieces = [row[a : a + length] for row in rows for a in range(0, max(len(row), 1), length)]
        read: list[np.ndarray] = [np.zeros(0, np.float32)] * len(pieces)
        for which in self._batches([len(piece) for piece in pieces]):
            batch = padded([pieces[i] for i in which], self.bos)
            value = self._column(self._capture(batch.ids), batch.ids.reshape(-1), batch.flat)
            bounds = np.cumsum([0, *(len(pieces[i]) for i in which)])
            for n, i in enumerate(which):
                read[i] = value[bounds[n] : bounds[n + 1]]
        joined, at = [], 0
        for row in rows:
            count = -(-max(len(row), 1) // length)
            joined.append(np.concatenate(read[at : at + count]))
            at += count
        return joined

    def at(self, rows: Sequence[Sequence[int]], positions: Sequence[int] | None = None) -> Float[np.ndarray, " rows"]:
        """The activation at one position of each row, by default its last; rows are at most a window long."""
        places = [len(row) - 1 for row in rows] if positions is None else positions
        values = np.zeros(len(rows), np.float32)
        for which in self._batches([len(row) for row in rows]):
            batch = padded([rows[i] for i in which], self.bos)
            here = np.array([places[i] for i in which]) + int(self.prepend_bos)
            flat = np.arange(len(which)) * batch.ids.shape[1] + here
            values[which] = self._column(self._capture(batch.ids), batch.ids.reshape(-1), flat)
        return values

    def both(
        self, rows: Sequence[Sequence[int]]
    ) -> tuple[list[Float[np.ndarray, " tokens"]], list[Float[np.ndarray, " tokens"]]]:
        """Activations and pre-activations on every token of each row, at most a window long, from one forward pass.

        For a dictionary without pre-activations the activations stand for them.
        """
        values: list[np.ndarray] = [np.zeros(0, np.float32)] * len(rows)
        pres = list(values)
        for which in self._batches([len(row) for row in rows]):
            batch = padded([rows[i] for i in which], self.bos)
            x, ids = self._capture(batch.ids), batch.ids.reshape(-1)
            value = pre = self._column(x, ids, batch.flat)
            if hasattr(self.dictionary, "pre_activations"):
                with torch.inference_mode():
                    pre = self._pre(x[torch.from_numpy(batch.flat).to(x.device)]).float().cpu().numpy()
                out = excluded(ids[batch.flat], self.dictionary)
                pre = pre if out is None else np.where(out, np.float32(-np.inf), pre)
            bounds = np.cumsum([0, *(len(rows[i]) for i in which)])
            for n, i in enumerate(which):
                values[i], pres[i] = value[bounds[n] : bounds[n + 1]], pre[bounds[n] : bounds[n + 1]]
        return values, pres

    def gradients(
        self, embeddings: Float[Tensor, "rows tokens d_model"], positions: Sequence[int]
    ) -> tuple[Float[Tensor, " rows"], Float[Tensor, "rows tokens d_model"]]:
        """The pre-activation at one position of each row of embeddings (BOS not among them), and its gradient.

        Counts three sequences a row in `forwards`: a backward pass costs about twice a forward pass.

        Raises:
            UserError: the dictionary has no pre-activations.
        """
        values, gradients = [], []
        most = max(1, self._most // (embeddings.shape[1] + 1))
        for first in range(0, len(embeddings), most):
            part = embeddings[first : first + most]
            with torch.inference_mode(False), torch.enable_grad():
                leaf = part.detach().clone().requires_grad_(True)
                full = leaf
                if self.bos is not None:
                    bos = self.subject.embed(torch.full((len(part), 1), self.bos))
                    full = torch.cat([bos.detach().clone(), leaf], dim=1)
                hook = self.dictionary.facts.hook_in
                x = self.subject.capture_embedded(full, [hook])[hook]
                places = torch.tensor(list(positions[first : first + most]), device=x.device) + int(self.bos is not None)
                value = self._pre(x[torch.arange(len(part), device=x.device), places])
                (gradient,) = torch.autograd.grad(value.sum(), leaf)
            self.forwards += 3 * len(part)
            values.append(value.detach())
            gradients.append(gradient)
        return torch.cat(values), torch.cat(gradients)

    def embed(self, rows: Sequence[Sequence[int]]) -> Float[Tensor, "rows tokens d_model"]:
        """Embeddings of rows of one length."""
        with torch.inference_mode(False), torch.no_grad():
            return self.subject.embed(torch.tensor([list(row) for row in rows]))

    def focus(self, text: str | Prompt, position: int | None = None) -> Focus:
        """Where to look: the position given, or the one at which the feature is strongest.

        Raises:
            UserError: the position is not in the text, or none is given and the feature does not fire.
        """
        prompt = self.prompt(text)
        (values,) = self.values([prompt.ids])
        if position is None:
            position = int(values.argmax())
            if not self.fires(values[position]):
                raise UserError(
                    f"{self.key} does not fire on this text (its strongest value is {values[position]:.3g}, it fires above "
                    f"{self.threshold:.3g}): give a text on which it does, or a position."
                )
        if not 0 <= position < len(prompt):
            raise UserError(f"There is no token {position} in this text: it has {len(prompt)} tokens, numbered from 0.")
        return Focus(prompt, position - position % self.window, position, float(values[position]))

    @cached_property
    def neutral(self) -> int:
        """A token that means nothing to the feature: the commonest train token on which it is never active.

        Raises:
            UserError: there is no store to look in, or no such token.
        """
        if self.bench is None:
            raise UserError("Say which token stands for a neutral one: there is no corpus to find it in.")
        view = self.bench.store.train_view()
        counts = np.bincount(view.tokens.ids)
        active, _ = view.activations(self.bench.store.id(self.key))
        counts[view.tokens.ids[active]] = 0
        if not counts.any():
            raise UserError(f"{self.key} is active on every token of the corpus: say which one stands for a neutral token.")
        return int(counts.argmax())

    def token(self, text: str) -> int:
        """The id of a text that is a single token inside a text.

        Raises:
            UserError: it is none, or several.
        """
        ids = self.subject.tokenize_inside(text)
        if len(ids) != 1:
            raise UserError(f"{text!r} is {len(ids)} tokens here; give the text of a single one (mind a leading space).")
        return ids[0]

    # Running

    @torch.inference_mode()
    def _capture(self, ids: np.ndarray) -> Float[Tensor, "tokens d_in"]:
        """What the dictionary reads, padding and BOS included."""
        self.forwards += len(ids)
        hook = self.dictionary.facts.hook_in
        return self.subject.capture(torch.from_numpy(ids), [hook])[hook].flatten(0, 1)

    @torch.inference_mode()
    def _column(self, x: Float[Tensor, "all d_in"], ids: np.ndarray, where: np.ndarray) -> Float[np.ndarray, " tokens"]:
        """The feature's activation on the tokens `where`, as many at a time as memory allows."""
        x = x[torch.from_numpy(where).to(x.device)]
        step = max(1, DENSE.get(x.device.type, 1 << 26) // self.dictionary.width)
        parts = [self.dictionary.encode(part)[:, self.index] for part in x.split(step)]
        values = torch.cat(parts).float().cpu().numpy()
        out = excluded(ids[where], self.dictionary)
        return values if out is None else np.where(out, np.float32(0), values)

    def _pre(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, " tokens"]:
        """The feature's pre-activation."""
        index = torch.tensor([self.index], device=x.device)
        return pre_activations(self.dictionary, x.reshape(-1, x.shape[-1]), index)[:, 0]

    @property
    def _most(self) -> int:
        """Tokens that run together."""
        return 16_384 if self.subject.device.type == "cuda" else 2_048

    def _batches(self, lengths: Sequence[int]) -> list[np.ndarray]:
        """Rows that run together: of similar length, so that little is padded, and at most some thousand tokens."""
        order = np.argsort(-np.asarray(lengths, np.int64), kind="stable")
        batches, at = [], 0
        while at < len(order):
            size = max(1, self._most // (lengths[order[at]] + 1))
            batches.append(order[at : at + size])
            at += size
        return batches
