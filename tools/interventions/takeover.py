"""What takes over when something is removed: which features and which heads change most under an edit.

Activations of each dictionary and outputs of each head are compared on the same tokens without and with the edit. A head's output
is its slice of z times its part of attention's output projection. Its direct effect on a vocabulary entry is that output times
the final norm's weight over the clean scale, times the entry's row of the unembedding minus the mean row: linear, and not given
where heads write through a further norm (Gemma 2 and 3, OLMo 2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dragoman.tools.dictionaries import Dictionary, encode_in_chunks
from dragoman.tools.hooks import HookPoint
from dragoman.tools.subject import Subject
from dragoman.tools.watching import normalized

from . import display
from .edits import Edit, FeatureEdit
from .effects import At, one_token, read_at
from .running import Intervention
from .texts import Text, TextBatch, batches, bos_of, token_ids

TOP = 10


@dataclass(frozen=True)
class FeatureChange:
    """A feature under the edit, averaged over the tokens that were read."""

    feature: str
    """DICT/INDEX."""
    before: float
    """Mean activation without the edit."""
    after: float
    """Mean activation with it."""
    most: float
    """Largest change on a single token, with its sign."""

    @property
    def change(self) -> float:
        """After minus before."""
        return self.after - self.before


@dataclass(frozen=True)
class HeadChange:
    """An attention head under the edit, averaged over the tokens that were read."""

    head: str
    """LAYER.HEAD."""
    moved: float
    """Mean norm of the change of its output."""
    norm: float
    """Mean norm of its output without the edit."""
    direct_before: tuple[float, ...]
    """Its direct linear effect on each chosen entry without the edit; empty where none was chosen or it is not defined."""
    direct_after: tuple[float, ...]
    """The same with the edit."""


@dataclass(frozen=True)
class Takeover:
    """What changed most when something was removed."""

    done: tuple[str, ...]
    """Each edit in words."""
    at: At
    """Where changes were read."""
    tokens: int
    """Tokens at which they were read."""
    chosen: tuple[str, ...]
    """The vocabulary entries of the direct effects."""
    stronger: tuple[FeatureChange, ...]
    """Features that rose most, edited ones left out."""
    weaker: tuple[FeatureChange, ...]
    """Features that fell most."""
    heads: tuple[HeadChange, ...]
    """Heads whose output changed most, edited ones included."""

    def __repr__(self) -> str:
        return display.takeover_text(self)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return display.takeover_html(self)


@torch.inference_mode()
def takeover(
    subject: Subject,
    edits: Sequence[Edit],
    texts: Sequence[Text],
    dictionaries: Sequence[Dictionary] = (),
    *,
    chosen: Sequence[str | int] = (),
    at: At = "all",
    bos: bool | None = None,
    top: int = TOP,
) -> Takeover:
    """Compare features and heads without and with the edits.

    Args:
        subject: the model.
        edits: applied together.
        texts: texts, or token ids without BOS.
        dictionaries: whose features to compare; those that read before the edit cannot change.
        chosen: vocabulary entries for the heads' direct effects.
        at: `all`: every token from the first edited one on; `last`: the last token of each text.
        bos: whether BOS stands before each text; None: the tokenizer's habit.
        top: features and heads to report.

    Raises:
        UserError: an edit does not fit the subject or the texts, or a chosen entry is not one token.
    """
    bos = bos_of(subject, bos)
    ids = token_ids(subject, texts, bos)
    entries = [one_token(subject, entry) for entry in chosen]
    intervention = Intervention(subject, edits)
    heads = _Heads(subject, entries)
    features = [_Features(dictionary) for dictionary in dictionaries]
    points = sorted({*heads.points, *(f.dictionary.facts.hook_in for f in features)})
    for batch in batches(subject, ids, bos):
        rows = _rows(batch, intervention, at)
        clean = {name: x.flatten(0, 1)[rows.to(x.device)] for name, x in subject.capture(batch.ids, points).items()}
        with intervention.active(batch.layout):
            edited = {name: x.flatten(0, 1)[rows.to(x.device)] for name, x in subject.capture(batch.ids, points).items()}
        heads.add(clean, edited)
        for own in features:
            own.add(clean[own.dictionary.facts.hook_in], edited[own.dictionary.facts.hook_in])
    skip = {(id(e.dictionary), f) for e in edits if isinstance(e, FeatureEdit) for f in e.features}
    changes = [change for own in features for change in own.changes(skip, top)]
    return Takeover(
        done=tuple(map(str, edits)),
        at=at,
        tokens=heads.tokens,
        chosen=tuple(subject.vocabulary[t] for t in entries),
        stronger=tuple(sorted((c for c in changes if c.change > 0), key=lambda c: -c.change)[:top]),
        weaker=tuple(sorted((c for c in changes if c.change < 0), key=lambda c: c.change)[:top]),
        heads=tuple(heads.changes()[:top]),
    )


def _rows(batch: TextBatch, intervention: Intervention, at: At) -> Tensor:
    """Which of the batch's columns are read, flattened."""
    columns = batch.ids.shape[1]
    touched = intervention.touched(batch.layout, columns)
    found = np.zeros_like(touched)
    for row, (first, tokens) in enumerate(zip(batch.layout.first, batch.layout.tokens, strict=True)):
        own = slice(int(first), int(first + tokens))
        found[row, own] = read_at(at, touched[row, own], bool(touched[row, : int(first)].any()))
    return torch.from_numpy(np.flatnonzero(found))


class _Features:
    """Sums over the activations of one dictionary."""

    def __init__(self, dictionary: Dictionary) -> None:
        self.dictionary = dictionary
        device = dictionary.directions.device
        self.before, self.after, self.rise, self.fall = (torch.zeros(dictionary.width, device=device) for _ in range(4))
        self.tokens = 0

    def add(self, clean: Float[Tensor, "tokens d"], edited: Float[Tensor, "tokens d"]) -> None:
        """Take in some tokens."""
        self.tokens += len(clean)
        for old, new in _chunks(clean, edited, self.dictionary.width):
            a, b = self._dense(old), self._dense(new)
            self.before += a.sum(0)
            self.after += b.sum(0)
            self.rise = torch.maximum(self.rise, (b - a).amax(0))
            self.fall = torch.minimum(self.fall, (b - a).amin(0))

    def changes(self, skip: set[tuple[int, int]], top: int) -> list[FeatureChange]:
        """The features that rose and fell most."""
        n = max(1, self.tokens)
        before, after = self.before / n, self.after / n
        change = after - before
        for owner, feature in skip:
            if owner == id(self.dictionary):
                change[feature] = 0
        order = torch.argsort(change, stable=True).tolist()
        found = [f for f in dict.fromkeys([*order[:top], *order[::-1][:top]]) if change[f] != 0]
        name = self.dictionary.facts.name
        most = torch.where(self.rise >= -self.fall, self.rise, self.fall)
        return [FeatureChange(f"{name}/{f}", float(before[f]), float(after[f]), float(most[f])) for f in found]

    def _dense(self, x: Tensor) -> Tensor:
        codes = encode_in_chunks(self.dictionary, x.float())
        dense = torch.zeros(len(x), self.dictionary.width, device=x.device)
        dense[codes.token, codes.feature] = codes.value.float()
        return dense


class _Heads:
    """Sums over the outputs of all heads."""

    def __init__(self, subject: Subject, entries: Sequence[int]) -> None:
        self.subject, self.entries = subject, entries
        self.last = f"resid_post.{subject.layers - 1}"
        self.points = [*(f"z.{layer}" for layer in range(subject.layers)), self.last]
        family = subject.family
        self.direct = bool(entries) and family.attention_added == family.attention
        shape = (subject.layers, subject.heads)
        self.moved, self.norm = torch.zeros(shape), torch.zeros(shape)
        self.before, self.after = torch.zeros((*shape, len(entries))), torch.zeros((*shape, len(entries)))
        self.tokens = 0

    def add(self, clean: dict[str, Tensor], edited: dict[str, Tensor]) -> None:
        """Take in some tokens."""
        self.tokens += len(clean[self.last])
        readers = self._readers(clean[self.last]) if self.direct else None
        for layer in range(self.subject.layers):
            for head, (old, new) in enumerate(
                zip(self._outputs(layer, clean[f"z.{layer}"]), self._outputs(layer, edited[f"z.{layer}"]), strict=True)
            ):
                self.moved[layer, head] += float((new - old).norm(dim=-1).sum())
                self.norm[layer, head] += float(old.norm(dim=-1).sum())
                if readers is not None:
                    self.before[layer, head] += torch.einsum("td,etd->e", old, readers).cpu()
                    self.after[layer, head] += torch.einsum("td,etd->e", new, readers).cpu()

    def changes(self) -> list[HeadChange]:
        """All heads, the one that changed most first."""
        n = max(1, self.tokens)
        found = [
            HeadChange(
                f"{layer}.{head}",
                float(self.moved[layer, head]) / n,
                float(self.norm[layer, head]) / n,
                tuple((self.before[layer, head] / n).tolist()) if self.direct else (),
                tuple((self.after[layer, head] / n).tolist()) if self.direct else (),
            )
            for layer in range(self.subject.layers)
            for head in range(self.subject.heads)
        ]
        return sorted((c for c in found if c.moved > 0), key=lambda c: -c.moved)

    def _outputs(self, layer: int, z: Float[Tensor, "tokens z"]) -> Iterator[Float[Tensor, "tokens d_model"]]:
        weight = self.subject.projection(HookPoint("z", layer), "attention").float()
        size = weight.shape[0] // self.subject.heads
        for head in range(self.subject.heads):
            own = slice(head * size, (head + 1) * size)
            yield z[:, own].float() @ weight[own]

    def _readers(self, final: Float[Tensor, "tokens d_model"]) -> Float[Tensor, "entries tokens d_model"]:
        """What a vector is multiplied with to get its direct effect on each chosen entry, at each token."""
        subject = self.subject
        centred = subject.family.norm == "layer"
        unembedding = subject.unembedding().float()
        rows = unembedding[list(self.entries)] - unembedding.mean(0)
        norm = subject.decoder.get_submodule(subject.family.final_norm)
        x = final.float()
        x = x - x.mean(-1, keepdim=True) if centred else x
        scale = normalized(final, norm, centred).norm(dim=-1, keepdim=True) / x.norm(dim=-1, keepdim=True)
        readers: Tensor = (rows * subject.final_norm_weight())[:, None, :] * scale
        return readers - readers.mean(-1, keepdim=True) if centred else readers


def _chunks(clean: Tensor, edited: Tensor, width: int) -> Iterator[tuple[Tensor, Tensor]]:
    step = max(1, (16 << 20) // width)
    return zip(clean.split(step), edited.split(step), strict=True)
