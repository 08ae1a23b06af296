"""A dictionary in training: weights, and one step's loss with its gradients written out.

All architectures are one. There are L layers; an autoencoder or a transcoder has one. With inputs x_l and targets y_l (in an
autoencoder y = x), both centred and scaled to a mean squared norm of their width:

    p_l = (x_l - o_l [autoencoders only]) E_l^T + b_l             pre-activations of layer l, features in rows of E_l
    a_l = p_l where kept, else 0                                  topk, batchtopk: the largest above 0; jumprelu: p_l > t_l
    r_m = o_m + S_m x_m [with skip] + sum over l <= m of a_l D_l[m]
    loss = sum over m of |y_m - r_m|^2 / (d_out L), mean over tokens, + auxiliary + sparsity penalty

The rows of D_l, a feature's vectors for all the layers it writes to, side by side, have norm 1.

Sources: TopK and its auxiliary loss, Gao et al. 2024; BatchTopK and its threshold, Bussmann et al. 2024; JumpReLU with
straight-through gradients, Rajamanoharan et al. 2024; the tanh penalty, Conerly et al. 2025 (Anthropic, January update); skip
transcoders, Paulo et al. 2025; cross-layer transcoders, Ameisen, Lindsey et al. 2025.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dragoman.tools.linear import can_pack

from .kernels import Entries, all_above, decode, gather, largest_of_all, largest_of_each, products, transposed
from .settings import Settings, Shape

_KEEP = 0.99
"""Weight of the past in the running mean of the smallest activation kept, which becomes the threshold of batchtopk."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one step saw."""

    loss: float
    """Everything that is minimised."""
    unexplained: float
    """Squared error over squared targets, which are centred."""
    active: float
    """Features above zero at a token, all layers together."""


class Learner:
    """Weights, gradients and memory of a dictionary in training."""

    def __init__(self, shape: Shape, settings: Settings, device: torch.device) -> None:
        self.shape, self.settings = shape, settings
        generator = torch.Generator().manual_seed(settings.seed)
        self.weights: dict[str, Tensor] = {}
        self._guess = [0.0] * shape.layers  # of the smallest pre-activation that batchtopk will keep; saves time only
        self.memory: dict[str, Tensor] = {}
        for layer in range(shape.layers):
            self._begin(layer, generator)
        self.weights = {name: w.to(device).requires_grad_() for name, w in self.weights.items()}
        self.memory = {name: m.to(device) for name, m in self.memory.items()}

    def _begin(self, layer: int, generator: torch.Generator) -> None:
        shape, features = self.shape, self.settings.features
        reach = shape.layers - layer
        decoder = torch.nn.functional.normalize(torch.randn(features, reach * shape.d_out, generator=generator), dim=1)
        encoder = decoder.clone()
        if not shape.tied:
            encoder = torch.nn.functional.normalize(torch.randn(features, shape.d_in, generator=generator), dim=1)
        self.weights[f"encoder.{layer}"] = encoder
        self.weights[f"bias.{layer}"] = torch.zeros(features)
        self.weights[f"decoder.{layer}"] = decoder
        self.weights[f"offset.{layer}"] = torch.zeros(shape.d_out)
        if shape.skip:
            self.weights[f"skip.{layer}"] = torch.zeros(shape.d_out, shape.d_in)
        if self.settings.sparsifier == "jumprelu":
            self.weights[f"log_threshold.{layer}"] = torch.zeros(features)
        self.memory[f"silent.{layer}"] = torch.zeros(features, dtype=torch.long)
        self.memory[f"smallest.{layer}"] = torch.zeros(())

    def dead(self, layer: int) -> Tensor:
        """Which features of a layer have not fired for a while, bool (features,)."""
        return self.memory[f"silent.{layer}"] > self.settings.dead_after

    def threshold(self, layer: int) -> Float[Tensor, " features"]:
        """What a pre-activation must exceed: learned (jumprelu) or the mean of what was kept last (batchtopk)."""
        if self.settings.sparsifier == "jumprelu":
            return self.weights[f"log_threshold.{layer}"].detach().exp()
        return self.memory[f"smallest.{layer}"].expand(self.settings.features)

    @torch.no_grad()
    def step(self, x: Sequence[Float[Tensor, "tokens d_in"]], y: Sequence[Float[Tensor, "tokens d_out"]]) -> Measured:
        """Set the gradient of every weight from one batch, and remember which features fired.

        Args:
            x: inputs of each layer, centred and scaled.
            y: targets of each layer, likewise; in an autoencoder the same as x.
        """
        shape, w = self.shape, self.weights
        tokens, layers = len(x[0]), shape.layers
        inputs = [a - w[f"offset.{m}"] if shape.tied else a for m, a in enumerate(x)]
        output = torch.cat([self._past_features(m, a) for m, a in enumerate(x)], dim=1)
        kept: list[tuple[Entries, Tensor, Tensor]] = []
        for layer, h in enumerate(inputs):
            pre = _affine(h, w[f"encoder.{layer}"], w[f"bias.{layer}"])
            entries = self._select(layer, pre)
            p = pre[entries.token, entries.feature]
            values = self._activate(layer, entries, p)
            kept.append((entries, p, values))
            output[:, layer * shape.d_out :] += decode(entries, values, w[f"decoder.{layer}"])
            self._remember(layer, entries, values, tokens)
        error = torch.cat(list(y), dim=1) - output
        loss = float(error.square().sum()) / (tokens * shape.d_out * layers)
        unexplained = loss / (sum(float(t.square().sum()) for t in y) / (tokens * shape.d_out * layers))
        back = error * (-2 / (tokens * shape.d_out * layers))
        for layer, (entries, p, values) in enumerate(kept):
            loss += self._backward(
                layer, inputs[layer], x[layer], entries, p, values, back[:, layer * shape.d_out :].contiguous()
            )
            loss += self._revive(layer, inputs[layer], error[:, layer * shape.d_out :])
        active = sum(int((values > 0).sum()) for _, _, values in kept) / tokens
        return Measured(loss, unexplained, active)

    def normalise(self) -> None:
        """Give decoder rows norm 1 again, after the optimizer's step."""
        for decoder in self._decoders():
            decoder.data /= decoder.data.norm(dim=1, keepdim=True)

    def project(self) -> None:
        """Take off the part of the decoders' gradients that would only change norms, before the optimizer's step."""
        for decoder in self._decoders():
            assert decoder.grad is not None
            decoder.grad -= (decoder.grad * decoder.data).sum(1, keepdim=True) * decoder.data

    def _decoders(self) -> Iterator[Tensor]:
        return (self.weights[f"decoder.{layer}"] for layer in range(self.shape.layers))

    # Forward

    def _past_features(self, layer: int, x: Tensor) -> Tensor:
        """What reaches the output without the features."""
        offset = self.weights[f"offset.{layer}"].expand(len(x), -1)
        return offset + x @ self.weights[f"skip.{layer}"].T if self.shape.skip else offset

    def _select(self, layer: int, pre: Tensor) -> Entries:
        """The entries that have a value or a gradient."""
        settings = self.settings
        if settings.sparsifier == "topk":
            return largest_of_each(pre, settings.k)
        if settings.sparsifier == "batchtopk":
            return largest_of_all(pre, settings.k, self._guess[layer])
        return all_above(pre, self.threshold(layer) - settings.bandwidth / 2)

    def _activate(self, layer: int, entries: Entries, p: Tensor) -> Tensor:
        if self.settings.sparsifier == "jumprelu":
            return p * (p > self.threshold(layer)[entries.feature])
        return p

    def _remember(self, layer: int, entries: Entries, values: Tensor, tokens: int) -> None:
        silent = self.memory[f"silent.{layer}"]
        silent += tokens
        silent[entries.feature[values > 0]] = 0
        if self.settings.sparsifier == "batchtopk" and len(values):
            smallest, least = self.memory[f"smallest.{layer}"], values.min()
            smallest.copy_(least if smallest == 0 else _KEEP * smallest + (1 - _KEEP) * least)
            self._guess[layer] = float(least)

    # Backward

    def _backward(
        self, layer: int, h: Tensor, x: Tensor, entries: Entries, p: Tensor, values: Tensor, back: Float[Tensor, "tokens reach"]
    ) -> float:
        """Gradients of a layer from that of the output; returns the sparsity penalty."""
        shape, w = self.shape, self.weights
        slope = products(entries, back, w[f"decoder.{layer}"])
        penalty = 0.0
        if self.settings.sparsifier == "jumprelu":
            penalty, slope = self._jump(layer, entries, p, values, slope)
        by_feature = transposed(entries)
        bias = torch.zeros_like(w[f"bias.{layer}"]).index_add_(0, entries.feature, slope)
        offset = back[:, : shape.d_out].sum(0)
        w[f"decoder.{layer}"].grad = gather(by_feature, values, back)
        w[f"encoder.{layer}"].grad = gather(by_feature, slope, h)
        w[f"bias.{layer}"].grad = bias
        w[f"offset.{layer}"].grad = offset - bias @ w[f"encoder.{layer}"] if shape.tied else offset
        if shape.skip:
            w[f"skip.{layer}"].grad = back[:, : shape.d_out].T @ x
        return penalty

    def _jump(self, layer: int, entries: Entries, p: Tensor, values: Tensor, slope: Tensor) -> tuple[float, Tensor]:
        """The threshold's gradient by straight-through estimators (equations 11 and 12); the penalty, and the slope with it."""
        settings, tokens = self.settings, entries.tokens
        threshold = self.threshold(layer)[entries.feature]
        on = (p > threshold).to(p.dtype)
        active = float(on.sum()) / tokens
        price, penalty = settings.sparsity or 0.0, 0.0
        if settings.penalty == "tanh":
            bent = torch.tanh(values)
            penalty = price * float(bent.sum()) / tokens
            slope = slope + price / tokens * (1 - bent.square())
            price = 0.0
        elif settings.sparsity is None:
            # The L0 on target: (active / k - 1)^2, whose gradient is that of a price on each feature.
            penalty, price = (active / settings.k - 1) ** 2, 2 * (active / settings.k - 1) / settings.k
        else:
            penalty = price * active
        window = ((p - threshold).abs() < settings.bandwidth / 2).to(p.dtype) / settings.bandwidth
        by_threshold = -window * (threshold * slope + price / tokens)
        log = self.weights[f"log_threshold.{layer}"]
        log.grad = torch.zeros_like(log).index_add_(0, entries.feature, by_threshold * threshold)
        return penalty, slope * on

    def _revive(self, layer: int, h: Tensor, error: Float[Tensor, "tokens reach"]) -> float:
        """The auxiliary loss: dead features alone explain the error, relative to its size. Adds its gradients."""
        settings, dead = self.settings, self.dead(layer)
        if not settings.auxiliary or not bool(dead.any()):
            return 0.0
        names = (f"encoder.{layer}", f"bias.{layer}", f"decoder.{layer}")
        with torch.enable_grad():
            encoder, bias, decoder = (self.weights[name].detach()[dead].requires_grad_() for name in names)
            values, indices = (h @ encoder.T + bias).topk(min(settings.auxiliary_k, len(encoder)), dim=-1)
            codes = torch.zeros(len(h), len(encoder), device=h.device).scatter(-1, indices, values.relu())
            left = (error - codes @ decoder).square().sum() / error.square().sum().clamp_min(1e-8)
            loss = settings.auxiliary * left / self.shape.layers
        for name, grad in zip(names, torch.autograd.grad(loss, (encoder, bias, decoder)), strict=True):
            whole = self.weights[name].grad
            assert whole is not None
            whole[dead] += grad
        return float(loss)


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x W^T + b; on CPUs through oneDNN, which is faster than MKL on some."""
    if can_pack(weight):
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return out
    return torch.addmm(bias, x, weight.T)
