"""What every dictionary can do, whatever its file format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dragoman.store.errors import UserError
from dragoman.store.records import DictionaryInfo


class SparseCodes(NamedTuple):
    """The activations above zero of some tokens, in coordinates; ordered by token."""

    token: Int[Tensor, " n"]
    """Row of the input."""
    feature: Int[Tensor, " n"]
    """Index in the dictionary."""
    value: Float[Tensor, " n"]
    """Activation, above zero."""


@dataclass(frozen=True)
class DictionaryFacts:
    """What is known about a dictionary apart from its weights."""

    name: str
    """DICT of DICT/INDEX."""
    source: str
    """The spec it was loaded from."""
    format: str
    """The file format it was read from, as `dragoman dictionaries` lists them; `neurons`, `directions`, or `memory`."""
    architecture: str
    """How it encodes and what it is: `topk`, `jumprelu_skip_transcoder`, `neurons` …"""
    hook_in: str
    """Hook point it reads."""
    hook_out: str
    """Hook point whose tensor it reconstructs, or whose basis its directions live in; the first of `hooks_out`."""
    weights_hash: str
    """SHA-256 of its weights."""
    context_size: int | None = None
    """Length of the inputs it was trained on, BOS included; None if it does not say."""
    prepend_bos: bool | None = None
    """Whether they began with BOS; None if it does not say."""
    reconstructs: bool = True
    """Whether decode(encode(x)) is meant to give x back, so that the variance unexplained says something."""
    more_hooks_out: tuple[str, ...] = ()
    """Further hook points it writes to: the later layers of a cross-layer transcoder."""
    skip: bool = False
    """Whether its output also holds a linear term of its input, see `skip_term`."""
    whole: str = ""
    """What it is a part of, if its output at `hook_out` is only reconstructed together with other dictionaries: a hash of the
    cross-layer transcoder."""
    part: int = 0
    """Its place in that whole: at `hook_out` of part n the parts 0 … n add up."""
    excluded_ids: tuple[int, ...] = ()
    """Tokens it was not trained on: their activations mean nothing and are dropped."""
    dtype: str = "float32"
    """Of the weights in the file; computing is always in float32."""

    @property
    def hooks_out(self) -> tuple[str, ...]:
        """Every hook point it writes to."""
        return (self.hook_out, *self.more_hooks_out)

    def info(self, width: int, offset: int, variance_unexplained: float | None) -> DictionaryInfo:
        """The record for the store."""
        return DictionaryInfo(
            name=self.name,
            source=self.source,
            format=self.format,
            architecture=self.architecture,
            hook_in=self.hook_in,
            hook_out=self.hook_out,
            width=width,
            offset=offset,
            weights_hash=self.weights_hash,
            variance_unexplained=variance_unexplained,
        )


class Dictionary(Protocol):
    """A set of features that read one hook point and have directions at another (mostly the same)."""

    @property
    def facts(self) -> DictionaryFacts:
        """Name, hook points, hash."""
        ...

    @property
    def width(self) -> int:
        """Number of features."""
        ...

    @property
    def d_in(self) -> int:
        """Width of the vectors it encodes."""
        ...

    @property
    def directions(self) -> Float[Tensor, "width d_out"]:
        """What one unit of each feature adds to the reconstruction, before any normalisation is undone; of a dictionary that
        writes to several hook points their sum, since each of them adds to the residual stream."""
        ...

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens width"]:
        """Activations, none negative."""
        ...

    def encode_sparse(self, x: Float[Tensor, "tokens d_in"]) -> SparseCodes:
        """The same activations without the zeros."""
        ...

    def decode(self, codes: Float[Tensor, "tokens width"], x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_out"]:
        """The reconstruction from activations. `x` is the input they come from: some normalisations are undone with its norm."""
        ...

    def target(self, y: Float[Tensor, "tokens d_out"]) -> Float[Tensor, "tokens d_out"]:
        """What `forward` is meant to give, from the tensor `y` at `hook_out`: y itself, centred where it was trained so."""
        ...

    def to(self, device: torch.device) -> None:
        """Move the weights."""
        ...


class WritesSeveral(Protocol):
    """A dictionary with a decoder for each of several hook points, such as one layer of a cross-layer transcoder."""

    def decode_at(
        self, hook: str, codes: Float[Tensor, "tokens width"], x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_out"]:
        """What the activations write at one of its hook points."""
        ...


def decode_at(
    dictionary: Dictionary, hook: str, codes: Float[Tensor, "tokens width"], x: Float[Tensor, "tokens d_in"]
) -> Float[Tensor, "tokens d_out"]:
    """What activations write at `hook`, one of the dictionary's `facts.hooks_out`; `x` is the input they come from."""
    if dictionary.facts.more_hooks_out:
        several: WritesSeveral = dictionary  # type: ignore[assignment]
        return several.decode_at(hook, codes, x)
    assert hook == dictionary.facts.hook_out, hook
    return dictionary.decode(codes, x)


class Skips(Protocol):
    """A dictionary whose output also holds a linear term of its input: a skip transcoder."""

    def skip_term(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_out"]:
        """x W_skip^T."""
        ...


def skip_term(dictionary: Dictionary, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_out"] | None:
    """The part of a skip transcoder's output that does not go through features (x W_skip^T); None for all others."""
    if not dictionary.facts.skip:
        return None
    skips: Skips = dictionary  # type: ignore[assignment]
    return skips.skip_term(x)


def forward(dictionary: Dictionary, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_out"]:
    """What the dictionary puts in the place of the tensor at `hook_out`: `decode(encode(x), x)` plus the skip term.

    For a part of a cross-layer transcoder that is only its own share; the others' are added with `decode_at`.
    """
    out = dictionary.decode(dictionary.encode(x), x)
    skip = skip_term(dictionary, x)
    return out if skip is None else out + skip


class Differentiable(Protocol):
    """A dictionary whose features can be followed by gradients also where they are silent."""

    def pre_activations(self, x: Float[Tensor, "tokens d_in"], features: Int[Tensor, " n"]) -> Float[Tensor, "tokens n"]:
        """See the function `pre_activations`."""
        ...


def pre_activations(
    dictionary: Dictionary, x: Float[Tensor, "tokens d_in"], features: Int[Tensor, " n"]
) -> Float[Tensor, "tokens n"]:
    """What the activation function is given for some features: differentiable in x, and equal to the activation wherever that is
    above zero. Elsewhere the larger it is, the nearer the feature is to being active (in topk, as far as the others let it).

    Raises:
        UserError: this dictionary has none.
    """
    if not hasattr(dictionary, "pre_activations"):
        raise UserError(
            f"{dictionary.facts.name} has no pre-activations, which gradients need: use occlusion, or a search by evolution."
        )
    own: Differentiable = dictionary  # type: ignore[assignment]
    return own.pre_activations(x, features)


DENSE = {"cpu": 6 << 20, "cuda": 1 << 28}
"""Pre-activations computed at a time: 24 MB on a CPU, so that they stay in its cache and in memory that is used again."""


def encode_in_chunks(dictionary: Dictionary, x: Float[Tensor, "tokens d_in"]) -> SparseCodes:
    """`encode_sparse` on as many tokens at a time as memory allows, however wide the dictionary is."""
    step = max(1, DENSE.get(x.device.type, 1 << 26) // dictionary.width)
    if len(x) <= step:
        return dictionary.encode_sparse(x)
    parts = [dictionary.encode_sparse(part) for part in x.split(step)]
    token = torch.cat([part.token + n * step for n, part in enumerate(parts)])
    return SparseCodes(token, torch.cat([part.feature for part in parts]), torch.cat([part.value for part in parts]))


def sparse(codes: Float[Tensor, "tokens width"]) -> SparseCodes:
    """Coordinates of the entries above zero."""
    token, feature = torch.nonzero(codes > 0, as_tuple=True)
    return SparseCodes(token, feature, codes[token, feature])
