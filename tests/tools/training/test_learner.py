"""One step of training: loss and gradients against float64 written out with autograd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from dragoman.store.errors import UserError
from dragoman.tools.training import kernels
from dragoman.tools.training.learner import Learner
from dragoman.tools.training.settings import Settings, Shape

TOKENS, WIDTH, OUT, FEATURES, K = 40, 12, 10, 64, 5
AUTOENCODER = Shape(("resid_post.0",), ("resid_post.0",), WIDTH, WIDTH)
TRANSCODER = Shape(("mlp_in.0",), ("mlp_out.0",), WIDTH, OUT)
SKIP = Shape(("mlp_in.0",), ("mlp_out.0",), WIDTH, OUT, skip=True)
CROSS = Shape(tuple(f"mlp_in.{n}" for n in range(3)), tuple(f"mlp_out.{n}" for n in range(3)), WIDTH, OUT)


class Keep(torch.autograd.Function):
    """a = p where p > t, with the straight-through gradient for t (Rajamanoharan et al. 2024, equation 11)."""

    @staticmethod
    def forward(context: Any, p: Tensor, t: Tensor, width: float) -> Tensor:
        context.save_for_backward(p, t)
        context.width = width
        return p * (p > t)

    @staticmethod
    def backward(context: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        p, t = context.saved_tensors
        near = ((p - t).abs() < context.width / 2).double() / context.width
        return grads[0] * (p > t), (-t * near * grads[0]).sum(0), None


class Step(torch.autograd.Function):
    """1 where p > t, with the straight-through gradient for t (equation 12)."""

    @staticmethod
    def forward(context: Any, p: Tensor, t: Tensor, width: float) -> Tensor:
        context.save_for_backward(p, t)
        context.width = width
        return (p > t).double()

    @staticmethod
    def backward(context: Any, *grads: Tensor) -> tuple[None, Tensor, None]:
        p, t = context.saved_tensors
        near = ((p - t).abs() < context.width / 2).double() / context.width
        return None, (-near * grads[0]).sum(0), None


def keep(pre: Tensor, settings: Settings, threshold: Tensor | None) -> Tensor:
    if settings.sparsifier == "topk":
        values, indices = pre.topk(settings.k)
        return torch.zeros_like(pre).scatter(1, indices, values.relu())
    if settings.sparsifier == "batchtopk":
        values, indices = pre.flatten().topk(settings.k * len(pre))
        return torch.zeros_like(pre.flatten()).scatter(0, indices, values.relu()).view_as(pre)
    assert threshold is not None
    kept: Tensor = Keep.apply(pre, threshold, settings.bandwidth)  # type: ignore[no-untyped-call]
    return kept


def reference(learner: Learner, x: Sequence[Tensor], y: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and gradients in float64, dense, by autograd; dead features as the learner remembers them."""
    settings, shape = learner.settings, learner.shape
    w = {name: weight.detach().double().requires_grad_() for name, weight in learner.weights.items()}
    output: list[Tensor] = []
    codes, inputs, penalty = [], [], torch.zeros((), dtype=torch.double)
    for m in range(shape.layers):
        past = w[f"offset.{m}"].expand(len(x[m]), -1)
        output.append(past + x[m].double() @ w[f"skip.{m}"].T if shape.skip else past)
    for m in range(shape.layers):
        h = x[m].double() - (w[f"offset.{m}"] if shape.tied else 0)
        pre = h @ w[f"encoder.{m}"].T + w[f"bias.{m}"]
        threshold = w[f"log_threshold.{m}"].exp() if settings.sparsifier == "jumprelu" else None
        a = keep(pre, settings, threshold)
        codes.append(a)
        inputs.append(h)
        for n in range(m, shape.layers):
            output[n] = output[n] + a @ w[f"decoder.{m}"][:, (n - m) * shape.d_out : (n - m + 1) * shape.d_out]
        if threshold is not None:
            active: Tensor = Step.apply(pre, threshold, settings.bandwidth).sum(1).mean()  # type: ignore[no-untyped-call]
            if settings.penalty == "tanh":
                penalty = penalty + (settings.sparsity or 0) * torch.tanh(a).sum(1).mean()
            elif settings.sparsity is None:
                penalty = penalty + (active / settings.k - 1) ** 2
            else:
                penalty = penalty + settings.sparsity * active
    errors = [t.double() - o for t, o in zip(y, output, strict=True)]
    loss = sum(e.square().mean() for e in errors) / shape.layers + penalty
    for m in range(shape.layers):
        dead = learner.memory[f"silent.{m}"] > settings.dead_after
        if dead.any():
            pre = inputs[m].detach() @ w[f"encoder.{m}"][dead].T + w[f"bias.{m}"][dead]
            values, indices = pre.topk(min(settings.auxiliary_k, int(dead.sum())))
            few = torch.zeros_like(pre).scatter(1, indices, values.relu())
            error = torch.cat(errors[m:], 1).detach()
            left = (error - few @ w[f"decoder.{m}"][dead]).square().sum() / error.square().sum()
            loss = loss + settings.auxiliary * left / shape.layers
    names = list(w)
    return loss.detach(), dict(zip(names, torch.autograd.grad(loss, [w[n] for n in names]), strict=True))


def randomised(shape: Shape, settings: Settings) -> Learner:
    """A learner in the middle of training: no weight is zero, a third of the features are dead."""
    learner = Learner(shape, settings, torch.device("cpu"))
    generator = torch.Generator().manual_seed(1)
    for name, weight in learner.weights.items():
        weight.data += 0.3 * torch.randn(weight.shape, generator=generator)
        if name.startswith("log_threshold"):
            weight.data -= 0.2
        if name.startswith("bias"):
            weight.data[: FEATURES // 3] -= 3
    for name, memory in learner.memory.items():
        if name.startswith("silent"):
            memory[: FEATURES // 3] = settings.dead_after + 1
    return learner


def tensors(shape: Shape) -> tuple[list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(2)
    x = [torch.randn(TOKENS, shape.d_in, generator=generator) for _ in range(shape.layers)]
    if shape.tied:
        return x, x
    return x, [torch.randn(TOKENS, shape.d_out, generator=generator) for _ in range(shape.layers)]


CASES: list[tuple[Shape, dict[str, Any]]] = [
    (AUTOENCODER, {"architecture": "topk"}),
    (AUTOENCODER, {"architecture": "batchtopk"}),
    (AUTOENCODER, {"architecture": "jumprelu"}),
    (AUTOENCODER, {"architecture": "jumprelu", "sparsity": 0.01}),
    (AUTOENCODER, {"architecture": "jumprelu", "penalty": "tanh", "sparsity": 0.01}),
    (TRANSCODER, {"architecture": "transcoder"}),
    (SKIP, {"architecture": "skip-transcoder"}),
    (CROSS, {"architecture": "cross-layer"}),
    (CROSS, {"architecture": "cross-layer", "activation": "jumprelu"}),
]


@pytest.mark.parametrize(("shape", "changes"), CASES, ids=["-".join(map(str, changes.values())) for _, changes in CASES])
def test_loss_and_gradients_are_those_of_float64_autograd(shape: Shape, changes: dict[str, Any]) -> None:
    settings = Settings(features=FEATURES, k=K, tokens=1000, batch=TOKENS, auxiliary_k=8, **changes)
    learner = randomised(shape, settings)
    x, y = tensors(shape)
    seen = learner.step(x, y)
    assert any(learner.dead(m).any() for m in range(shape.layers)), "the auxiliary loss is not tested"
    loss, grads = reference(learner, x, y)
    assert seen.loss == pytest.approx(float(loss), rel=1e-5)
    for name, grad in grads.items():
        ours = learner.weights[name].grad
        assert ours is not None
        assert float(grad.abs().max()) > 0, name
        torch.testing.assert_close(ours.double(), grad, rtol=1e-4, atol=1e-5 * float(grad.abs().max()), msg=name)


def test_products_without_the_sampled_kernel_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(50, 8, generator=generator), torch.randn(30, 8, generator=generator)
    entries = kernels.all_above(torch.randn(50, 30, generator=generator), torch.zeros(30))
    wanted = (a @ b.T)[entries.token, entries.feature]
    torch.testing.assert_close(kernels.products(entries, a, b), wanted)
    monkeypatch.setattr(kernels, "_has_sampled", lambda device: False)
    torch.testing.assert_close(kernels.products(entries, a, b), wanted)


@pytest.mark.parametrize("guess", [0.0, 0.5, 1.9, 100.0])
def test_the_largest_of_a_batch_do_not_depend_on_the_guess(guess: float) -> None:
    pre = torch.randn(50, 64, generator=torch.Generator().manual_seed(0))
    entries = kernels.largest_of_all(pre, 3, guess)
    kept = torch.zeros_like(pre, dtype=torch.bool)
    kept[entries.token, entries.feature] = True
    least = pre.flatten().topk(150).values[-1]
    assert torch.equal(kept, pre >= least)
    assert torch.equal(entries.token, entries.token.sort().values)


def test_decoder_rows_keep_norm_one_and_gradients_do_not_change_it() -> None:
    learner = Learner(CROSS, Settings("cross-layer", features=FEATURES, k=K, tokens=1000, batch=TOKENS), torch.device("cpu"))
    x, y = tensors(CROSS)
    learner.step(x, y)
    learner.project()
    for m in range(3):
        decoder = learner.weights[f"decoder.{m}"]
        assert decoder.grad is not None
        torch.testing.assert_close((decoder.grad * decoder).sum(1), torch.zeros(FEATURES), atol=1e-6, rtol=0)
        decoder.data *= 3
    learner.normalise()
    torch.testing.assert_close(learner.weights["decoder.0"].norm(dim=1), torch.ones(FEATURES))


def test_a_feature_that_is_silent_for_long_enough_is_dead_until_it_fires() -> None:
    settings = Settings("topk", features=FEATURES, k=K, tokens=1000, batch=TOKENS, dead_after=2 * TOKENS)
    learner = Learner(AUTOENCODER, settings, torch.device("cpu"))
    x, _ = tensors(AUTOENCODER)
    learner.weights["bias.0"].data[7] = -100
    for number in range(3):
        assert not learner.dead(0)[7], number
        learner.step(x, x)
    assert learner.dead(0)[7]
    learner.weights["bias.0"].data[7] = 100
    learner.step(x, x)
    assert not learner.dead(0)[7]


BAD = [
    ({"architecture": "gated"}, "Unknown architecture 'gated': use one of"),
    ({"k": 100, "features": 64}, "--k 100 is more than the 64 features"),
    ({"features": 0}, "--features must be at least 1"),
    ({"tokens": 100}, "--tokens 100 is less than one batch"),
    ({"rate": float("nan")}, "--rate must be a number above 0"),
    ({"architecture": "topk", "activation": "jumprelu"}, "leave --activation to transcoders"),
    ({"architecture": "transcoder", "activation": "topk"}, "Unknown activation 'topk': use one of batchtopk, jumprelu"),
    ({"architecture": "jumprelu", "penalty": "tanh"}, "--sparsity"),
]


@pytest.mark.parametrize(("changes", "says"), BAD)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Settings(**changes)
