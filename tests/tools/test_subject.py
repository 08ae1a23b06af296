"""Hook points of every family against the definitions: hidden states of the model itself and the algebra of its blocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dragoman.store.errors import UserError
from dragoman.tools.hooks import KINDS, parse_hook_point
from dragoman.tools.subject import Subject

Tiny = Callable[[str], Subject]
FAMILIES = [
    "gpt2", "gpt_neox", "gpt_neox_sequential", "llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "phi3", "olmo2",
]  # fmt: skip
# Where each family keeps what a definition speaks of: attention projection, MLP, norm before the MLP, norms after each.
MODULES: dict[str, tuple[str, str, str | None, str | None, str | None]] = {
    "gpt2": ("attn.c_proj", "mlp", "ln_2", None, None),
    "gpt_neox": ("attention.dense", "mlp", "post_attention_layernorm", None, None),
    "gpt_neox_sequential": ("attention.dense", "mlp", "post_attention_layernorm", None, None),
    "gemma2": (
        "self_attn.o_proj", "mlp", "pre_feedforward_layernorm", "post_attention_layernorm", "post_feedforward_layernorm",
    ),
    "gemma3": (
        "self_attn.o_proj", "mlp", "pre_feedforward_layernorm", "post_attention_layernorm", "post_feedforward_layernorm",
    ),
    "olmo2": ("self_attn.o_proj", "mlp", None, "post_attention_layernorm", "post_feedforward_layernorm"),
}  # fmt: skip
LLAMA_LIKE = ("self_attn.o_proj", "mlp", "post_attention_layernorm", None, None)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def ids(rows: int = 2, length: int = 9) -> Tensor:
    return torch.randint(3, 300, (rows, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", FAMILIES)
def test_hook_points_mean_what_they_say(family: str, tiny: Tiny) -> None:
    subject = tiny(family)
    parallel = family == "gpt_neox"
    absent = {"gpt_neox": ["resid_mid", "mlp_normalized"], "olmo2": ["mlp_normalized"]}.get(family, [])
    kinds = [k for k in KINDS if k not in absent]
    x = ids()
    got = subject.capture(x, [f"{kind}.{layer}" for kind in kinds for layer in range(subject.layers)])
    with torch.inference_mode():
        hidden = subject.decoder(x, output_hidden_states=True, use_cache=False).hidden_states
        projection, mlp, before, after_attention, after_mlp = MODULES.get(family, LLAMA_LIKE)
        for layer, block in enumerate(subject.blocks):
            at = {kind: got[f"{kind}.{layer}"] for kind in kinds}
            close(at["resid_pre"], hidden[layer])
            if layer + 1 < subject.layers:
                close(at["resid_post"], hidden[layer + 1])
            else:
                norm = subject.decoder.get_submodule(subject.family.final_norm)
                close(norm(at["resid_post"]), hidden[-1])
            attention = block.get_submodule(projection)(at["z"])
            close(at["attn_out"], block.get_submodule(after_attention)(attention) if after_attention else attention)
            out = block.get_submodule(mlp)(at["mlp_in"])
            close(at["mlp_out"], block.get_submodule(after_mlp)(out) if after_mlp else out)
            close(block.get_submodule(subject.family.mlp_projection)(at["mlp_hidden"]), out)
            middle = at["resid_pre"] if parallel else at["resid_pre"] + at["attn_out"]
            if not parallel:
                close(at["resid_mid"], middle)
            close(at["resid_post"], at["resid_pre"] + at["attn_out"] + at["mlp_out"])
            normed = block.get_submodule(before)(middle) if before else middle
            close(at["mlp_in"], normed)
            if "mlp_normalized" in at:
                bare = block.get_submodule(before or "")
                weight: Any = bare.weight
                bias = getattr(bare, "bias", None)
                close(
                    at["mlp_normalized"] * (1 + weight if family.startswith("gemma") else weight) + (0 if bias is None else bias),
                    normed,
                )
    for name, tensor in got.items():
        assert tensor.shape == (2, 9, subject.width(name))


@pytest.mark.parametrize("family", FAMILIES)
def test_forward_stops_at_the_last_layer_needed(family: str, tiny: Tiny) -> None:
    subject = tiny(family)
    ran: list[int] = []
    handles = [block.register_forward_hook(lambda *_, n=n: ran.append(n)) for n, block in enumerate(subject.blocks)]
    head = subject.model.get_output_embeddings().register_forward_hook(lambda *_: ran.append(99))
    whole = subject.capture(ids(), ["resid_post.0"], stop=False)
    assert ran == [0, 1, 2]
    ran.clear()
    early = subject.capture(ids(), ["resid_post.0", "mlp_out.0"])
    for handle in [*handles, head]:
        handle.remove()
    assert ran == [0]
    close(early["resid_post.0"], whole["resid_post.0"])


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_on_the_right_changes_nothing(family: str, tiny: Tiny) -> None:
    subject = tiny(family)
    x = ids(1, 9)
    padded = torch.cat([x, torch.full((1, 7), 5)], dim=1)
    last = f"resid_post.{subject.layers - 1}"
    close(subject.capture(padded, [last])[last][:, :9], subject.capture(x, [last])[last])


def test_final_norm_weight_and_unembedding_give_the_logits(tiny: Tiny) -> None:
    for family in FAMILIES:
        subject = tiny(family)
        last = f"resid_post.{subject.layers - 1}"
        x = subject.capture(ids(), [last])[last]
        config = subject.text_config
        eps = getattr(config, "rms_norm_eps", None) or getattr(config, "layer_norm_epsilon", None) or config.layer_norm_eps
        if subject.family.norm == "layer":
            x = x - x.mean(-1, keepdim=True)
        x = x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()
        norm: Any = subject.decoder.get_submodule(subject.family.final_norm)
        bias = norm.bias if subject.family.norm == "layer" else 0
        with torch.inference_mode():
            logits = (x * subject.final_norm_weight() + bias) @ subject.unembedding().T
            if getattr(config, "final_logit_softcapping", None):
                logits = torch.tanh(logits / config.final_logit_softcapping) * config.final_logit_softcapping
            close(logits, subject.model(ids()).logits)


def test_transformer_lens_names() -> None:
    assert str(parse_hook_point("blocks.8.hook_resid_pre")) == "resid_pre.8"
    assert str(parse_hook_point("blocks.8.hook_mlp_out")) == "mlp_out.8"
    assert str(parse_hook_point("blocks.8.mlp.hook_in")) == "mlp_in.8"
    assert str(parse_hook_point("blocks.8.hook_mlp_in")) == "resid_mid.8"
    assert str(parse_hook_point("blocks.10.attn.hook_z")) == "z.10"
    assert str(parse_hook_point("blocks.0.ln2.hook_normalized")) == "mlp_normalized.0"
    for name in ("blocks.x.hook_resid_pre", "resid.3", "resid_pre", "blocks.1.hook_q", ""):
        with pytest.raises(UserError, match="Unknown hook point"):
            parse_hook_point(name)


@pytest.mark.slow
def test_hook_points_agree_with_transformer_lens(tiny: Tiny) -> None:
    lens = pytest.importorskip("transformer_lens")
    from transformer_lens.pretrained.weight_conversions.gpt2 import convert_gpt2_weights

    subject = tiny("gpt2")
    config = lens.HookedTransformerConfig(
        d_model=16, n_layers=3, n_heads=4, d_head=4, d_mlp=64, n_ctx=64, d_vocab=300, act_fn="gelu_new", normalization_type="LN"
    )
    peer = lens.HookedTransformer(config)
    peer.load_state_dict({**peer.state_dict(), **convert_gpt2_weights(subject.model, config)}, strict=False)
    _, cache = peer.run_with_cache(ids())
    names = [
        "hook_resid_pre",
        "hook_resid_mid",
        "hook_resid_post",
        "hook_attn_out",
        "hook_mlp_out",
        "attn.hook_z",
        "mlp.hook_post",
    ]
    for name in [*names, "ln2.hook_normalized"]:
        full = f"blocks.1.{name}"
        theirs = cache[full].flatten(2) if name.endswith("hook_z") else cache[full]
        torch.testing.assert_close(subject.capture(ids(), [full])[full], theirs.detach(), rtol=1e-4, atol=1e-4)


def test_hook_points_that_do_not_exist(tiny: Tiny) -> None:
    with pytest.raises(UserError, match=r"layers 0 to 2"):
        tiny("llama").check("resid_post.3")
    with pytest.raises(UserError, match=r"use resid_pre\.1"):
        tiny("gpt_neox").check("resid_mid.1")
    with pytest.raises(UserError, match=r"no norm before the MLP"):
        tiny("olmo2").check("mlp_normalized.1")


def test_tokens_cover_the_text(tiny: Tiny) -> None:
    subject = tiny("llama")
    text = "  the cat é\U0001f600 sat\n\non <s> the mat "
    tokens = subject.tokenize(text)
    assert tokens.starts[0] == 0 and tokens.ends[-1] == len(text)
    assert np.array_equal(tokens.starts[1:], tokens.ends[:-1])
    assert "".join(text[a:b] for a, b in zip(tokens.starts, tokens.ends, strict=True)) == text
    assert subject.prepends_bos and subject.bos_id == 1
    assert subject.special_ids() == {0, 1, 2}
    assert subject.vocabulary[int(subject.tokenize("x the").ids[1])].startswith(" ")
    assert len(subject.vocabulary) == 300


def test_load_from_a_folder_and_what_can_go_wrong(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = tiny("llama")
    folder = tmp_path / "model"
    subject.model.save_pretrained(folder)
    subject.tokenizer.save_pretrained(folder)
    loaded = Subject.load(folder, device="cpu", dtype="float32")
    close(loaded.capture(ids(), ["resid_post.1"])["resid_post.1"], subject.capture(ids(), ["resid_post.1"])["resid_post.1"])
    assert loaded.info == Subject.load(folder, device="cpu").info
    assert loaded.info.layers == 3 and loaded.info.d_model == 16 and loaded.info.family == "llama"

    with pytest.raises(UserError, match="no model folder"):
        Subject.load(tmp_path / "nothing")
    with pytest.raises(UserError, match="Unknown dtype"):
        Subject.load(folder, dtype="int8")
    with pytest.raises(UserError, match="cannot be used here"):
        Subject.load(folder, device="quantum")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no config.json"):
        Subject.load(tmp_path / "empty")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="the hub gave no model"):
        Subject.load("nobody/no-such-model")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be loaded"):
        Subject.load(folder)
    weights.unlink()
    with pytest.raises(UserError, match=r"no \*.safetensors"):
        Subject.load(folder)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UserError, match="not supported"):
        Subject.load(folder)
