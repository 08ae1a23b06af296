"""Each architecture finds a dictionary that was planted in its activations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from dragoman.tools.training.learner import Learner
from dragoman.tools.training.optimizer import Optimizer
from dragoman.tools.training.settings import Settings, Shape

WIDTH, PLANTED, ACTIVE, LAYERS, TOKENS = 32, 48, 3, 3, 20_000


def unit(*shape: int, seed: int) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def codes(seed: int) -> Tensor:
    """Activations [tokens, planted], three above zero at each token."""
    generator = torch.Generator().manual_seed(seed)
    which = torch.rand(TOKENS, PLANTED, generator=generator).topk(ACTIVE).indices
    return torch.zeros(TOKENS, PLANTED).scatter(1, which, 1 + torch.rand(TOKENS, ACTIVE, generator=generator))


def scaled(x: Tensor) -> Tensor:
    x = x - x.mean(0)
    return x * (x.shape[1] / x.square().sum(1).mean()).sqrt()


def trained(shape: Shape, settings: Settings, x: list[Tensor], y: list[Tensor]) -> tuple[Learner, float]:
    """The learner after its steps, and the variance unexplained in the last ones."""
    learner = Learner(shape, settings, torch.device("cpu"))
    optimizer = Optimizer(learner)
    generator = torch.Generator().manual_seed(0)
    seen = []
    for number in range(settings.steps):
        chosen = torch.randint(0, TOKENS, (settings.batch,), generator=generator)
        seen.append(optimizer.step([a[chosen] for a in x], [b[chosen] for b in y], number).unexplained)
    return learner, sum(seen[-20:]) / 20


def found(truth: Tensor, decoder: Tensor) -> float:
    """Mean over planted directions of the largest cosine with a learned one."""
    return float((truth @ torch.nn.functional.normalize(decoder, dim=1).T).max(1).values.mean())


def settings(architecture: str, **changes: Any) -> Settings:
    return Settings(architecture, features=96, k=4, tokens=400 * 512, batch=512, rate=1e-2, dead_after=20_000, **changes)


AUTOENCODERS: list[tuple[str, dict[str, Any]]] = [
    ("topk", {}),
    ("batchtopk", {}),
    ("jumprelu", {}),
    ("jumprelu", {"sparsity": 0.003}),
    ("jumprelu", {"sparsity": 0.01, "penalty": "tanh"}),
]


@pytest.mark.parametrize(("architecture", "changes"), AUTOENCODERS)
def test_autoencoders(architecture: str, changes: dict[str, Any]) -> None:
    truth = unit(PLANTED, WIDTH, seed=1)
    x = scaled(codes(2) @ truth)
    shape = Shape(("resid_post.0",), ("resid_post.0",), WIDTH, WIDTH)
    learner, unexplained = trained(shape, settings(architecture, **changes), [x], [x])
    chance = found(truth, unit(96, WIDTH, seed=3))
    assert chance < 0.6
    assert found(truth, learner.weights["decoder.0"].detach()) > 0.9
    assert unexplained < 0.1


@pytest.mark.parametrize("activation", ["batchtopk", "jumprelu"])
@pytest.mark.parametrize("architecture", ["transcoder", "skip-transcoder"])
def test_transcoders_find_what_is_written(architecture: str, activation: str) -> None:
    """Inputs and outputs share codes but no directions; for the skip a linear map of other inputs is added."""
    truth, reads = unit(PLANTED, WIDTH, seed=1), unit(PLANTED, 40, seed=4)
    a = codes(2)
    x, y = a @ reads, a @ truth
    skip = architecture == "skip-transcoder"
    if skip:
        y = y + 0.5 * (x @ unit(40, WIDTH, seed=6))
    shape = Shape(("mlp_in.0",), ("mlp_out.0",), 40, WIDTH, skip=skip)
    learner, unexplained = trained(shape, settings(architecture, activation=activation), [scaled(x)], [scaled(y)])
    assert unexplained < 0.12
    if not skip:  # with a skip, what the features write is not determined
        assert found(truth, learner.weights["decoder.0"].detach()) > 0.9
    else:
        assert float(learner.weights["skip.0"].detach().abs().max()) > 0.05


@pytest.mark.parametrize("activation", ["batchtopk", "jumprelu"])
def test_a_cross_layer_transcoder_finds_what_each_layer_writes_to_later_ones(activation: str) -> None:
    reads = [unit(PLANTED, WIDTH, seed=10 + n) for n in range(LAYERS)]
    writes = [unit(PLANTED, (LAYERS - n) * WIDTH, seed=20 + n) for n in range(LAYERS)]
    a = [codes(30 + n) for n in range(LAYERS)]
    x = [scaled(c @ r) for c, r in zip(a, reads, strict=True)]
    y = []
    for m in range(LAYERS):
        y.append(sum((a[n] @ writes[n].unflatten(1, (-1, WIDTH))[:, m - n] for n in range(m + 1)), torch.zeros(TOKENS, WIDTH)))
    factors = [(WIDTH / (t - t.mean(0)).square().sum(1).mean()).sqrt() for t in y]
    shape = Shape(tuple(f"mlp_in.{n}" for n in range(LAYERS)), tuple(f"mlp_out.{n}" for n in range(LAYERS)), WIDTH, WIDTH)
    learner, unexplained = trained(shape, settings("cross-layer", activation=activation), x, [scaled(t) for t in y])
    assert unexplained < 0.2
    for n in range(LAYERS):
        scale = torch.stack(factors[n:])[:, None]
        wanted = torch.nn.functional.normalize((writes[n].unflatten(1, (-1, WIDTH)) * scale).flatten(1), dim=1)
        assert found(wanted, unit(96, wanted.shape[1], seed=3)) < 0.6
        assert found(wanted, learner.weights[f"decoder.{n}"].detach()) > 0.85, n
