"""What is trained and how: the settings of a training run, and the shapes that follow from them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dragoman.store.errors import UserError

ARCHITECTURES = ("topk", "batchtopk", "jumprelu", "transcoder", "skip-transcoder", "cross-layer")
"""What can be trained: the first three are autoencoders of a hook point."""
ACTIVATIONS = ("topk", "batchtopk", "jumprelu")
"""How features become sparse; transcoders know the last two, since file formats have no topk transcoders."""
PENALTIES = ("l0", "tanh")
"""What a jumprelu dictionary pays for."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides what a dictionary becomes, besides the activations."""

    architecture: str = "topk"
    """One of ARCHITECTURES."""
    features: int = 4096
    """Width; of a cross-layer transcoder, in each layer."""
    k: int = 32
    """Features active at a token, exactly (topk) or on average (batchtopk, jumprelu); of a cross-layer transcoder, in a layer."""
    tokens: int = 20_000_000
    """Tokens to train on; a text that is shorter is read again."""
    batch: int = 4096
    """Tokens in a step."""
    rate: float | None = None
    """Peak learning rate of Adam, falling linearly to zero over the last 40 percent; None: by the width."""
    activation: str | None = None
    """Of a transcoder, batchtopk or jumprelu; None: batchtopk, and an autoencoder's own."""
    auxiliary: float = 1 / 32
    """Weight of the loss that lets dead features explain what is left over (Gao et al. 2024, section 2.4)."""
    auxiliary_k: int = 64
    """Dead features used for it at a token."""
    dead_after: int = 500_000
    """Tokens without firing after which a feature counts as dead."""
    penalty: str = "l0"
    """Of jumprelu, one of PENALTIES."""
    sparsity: float | None = None
    """Price of one more active feature at a token, as a share of the variance; None: whatever leads to `k` (jumprelu, l0)."""
    bandwidth: float = 0.1
    """Width of the window around a jumprelu threshold in which entries move it, in units of the inputs' root mean square."""
    warmup: int = 100
    """Steps over which the learning rate rises."""
    seed: int = 0
    """Decides the initial weights and the order of the tokens."""

    def __post_init__(self) -> None:
        _one_of("architecture", self.architecture, ARCHITECTURES)
        _one_of("penalty", self.penalty, PENALTIES)
        if self.activation is not None:
            _one_of("activation", self.activation, ACTIVATIONS if self.architecture in ACTIVATIONS else ACTIVATIONS[1:])
            if self.architecture in ACTIVATIONS and self.activation != self.architecture:
                raise UserError(f"The architecture {self.architecture} is its own activation: leave --activation to transcoders.")
        for name in ("features", "k", "tokens", "batch", "auxiliary_k", "dead_after", "warmup"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name.replace('_', '-')} must be at least 1, not {getattr(self, name)}.")
        if self.k > self.features:
            raise UserError(f"--k {self.k} is more than the {self.features} features there are: lower it or raise --features.")
        if self.tokens < self.batch:
            raise UserError(f"--tokens {self.tokens} is less than one batch of {self.batch}: raise it or lower --batch.")
        for name in ("rate", "sparsity", "bandwidth", "auxiliary"):
            number = getattr(self, name)
            if number is not None and not (math.isfinite(number) and (number > 0 or (name == "auxiliary" and number == 0))):
                raise UserError(f"--{name} must be a number above 0, not {number}.")
        if self.sparsity is None and self.penalty == "tanh":
            raise UserError("The tanh penalty has no target: give its weight with --sparsity, for example 0.001.")

    @property
    def sparsifier(self) -> str:
        """One of ACTIVATIONS: the one asked for, or the architecture's own."""
        return self.activation or (self.architecture if self.architecture in ACTIVATIONS else "batchtopk")

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return self.tokens // self.batch

    @property
    def peak_rate(self) -> float:
        """The learning rate, chosen by the width where none was given."""
        return self.rate if self.rate is not None else 5e-3 * min(1.0, (1536 / self.features) ** 0.5)

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0: a short rise, flat, then linear to zero."""
        rise = (step + 1) / min(self.warmup, self.steps)
        return self.peak_rate * min(1.0, rise, (self.steps - step) / (0.4 * self.steps))


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a dictionary in training. An autoencoder or transcoder has one layer."""

    inputs: tuple[str, ...]
    """Hook point that each layer reads."""
    outputs: tuple[str, ...]
    """Hook point that each layer reconstructs; the same as `inputs` in an autoencoder."""
    d_in: int
    """Width of the inputs."""
    d_out: int
    """Width of the outputs."""
    skip: bool = False
    """Whether a linear map goes past the features."""

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.inputs)

    @property
    def tied(self) -> bool:
        """Whether it is an autoencoder: the output offset is then subtracted from the input as well."""
        return self.inputs == self.outputs

    @property
    def hooks(self) -> tuple[str, ...]:
        """All hook points, each once."""
        return tuple(dict.fromkeys((*self.inputs, *self.outputs)))


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(f"Unknown {name} {value!r}: use one of {', '.join(allowed)}.")
