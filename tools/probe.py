"""One feature, ready for experiments: its activation on any token sequences, in batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dragoman.store.records import FeatureKey
from dragoman.store.view import TrainView

from .dictionaries import Dictionary, pre_activations
from .dictionaries.dictionary import DENSE
from .gauge import Gauge, SourceGauge
from .kinds import Kinds
from .source import Batch, excluded, padded
from .subject import Subject
from .workbench import Workbench


class Probe(Gauge):
    """A feature of a subject and a dictionary. In `forwards` and `tokens` a gradient counts three times."""

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
        train: TrainView | None = None,
        kinds: Kinds | None = None,
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
            train: the rows it comes from, for what needs a corpus.
            kinds: finds spans of one kind in them.
        """
        key = f"{dictionary.facts.name}/{index}"
        super().__init__(subject, key, index, window=window, threshold=threshold, maximum=maximum, train=train, kinds=kinds)
        self.subject, self.dictionary, self.prepend_bos = subject, dictionary, prepend_bos

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
            train=bench.train,
            kinds=bench.kinds,
        )

    @property
    def bos(self) -> int | None:
        """Id of the token before every window, None where there is none."""
        return self.subject.bos_id if self.prepend_bos else None

    @property
    def has_pre_activations(self) -> bool:
        """Whether the dictionary has pre-activations."""
        return hasattr(self.dictionary, "pre_activations")

    @property
    def longest(self) -> int:
        """Most tokens that the model can read whole, BOS not counted."""
        return self.subject.max_positions - int(self.prepend_bos)

    @property
    def words(self) -> list[str]:
        """The text of every token id that the model has."""
        return self.subject.vocabulary[: int(self.subject.text_config.vocab_size)]

    # Reading

    def values(self, rows: Sequence[Sequence[int]], cut: bool = True) -> list[Float[np.ndarray, " tokens"]]:
        """The activation on every token of each row of ids (BOS not among them).

        Rows longer than a window are cut, as a harvest does; with `cut` false only those that the model cannot read whole.
        """
        length = self.window if cut else max(self.window, self.longest)
        pieces = [row[a : a + length] for row in rows for a in range(0, max(len(row), 1), length)]
        read: list[np.ndarray] = [np.zeros(0, np.float32)] * len(pieces)
        for which in self._batches([len(piece) for piece in pieces]):
            batch = padded([pieces[i] for i in which], self.bos)
            value = self._column(self._capture(batch), batch.ids.reshape(-1), batch.flat)
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
            values[which] = self._column(self._capture(batch), batch.ids.reshape(-1), flat)
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
            x, ids = self._capture(batch), batch.ids.reshape(-1)
            value = pre = self._column(x, ids, batch.flat)
            if self.has_pre_activations:
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
            self.tokens += 3 * part.shape[0] * part.shape[1]
            values.append(value.detach())
            gradients.append(gradient)
        return torch.cat(values), torch.cat(gradients)

    def embed(self, rows: Sequence[Sequence[int]]) -> Float[Tensor, "rows tokens d_model"]:
        """Embeddings of rows of one length."""
        with torch.inference_mode(False), torch.no_grad():
            return self.subject.embed(torch.tensor([list(row) for row in rows]))

    # Running

    @torch.inference_mode()
    def _capture(self, batch: Batch) -> Float[Tensor, "tokens d_in"]:
        """What the dictionary reads, padding and BOS included."""
        self.forwards += len(batch.ids)
        self.tokens += len(batch.flat)
        hook = self.dictionary.facts.hook_in
        return self.subject.capture(torch.from_numpy(batch.ids), [hook])[hook].flatten(0, 1)

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


def gauge_of(bench: Workbench, feature: str | int | FeatureKey) -> Gauge:
    """What reads a store's feature: a probe, or where there is no model the source of its activations.

    Raises:
        UserError: there is no such feature, or what gives its activations cannot be loaded.
    """
    if bench.has_model:
        return Probe.of(bench, feature)
    number = bench.store.id(feature)
    key, stats = bench.store.key(number), bench.stats(number)
    return SourceGauge(
        bench.speaker,
        bench.source(key.dictionary),
        key.index,
        str(key),
        window=bench.window,
        threshold=stats.threshold,
        maximum=stats.max,
        train=bench.train,
        kinds=bench.kinds,
    )
