"""Edited forward passes against float64 ones written out without our hooks, in four families, to 1e-4 relative."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dragoman.tools.dictionaries import Dictionary, load
from dragoman.tools.dictionaries.coder import Coder, Recipe, make_coder
from dragoman.tools.dictionaries.crosslayer import CrossLayerPart, make_cross_layer
from dragoman.tools.interventions import ablate, clamp, heads, layer, measure, neurons, random_direction, steer
from dragoman.tools.interventions.edits import Baseline, Edit, Means
from dragoman.tools.interventions.positions import Positions, right_padded
from dragoman.tools.interventions.running import Intervention
from dragoman.tools.subject import Subject
from tests.support.reference import Held, Reference

Tiny = Callable[[str], Subject]
FAMILIES = ["gpt2", "llama", "gpt_neox", "gemma2"]
D, F, T = 16, 40, 11
KINDS = ["resid_pre", "z", "attn_out", "resid_mid", "mlp_normalized", "mlp_in", "mlp_hidden", "mlp_out", "resid_post"]


def ids(length: int = T, seed: int = 1) -> Tensor:
    return torch.randint(3, 300, (length,), generator=torch.Generator().manual_seed(seed))


def close(got: Tensor, expected: Tensor) -> None:
    """To 1e-4 of the largest entry."""
    assert (got.double() - expected).abs().max() <= 1e-4 * expected.abs().max()


def run(subject: Subject, edits: Sequence[Edit], x: Tensor) -> Tensor:
    """Logits of one text under edits, no BOS."""
    with Intervention(subject, edits).active(right_padded([len(x)], False)):
        return subject.logits(x[None])[0]


def agrees(subject: Subject, edits: Sequence[Edit], point: Callable[[str, Tensor], Tensor], **held: Any) -> None:
    reference = Reference(subject.model)
    expected = reference(ids(), point, **held)
    close(run(subject, edits, ids()), expected)
    clean = reference(ids())
    assert (expected - clean).abs().max() > 1e-2 * clean.abs().max(), "an edit that changes nothing proves nothing"


class Sae:
    """A SAELens SAE at a hook point, its file, and its equations in float64."""

    def __init__(
        self,
        folder: Path,
        hook: str,
        normalize: str = "none",
        architecture: str = "standard",
        width: int = D,
        exclude: Sequence[int] = (),
    ) -> None:
        random = torch.Generator().manual_seed(3)
        shapes = {"W_enc": (width, F), "W_dec": (F, width), "b_enc": (F,), "b_dec": (width,), "threshold": (F,)}
        weights = {name: 0.4 * torch.randn(shape, generator=random) for name, shape in shapes.items()}
        weights["threshold"] = weights["threshold"].abs()
        folder.mkdir()
        save_file(weights, folder / "sae_weights.safetensors")
        config = {
            "architecture": architecture, "d_in": width, "d_sae": F, "dtype": "float32", "apply_b_dec_to_input": True,
            "normalize_activations": normalize, "metadata": {"hook_name": hook, "exclude_special_tokens": list(exclude)},
        }  # fmt: skip
        (folder / "cfg.json").write_text(json.dumps(config))
        self.folder, self.normalize, self.architecture = folder, normalize, architecture
        self.w = {name: tensor.double() for name, tensor in weights.items()}

    def load(self, subject: Subject) -> Dictionary:
        return load(str(self.folder), subject)

    def encode(self, x: Tensor) -> Tensor:
        if self.normalize == "layer_norm":
            x = (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-5)
        p = (x - self.w["b_dec"]) @ self.w["W_enc"] + self.w["b_enc"]
        return p.relu() * (p > self.w["threshold"]) if self.architecture == "jumprelu" else p.relu()

    def decode(self, f: Tensor, x: Tensor) -> Tensor:
        y = f @ self.w["W_dec"] + self.w["b_dec"]
        return y * x.std(-1, keepdim=True) + x.mean(-1, keepdim=True) if self.normalize == "layer_norm" else y


def point_of(family: str, kind: str) -> str:
    if family == "gpt_neox" and kind in ("resid_mid", "mlp_normalized"):
        pytest.skip("attention and MLP read the same stream")
    return f"{kind}.1"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_ablating_features_at_every_hook_point(family: str, kind: str, tiny: Tiny, tmp_path: Path) -> None:
    subject = tiny(family)
    hook = point_of(family, kind)
    sae = Sae(tmp_path / "sae", hook, width=subject.width(hook))

    def point(name: str, x: Tensor) -> Tensor:
        if name != hook:
            return x
        f = sae.encode(x)
        g = f.clone()
        g[:, :30] = 0
        return x + sae.decode(g, x) - sae.decode(f, x)

    agrees(subject, [ablate(sae.load(subject), range(30))], point)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("normalize", ["none", "layer_norm"])
def test_ablate_clamp_and_steer_at_positions(family: str, normalize: str, tiny: Tiny, tmp_path: Path) -> None:
    subject = tiny(family)
    sae = Sae(tmp_path / "sae", "resid_post.0", normalize, "jumprelu")
    dictionary = sae.load(subject)
    maxima = [2.0, 3.0]
    edits: list[Edit] = [
        ablate(dictionary, [4, 5], Baseline("mean", (0.7, 0.3), "somewhere"), Positions(2, 9)),
        clamp(dictionary, [6, 7], 1.5, maxima, Positions(exact=(3, -1))),
        steer(dictionary, [7, 8], 2.0, maxima),
    ]

    def point(name: str, x: Tensor) -> Tensor:
        if name != "resid_post.0":
            return x
        f = sae.encode(x)
        g = f.clone()
        g[2:9, 4], g[2:9, 5] = 0.7, 0.3
        for position in (3, T - 1):
            g[position, 6], g[position, 7] = 3.0, 4.5
        g[:, 7] += 4.0
        g[:, 8] += 6.0
        return x + sae.decode(g, x) - sae.decode(f, x)

    agrees(subject, edits, point)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("how", ["ablate", "steer", "dropped"])
def test_tokens_that_a_dictionary_was_not_trained_on_are_left_alone(family: str, how: str, tiny: Tiny, tmp_path: Path) -> None:
    """As in sae_lens (HookedSAETransformer, `exclude_special_tokens`): there the model's own tensor goes on."""
    subject = tiny(family)
    out = sorted({int(ids()[position]) for position in (0, 4, 5)})
    sae = Sae(tmp_path / "sae", "resid_post.0", exclude=out)
    dictionary = sae.load(subject)
    edits: dict[str, Edit] = {
        "ablate": ablate(dictionary, range(30)),
        "steer": steer(dictionary, [7, 8], 2.0, [2.0, 3.0]),
        "dropped": ablate(dictionary, [2], keep_error=False),
    }

    def point(name: str, x: Tensor) -> Tensor:
        if name != "resid_post.0":
            return x
        f = sae.encode(x)
        g = f.clone()
        if how == "steer":
            g[:, 7] += 4.0
            g[:, 8] += 6.0
        else:
            g[:, : 30 if how == "ablate" else 0] = 0
            g[:, 2] = 0
        new = sae.decode(g, x) if how == "dropped" else x + sae.decode(g, x) - sae.decode(f, x)
        return torch.where(torch.isin(ids(), torch.tensor(out))[:, None], x, new)

    assert dictionary.facts.excluded_ids == tuple(out)
    agrees(subject, [edits[how]], point)


@pytest.mark.parametrize("family", FAMILIES)
def test_without_the_error_term_the_reconstruction_takes_its_place(family: str, tiny: Tiny, tmp_path: Path) -> None:
    subject = tiny(family)
    sae = Sae(tmp_path / "sae", "resid_pre.1")

    def point(name: str, x: Tensor) -> Tensor:
        if name != "resid_pre.1":
            return x
        f = sae.encode(x)
        f[:, 2] = 0
        return torch.cat([x[:4], sae.decode(f, x)[4:]])

    agrees(subject, [ablate(sae.load(subject), [2], positions=Positions(4), keep_error=False)], point)


def cross_layer(layers: int = 3) -> CrossLayerPart:
    """The first layer of a cross-layer transcoder: reads mlp_in.0, writes mlp_out of all layers."""
    random = torch.Generator().manual_seed(5)

    def each(*shape: int) -> list[Tensor]:
        return [torch.randn(shape, generator=random) for _ in range(layers)]

    decoders = [torch.randn((F, layers - n, D), generator=random) for n in range(layers)]
    return make_cross_layer("clt", each(F, D), each(F), decoders, each(D), kind_in="mlp_in").parts[0]


def skip_transcoder() -> Coder:
    """Reads mlp_in.0, writes mlp_out.0, with a skip connection."""
    random = torch.Generator().manual_seed(6)
    shapes = {"W_enc": (D, F), "W_dec": (F, D), "b_enc": (F,), "b_dec": (D,), "W_skip": (D, D)}
    weights = {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}
    return make_coder("skip", "mlp_in.0", "mlp_out.0", Recipe("relu"), weights)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_dictionary_that_writes_to_several_layers(family: str, tiny: Tiny) -> None:
    subject, part = tiny(family), cross_layer()
    w, decoders = {name: tensor.double() for name, tensor in part.weights.items()}, part.decoders.double()
    read: dict[str, Tensor] = {}

    def point(name: str, x: Tensor) -> Tensor:
        if name == "mlp_in.0":
            read["f"] = (x @ w["W_enc"] + w["b_enc"]).relu()
            read["g"] = read["f"].clone()
            read["g"][5:, :20] = 0
        if name.startswith("mlp_out."):
            return x + (read["g"] - read["f"]) @ decoders[:, int(name[8:])]
        return x

    agrees(subject, [ablate(part, range(20), positions=Positions(5))], point)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("keep", [True, False])
def test_a_skip_transcoder_with_and_without_its_error_term(family: str, keep: bool, tiny: Tiny) -> None:
    subject, coder = tiny(family), skip_transcoder()
    w = {name: tensor.double() for name, tensor in coder.weights.items()}
    read: dict[str, Tensor] = {}

    def point(name: str, x: Tensor) -> Tensor:
        if name == "mlp_in.0":
            read["x"], read["f"] = x, (x @ w["W_enc"] + w["b_enc"]).relu()
        if name != "mlp_out.0":
            return x
        g = read["f"].clone()
        g[:, 3] = 20.0
        if keep:
            return x + (g - read["f"]) @ w["W_dec"]
        return g @ w["W_dec"] + w["b_dec"] + read["x"] @ w["W_skip"].T

    agrees(subject, [clamp(coder, [3], 2.0, [10.0], keep_error=keep)], point)


@pytest.mark.parametrize("family", FAMILIES)
def test_several_dictionaries_and_units_at_once(family: str, tiny: Tiny, tmp_path: Path) -> None:
    subject = tiny(family)
    early, late = Sae(tmp_path / "early", "resid_post.0"), Sae(tmp_path / "late", "resid_post.1", "layer_norm")
    again = Sae(tmp_path / "again", "resid_post.0", "layer_norm")
    mean = torch.linspace(-1, 1, subject.width("z.2"))
    hidden = load("neurons:mlp.1", subject)
    edits: list[Edit] = [
        ablate(early.load(subject), [1, 2, 3]),
        steer(again.load(subject), [9], 1.0, [2.0]),
        ablate(late.load(subject), range(20)),
        heads(subject, 1, [0, 3]),
        heads(subject, 2, [1], Means({"z.2": mean}, "the test")),
        neurons(subject, 0, [5, 6]),
        clamp(hidden, [7], 1.0, [4.0]),
        *layer(subject, 2, "mlp"),
    ]
    size = subject.width("z.1") // 4

    def point(name: str, x: Tensor) -> Tensor:
        x = x.clone()
        if name == "resid_post.0":
            f = early.encode(x)
            g = f.clone()
            g[:, [1, 2, 3]] = 0
            h = again.encode(x)
            k = h.clone()
            k[:, 9] += 2.0
            return x + early.decode(g, x) - early.decode(f, x) + again.decode(k, x) - again.decode(h, x)
        if name == "resid_post.1":
            f = late.encode(x)
            g = f.clone()
            g[:, :20] = 0
            return x + late.decode(g, x) - late.decode(f, x)
        if name == "z.1":
            x[:, :size] = x[:, 3 * size :] = 0
        if name == "z.2":
            x[:, size : 2 * size] = mean[size : 2 * size].double()
        if name == "mlp_hidden.0":
            x[:, 5:7] = 0
        if name == "mlp_hidden.1":
            x[:, 7] += 4.0 - x[:, 7].relu()
        return torch.zeros_like(x) if name == "mlp_out.2" else x

    agrees(subject, edits, point)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("frozen", [("attention",), ("norms",), ("attention", "norms")])
def test_frozen_attention_and_norms(family: str, frozen: tuple[str, ...], tiny: Tiny, tmp_path: Path) -> None:
    subject = tiny(family)
    with torch.no_grad():  # random weights attend to everything alike, whatever is edited
        for name, weight in subject.model.named_parameters():
            if any(part in name for part in ("q_proj", "k_proj", "c_attn.weight", "query_key_value.weight")):
                weight.mul_(4)
    sae = Sae(tmp_path / "sae", "resid_post.0")
    edit = steer(sae.load(subject), [9], 3.0, [2.0], Positions(3))

    def point(name: str, x: Tensor) -> Tensor:
        return torch.cat([x[:3], x[3:] + 6.0 * sae.w["W_dec"][9]]) if name == "resid_post.0" else x

    reference, held = Reference(subject.model), Held()
    clean = reference(ids(), record=held)
    changed = reference(
        ids(), point, patterns=held if "attention" in frozen else None, scales=held if "norms" in frozen else None
    )
    p, q = clean.log_softmax(-1), changed.log_softmax(-1)
    kl = (p.exp() * (p - q)).sum(-1)
    effects = measure(subject, [edit], [ids().tolist()], freeze=frozen, bos=False)
    np.testing.assert_allclose([t.kl for t in effects.per_token], kl, rtol=1e-3, atol=1e-4 * float(kl.max()))
    live = measure(subject, [edit], [ids().tolist()], bos=False)
    assert abs(live.kl - effects.kl) > 1e-2 * live.kl, "freezing must make a difference"
    assert subject.text_config._attn_implementation != "dragoman_frozen"


@pytest.mark.parametrize("family", FAMILIES)
def test_effects_against_float64(family: str, tiny: Tiny, tmp_path: Path) -> None:
    subject = tiny(family)
    sae = Sae(tmp_path / "sae", "resid_post.1")
    edit = steer(sae.load(subject), [9], 1.0, [2.0], Positions(4))

    def point(name: str, x: Tensor) -> Tensor:
        return torch.cat([x[:4], x[4:] + 2.0 * sae.w["W_dec"][9]]) if name == "resid_post.1" else x

    texts = [ids(), ids(7, seed=2)]
    effects = measure(subject, [edit], [t.tolist() for t in texts], chosen=[17, 5], bos=False)
    reference = Reference(subject.model)
    shift, kl, before, after, share = torch.zeros(300).double(), [], [], [], torch.zeros(300).double()
    for text in texts:
        a, b = reference(text), reference(text, point)
        p, q = a.log_softmax(-1), b.log_softmax(-1)
        shift += ((b - b.mean(-1, keepdim=True)) - (a - a.mean(-1, keepdim=True)))[4:].sum(0)
        share += q.exp()[4:].sum(0)
        kl += (p.exp() * (p - q)).sum(-1)[4:].tolist()
        rows = torch.arange(4, len(text) - 1)
        before += (-p[rows, text[5:]]).tolist()
        after += (-q[rows, text[5:]]).tolist()
    n = len(kl)
    assert effects.tokens == n == 7 + 3 and effects.texts == 2
    assert effects.kl == pytest.approx(np.mean(kl), rel=1e-3) and effects.kl_max == pytest.approx(max(kl), rel=1e-3)
    assert effects.loss_before == pytest.approx(np.mean(before), rel=1e-4)
    assert effects.loss_after == pytest.approx(np.mean(after), rel=1e-4)
    order = torch.argsort(shift, descending=True)
    assert [s.id for s in effects.promoted] == order[:10].tolist()
    assert [s.id for s in effects.suppressed] == order.flip(0)[:10].tolist()
    for entry, token in zip(effects.chosen, (17, 5), strict=True):
        assert entry.id == token and entry.shift == pytest.approx(float(shift[token]) / n, rel=1e-3, abs=1e-5)
        assert entry.after == pytest.approx(float(share[token]) / n, rel=1e-3)
    assert [t.edited for t in effects.per_token] == [*[False] * 4, *[True] * 7, *[False] * 4, *[True] * 3]
    assert all(t.kl < 1e-6 for t in effects.per_token if t.position < 4), "what comes before the edit is untouched"
    last = measure(subject, [edit], [t.tolist() for t in texts], bos=False, at="last")
    assert last.tokens == 2 and last.loss_change is None and last.kl == pytest.approx((kl[6] + kl[-1]) / 2, rel=1e-3)


@pytest.mark.parametrize("normalize", ["none", "layer_norm"])
@pytest.mark.parametrize("how", ["steer", "ablate"])
def test_the_random_direction_has_the_norm_of_the_edit(how: str, normalize: str, tiny: Tiny, tmp_path: Path) -> None:
    subject = tiny("llama")
    dictionary = Sae(tmp_path / "sae", "resid_post.1", normalize).load(subject)
    edit = steer(dictionary, [9, 3], 2.0, [2.0, 1.0]) if how == "steer" else ablate(dictionary, [9, 3])
    x = ids()
    clean = subject.capture(x[None], ["resid_post.1"])["resid_post.1"]
    moved = {}
    for name, own in (("edit", edit), ("random", random_direction(edit, 0)), ("other", random_direction(edit, 1))):
        with Intervention(subject, [own]).active(right_padded([T], False)):
            moved[name] = subject.capture(x[None], ["resid_post.1"])["resid_post.1"] - clean
    torch.testing.assert_close(moved["random"].norm(dim=-1), moved["edit"].norm(dim=-1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(moved["other"].norm(dim=-1), moved["edit"].norm(dim=-1), rtol=1e-4, atol=1e-5)
    touched = moved["edit"][0].norm(dim=-1) > 1e-3
    assert touched.any() and (how == "ablate" or touched.all())
    cosine = torch.nn.functional.cosine_similarity(moved["random"][0], moved["other"][0])[touched]
    assert (cosine - cosine[0]).abs().max() < 1e-3 and abs(cosine[0]) < 0.9, (
        "one direction on all tokens, another for another seed"
    )
