"""Gradients against a float64 model without our hooks, in every family; integrated gradients add up."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dragoman.store.errors import UserError
from dragoman.tools.attribution import gradient, integrated_gradients
from dragoman.tools.dictionaries import Coder, Recipe, load, make_coder, pre_activations
from dragoman.tools.probe import Probe
from dragoman.tools.subject import Subject
from tests.support.benches import write_sae

Tiny = Callable[[str], Subject]
FAMILIES = ["gpt2", "gpt_neox", "llama", "mistral", "qwen3", "gemma2", "gemma3", "phi3", "olmo2"]
TEXT = "the cat sat on the mat and a dog"


def make_probe(subject: Subject, folder: Path, index: int, bos: bool) -> Probe:
    dictionary = load(str(write_sae(folder / "sae", prepend_bos=bos)), subject)
    return Probe(subject, dictionary, index, prepend_bos=bos, window=20)


def reference(probe: Probe, position: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Pre-activation, gradient and embeddings in float64, from the model's own hidden states."""
    coder: Any = probe.dictionary
    model = copy.deepcopy(probe.subject.model).double()
    ids = [*([1] if probe.prepend_bos else []), *probe.prompt(TEXT).ids]
    embeddings = model.get_input_embeddings()(torch.tensor([ids])).detach().requires_grad_(True)
    hidden = model(inputs_embeds=embeddings, output_hidden_states=True).hidden_states[2][0]
    w = {name: tensor.double() for name, tensor in coder.weights.items()}
    at = position + int(probe.prepend_bos)
    x = hidden[at]
    if coder.recipe.centred:
        x = x - x.mean()
    value = (x - w["b_dec"]) @ w["W_enc"][:, probe.index] + w["b_enc"][probe.index]
    value.backward()
    lead = int(probe.prepend_bos)
    assert embeddings.grad is not None
    return float(value.detach()), embeddings.grad[0, lead:].numpy(), embeddings[0, lead:].detach().numpy()


@pytest.mark.parametrize("bos", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_times_input(family: str, bos: bool, tiny: Tiny, tmp_path: Path) -> None:
    probe = make_probe(tiny(family), tmp_path, 4, bos)
    value, slope, embeddings = reference(probe, 6)
    found = gradient(probe, TEXT, 6)
    assert found.value == pytest.approx(value, rel=1e-4)
    expected = (slope * embeddings).sum(-1)
    scores = np.array([np.nan if s is None else s for s in found.scores])
    np.testing.assert_allclose(scores[:7], expected[:7], rtol=2e-3, atol=1e-4 * np.abs(expected).max())
    assert np.isnan(scores[7:]).all() and np.abs(expected[7:]).max() == 0, "attention is causal"
    (activation,) = probe.at([probe.prompt(TEXT).ids[:7]])
    assert found.quantity == ("activation" if activation > 0 else "pre-activation")
    if activation > 0:
        assert found.value == pytest.approx(float(activation), abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_embeddings_in_place_of_ids_change_nothing(family: str, tiny: Tiny) -> None:
    subject = tiny(family)
    ids = torch.tensor([[5, 80, 33, 290]])
    hooks = ["resid_post.2", "mlp_hidden.1", "z.0"]
    for name, tensor in subject.capture_embedded(subject.embed(ids), hooks).items():
        torch.testing.assert_close(tensor, subject.capture(ids, hooks)[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3"])
def test_integrated_gradients_add_up(family: str, tiny: Tiny, tmp_path: Path) -> None:
    probe = make_probe(tiny(family), tmp_path, 4, True)
    for baseline in (None, " park"):
        found = integrated_gradients(probe, TEXT, 6, steps=256, baseline=baseline)
        assert found.baseline_value is not None and found.gap is not None
        assert abs(found.value - found.baseline_value) > 0.05
        assert abs(found.gap) < 1e-3 * max(1.0, abs(found.value - found.baseline_value)), found.gap
    rows = [[probe.token(" park")] * 7]
    (alone,) = probe.both(rows)[1]
    assert found.baseline_value == pytest.approx(float(alone[-1]), abs=1e-4)
    coarse = integrated_gradients(probe, TEXT, 6, steps=2, baseline=" park")
    assert coarse.gap is not None and found.gap is not None and abs(coarse.gap) > abs(found.gap), (
        "the gap shows that two steps are too few"
    )


def test_what_cannot_be_followed(tiny: Tiny, tmp_path: Path) -> None:
    probe = make_probe(tiny("llama"), tmp_path, 4, True)

    class Bare:
        """A dictionary without pre-activations."""

        def __init__(self, coder: Any) -> None:
            self.facts, self.width, self.d_in, self.encode = coder.facts, coder.width, coder.d_in, coder.encode

    probe.dictionary = Bare(probe.dictionary)  # type: ignore[assignment]
    with pytest.raises(UserError, match="no pre-activations"):
        gradient(probe, TEXT, 6)
    with pytest.raises(UserError, match="2 to 1024 steps"):
        integrated_gradients(probe, TEXT, 6, steps=1)


@pytest.mark.parametrize("activation", ["relu", "jumprelu", "topk", "topk_rescaled", "groupmax", "gated"])
def test_pre_activations_equal_activations_where_they_are_above_zero(activation: str) -> None:
    generator = torch.Generator().manual_seed(0)
    d, features = 12, 40

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    weights = {"W_enc": draw(d, features), "W_dec": draw(features, d), "b_dec": draw(d)}
    kind: Any = activation.removesuffix("_rescaled")
    if kind == "gated":
        weights |= {name: draw(features) for name in ("b_gate", "b_mag", "r_mag")}
    else:
        weights["b_enc"] = draw(features)
    if kind == "jumprelu":
        weights["threshold"] = draw(features).abs()
    recipe = Recipe(kind, k=5 if kind in ("topk", "groupmax") else 0, rescale_by_decoder_norm=activation.endswith("rescaled"))
    coder: Coder = make_coder("c", "resid_post.1", "resid_post.1", recipe, weights)
    x = draw(50, d)
    codes = coder.encode(x)
    some = torch.tensor([3, 17, 0, 39])
    pre = pre_activations(coder, x, some)
    active = codes[:, some] > 0
    assert 5 < active.sum() < active.numel() - 5
    torch.testing.assert_close(pre[active], codes[:, some][active], rtol=1e-5, atol=1e-5)
    if kind in ("relu", "gated"):
        assert (pre[~active] <= 0).all()


def test_pre_activations_of_neurons_and_directions(tiny: Tiny, tmp_path: Path) -> None:
    subject = tiny("llama")
    np.save(tmp_path / "d.npy", np.random.default_rng(0).standard_normal((4, 16)).astype(np.float32))
    for spec in ("neurons:mlp.1", f"directions:{tmp_path}/d.npy@resid_post.1"):
        dictionary = load(spec, subject)
        x = torch.randn(30, dictionary.d_in, generator=torch.Generator().manual_seed(0))
        pre = pre_activations(dictionary, x, torch.arange(3))
        torch.testing.assert_close(pre.relu(), dictionary.encode(x)[:, :3])
        assert (pre < 0).any()
