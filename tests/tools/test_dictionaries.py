"""Encode and decode against sae-lens itself, on files that it wrote; neurons and directions against the model's own modules."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dragoman.store.errors import UserError
from dragoman.tools.dictionaries import Dictionary, forward, load, load_all
from dragoman.tools.dictionaries.saelens import SaeConfig
from dragoman.tools.subject import Subject

Tiny = Callable[[str], Subject]
sae_lens = pytest.importorskip("sae_lens")
D, F = 16, 40


def peer(architecture: str, **settings: Any) -> Any:
    """A sae-lens SAE with random weights everywhere."""
    from sae_lens.saes.gated_sae import GatedSAE, GatedSAEConfig
    from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig
    from sae_lens.saes.sae import SAEMetadata
    from sae_lens.saes.standard_sae import StandardSAE, StandardSAEConfig
    from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

    kinds = {
        "standard": (StandardSAE, StandardSAEConfig),
        "topk": (TopKSAE, TopKSAEConfig),
        "jumprelu": (JumpReLUSAE, JumpReLUSAEConfig),
        "gated": (GatedSAE, GatedSAEConfig),
    }
    hook = settings.pop("hook_name", "blocks.1.hook_resid_post")
    metadata = SAEMetadata(hook_name=hook, context_size=33, prepend_bos=True, **settings.pop("metadata", {}))
    kind, config = kinds[architecture]
    sae = kind(config(d_in=D, d_sae=F, metadata=metadata, **settings))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in sae.named_parameters():
            parameter.copy_(torch.randn_like(parameter).abs() * 0.3 if name == "threshold" else torch.randn_like(parameter))
    return sae


def inputs() -> torch.Tensor:
    return torch.randn(50, D, generator=torch.Generator().manual_seed(2)) * 3 + 1


def close(mine: torch.Tensor, theirs: torch.Tensor) -> None:
    """Equal to 1e-5 of the largest entry: what float32 gives when sums are taken in another order."""
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5 * max(1.0, float(theirs.abs().max())))


def check(mine: Dictionary, theirs: Any, x: torch.Tensor) -> None:
    heads = theirs.cfg.reshape_activations == "hook_z"
    their_x = x.reshape(*x.shape[:-1], 4, D // 4) if heads else x
    with torch.no_grad():
        codes = theirs.encode(their_x)
        out = theirs.decode(codes)
    out = out.flatten(-2) if heads else out
    close(mine.encode(x), codes)
    close(mine.decode(mine.encode(x), x), out)
    sparse = mine.encode_sparse(x)
    dense = torch.zeros_like(codes)
    dense[sparse.token, sparse.feature] = sparse.value
    close(dense, codes)
    assert bool((sparse.value > 0).all()) and bool((sparse.token.diff() >= 0).all())
    assert len(sparse.value) == int((codes > 0).sum()) > 0


@pytest.mark.parametrize("normalize", ["none", "expected_average_only_in", "constant_norm_rescale", "layer_norm"])
@pytest.mark.parametrize("b_dec", [True, False])
@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("standard", {}),
        ("jumprelu", {}),
        ("gated", {}),
        ("topk", {"k": 5}),
        ("topk", {"k": 5, "rescale_acts_by_decoder_norm": True}),
    ],
)
def test_saelens_files(
    architecture: str, settings: dict[str, Any], normalize: str, b_dec: bool, tiny: Tiny, tmp_path: Path
) -> None:
    theirs = peer(architecture, normalize_activations=normalize, apply_b_dec_to_input=b_dec, **settings)
    theirs.save_model(tmp_path / "sae")
    mine = load(str(tmp_path / "sae"), tiny("llama"))
    check(mine, theirs, inputs())
    assert mine.facts.hook_in == "resid_post.1" and mine.facts.context_size == 33 and mine.facts.prepend_bos is True
    assert mine.width == F and mine.directions.shape == (F, D) and mine.facts.name == "sae"


def test_saelens_attention_heads_are_flattened(tiny: Tiny, tmp_path: Path) -> None:
    theirs = peer("standard", hook_name="blocks.1.attn.hook_z", reshape_activations="hook_z")
    theirs.save_model(tmp_path / "sae")
    mine = load(str(tmp_path / "sae"), tiny("llama"))
    check(mine, theirs, inputs())
    assert mine.facts.hook_in == "z.1"


@pytest.mark.parametrize(
    ("architecture", "flat"),
    [
        ("standard", {"activation_fn_str": "relu", "normalize_activations": True}),
        ("topk", {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 6}, "normalize_activations": "none"}),
        ("standard", {"architecture": "standard", "apply_b_dec_to_input": False, "normalize_activations": "layer_norm"}),
        ("jumprelu", {"architecture": "jumprelu", "normalize_activations": False}),
    ],
)
def test_flat_configs_from_before_version_6(architecture: str, flat: dict[str, Any], tiny: Tiny, tmp_path: Path) -> None:
    from sae_lens import SAE

    folder = tmp_path / "old"
    peer(architecture, **({"k": 6} if architecture == "topk" else {})).save_model(folder)
    config = {"d_in": D, "d_sae": F, "dtype": "torch.float32", "hook_point": "blocks.1.hook_resid_post", "context_size": 33}
    (folder / "cfg.json").write_text(json.dumps({**config, **flat}))
    theirs = SAE.load_from_disk(folder)
    check(load(str(folder), tiny("llama")), theirs, inputs())


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("kind", ["batchtopk", "matryoshka"])
def test_training_sae_saved_for_inference(kind: str, rescale: bool, tiny: Tiny, tmp_path: Path) -> None:
    """BatchTopK and Matryoshka are saved as jumprelu, with one learned threshold and decoder norms folded in."""
    from sae_lens import SAE
    from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
    from sae_lens.saes.matryoshka_batchtopk_sae import MatryoshkaBatchTopKTrainingSAE, MatryoshkaBatchTopKTrainingSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    settings: dict[str, Any] = {"d_in": D, "d_sae": F, "k": 5, "rescale_acts_by_decoder_norm": rescale}
    settings["metadata"] = SAEMetadata(hook_name="blocks.0.hook_resid_post")
    training: Any
    if kind == "batchtopk":
        training = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**settings))
    else:
        training = MatryoshkaBatchTopKTrainingSAE(MatryoshkaBatchTopKTrainingSAEConfig(**settings, matryoshka_widths=[10, F]))
    with torch.no_grad():
        training.topk_threshold.fill_(0.4)
        training.W_enc.mul_(4)
        training.W_dec.mul_(torch.rand(F, 1) + 0.5)
    training.save_inference_model(tmp_path / "sae")
    mine = load(str(tmp_path / "sae"), tiny("llama"))
    assert mine.facts.architecture == "jumprelu"
    check(mine, SAE.load_from_disk(tmp_path / "sae"), inputs())


def test_an_old_checkpoint_holds_the_logarithm_of_the_threshold(tiny: Tiny, tmp_path: Path) -> None:
    theirs = peer("jumprelu")
    theirs.save_model(tmp_path / "sae")
    file = tmp_path / "sae" / "sae_weights.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    tensors["log_threshold"] = tensors.pop("threshold").log()
    file.unlink()
    save_file(tensors, file)
    check(load(str(tmp_path / "sae"), tiny("llama")), theirs, inputs())


@pytest.mark.parametrize("normalize", ["none", "constant_norm_rescale", "layer_norm"])
@pytest.mark.parametrize("kind", ["Transcoder", "SkipTranscoder", "JumpReLUTranscoder", "JumpReLUSkipTranscoder"])
def test_saelens_transcoders(kind: str, normalize: str, tiny: Tiny, tmp_path: Path) -> None:
    """Their normalisation is not undone, and the skip connection reads the input as it is."""
    from sae_lens.saes import transcoder
    from sae_lens.saes.sae import SAEMetadata

    names = {"hook_name": "blocks.1.ln2.hook_normalized", "hook_name_out": "blocks.1.hook_mlp_out", "context_size": 33}
    config = getattr(transcoder, f"{kind}Config")(
        d_in=D, d_sae=F, d_out=D, apply_b_dec_to_input=False, normalize_activations=normalize, metadata=SAEMetadata(**names)
    )
    theirs = getattr(transcoder, kind)(config)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn_like(parameter))
    theirs.save_model(tmp_path / "tc")
    mine, x = load(str(tmp_path / "tc"), tiny("llama")), inputs()
    check(mine, theirs, x)
    with torch.no_grad():
        close(forward(mine, x), theirs(x))
    assert (mine.facts.hook_in, mine.facts.hook_out) == ("mlp_normalized.1", "mlp_out.1")
    assert mine.facts.skip == ("Skip" in kind)
    config_file = tmp_path / "tc" / "cfg.json"
    raw = json.loads(config_file.read_text())
    del raw["metadata"]["hook_name_out"]
    config_file.write_text(json.dumps(raw))
    with pytest.raises(UserError, match="does not say where it writes"):
        load(str(tmp_path / "tc"), tiny("llama"))
    assert load(f"{tmp_path / 'tc'}@mlp_in.1:mlp_out.1", tiny("llama")).facts.hook_in == "mlp_in.1"


def test_centred_writing_weights(tiny: Tiny, tmp_path: Path) -> None:
    """A SAE trained on TransformerLens' centred residual stream sees the stream minus its mean, in LayerNorm models only."""
    theirs = peer("standard", metadata={"model_from_pretrained_kwargs": {"center_writing_weights": True}})
    theirs.save_model(tmp_path / "sae")
    x = inputs()
    centred = x - x.mean(-1, keepdim=True)
    with torch.no_grad():
        torch.testing.assert_close(load(str(tmp_path / "sae"), tiny("gpt2")).encode(x), theirs.encode(centred))
        torch.testing.assert_close(load(str(tmp_path / "sae"), tiny("llama")).encode(x), theirs.encode(x))


def test_neurons(tiny: Tiny) -> None:
    for family in ("gpt2", "llama", "phi3"):
        subject = tiny(family)
        ids = torch.arange(3, 15)[None]
        got = subject.capture(ids, ["mlp_hidden.1", "mlp_out.1"])
        dictionary = load("neurons:mlp.1", subject)
        hidden = got["mlp_hidden.1"][0]
        torch.testing.assert_close(dictionary.encode(hidden), hidden.clamp(min=0))
        out = got["mlp_out.1"][0]
        block: Any = subject.blocks[1]
        bias = block.mlp.c_proj.bias if family == "gpt2" else torch.zeros(16)
        torch.testing.assert_close(dictionary.target(out), out)
        negative = (-hidden).clamp(min=0) @ dictionary.directions
        torch.testing.assert_close(dictionary.decode(dictionary.encode(hidden), hidden) - negative + bias, out)
        assert dictionary.width == subject.width("mlp_hidden.1") and not dictionary.facts.reconstructs
        assert dictionary.facts.name == "mlp.1"


@pytest.mark.parametrize("suffix", [".safetensors", ".npy", ".pt"])
def test_directions(suffix: str, tiny: Tiny, tmp_path: Path) -> None:
    matrix = torch.randn(7, D)
    file = tmp_path / f"probes{suffix}"
    if suffix == ".npy":
        np.save(file, matrix.numpy())
    elif suffix == ".pt":
        torch.save(matrix, file)
    else:
        save_file({"anything": matrix}, file)
    dictionary = load(f"directions:{file}@blocks.2.hook_resid_pre", tiny("llama"))
    x = inputs()
    cosine = torch.nn.functional.cosine_similarity(x[:, None], matrix[None], dim=-1)
    torch.testing.assert_close(dictionary.encode(x), cosine.clamp(min=0) * x.norm(dim=-1, keepdim=True), rtol=1e-4, atol=1e-5)
    assert dictionary.facts.hook_in == "resid_pre.2" and dictionary.facts.name == "probes"


def test_bad_input_is_one_clear_sentence(tiny: Tiny, tmp_path: Path) -> None:
    subject = tiny("llama")
    good = tmp_path / "good"
    peer("topk", k=5).save_model(good)
    weights, config = good / "sae_weights.safetensors", good / "cfg.json"

    def fails(message: str, spec: str = str(good)) -> None:
        with pytest.raises(UserError, match=message) as caught:
            load(spec, subject)
        assert "\n" not in str(caught.value)

    fails("no dictionary", str(tmp_path / "nothing"))
    fails("write neurons:mlp.LAYER", "neurons:attn.2")
    fails("layers 0 to 2", "neurons:mlp.7")
    fails("say where the directions live", "directions:probes.npy")
    fails("no file", f"directions:{tmp_path}/none.npy@resid_pre.1")
    (tmp_path / "broken.pt").write_bytes(b"not a tensor")
    fails("cannot be read", f"directions:{tmp_path}/broken.pt@resid_pre.1")
    np.save(tmp_path / "zero.npy", np.zeros((2, D), np.float32))
    fails("non-zero row", f"directions:{tmp_path}/zero.npy@resid_pre.1")
    np.save(tmp_path / "wide.npy", np.ones((2, D + 1), np.float32))
    fails("width 17", f"directions:{tmp_path}/wide.npy@resid_pre.1")

    whole = weights.read_bytes()
    tensors = {name: tensor.clone() for name, tensor in load_file(weights).items()}  # the file is mapped, and overwritten below
    weights.write_bytes(whole[:200])
    fails("corrupt")
    save_file({name: tensor for name, tensor in tensors.items() if name != "b_enc"}, weights)
    fails("lacks b_enc")
    save_file({**tensors, "b_enc": torch.zeros(3)}, weights)
    fails("b_enc has shape")
    weights.write_bytes(whole)
    raw = json.loads(config.read_text())
    config.write_text(json.dumps({**raw, "architecture": "clt"}))
    fails("architecture 'clt'")
    config.write_text(json.dumps({**raw, "metadata": {}}))
    fails("names no hook point")
    assert load(f"{good}@resid_mid.0", subject).facts.hook_in == "resid_mid.0"
    config.write_text("{")
    fails("cannot be read as JSON")
    config.unlink()
    fails(r"no .*cfg.json")


def test_a_dictionary_of_another_width_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    peer("standard", hook_name="blocks.1.hook_mlp_out").save_model(tmp_path / "sae")
    subject = tiny("llama")
    with pytest.raises(UserError, match=r"width 24.*another model or hook point|reads vectors of width 16"):
        load(f"{tmp_path / 'sae'}@mlp_hidden.1", subject)


def test_names(tiny: Tiny, tmp_path: Path) -> None:
    subject = tiny("llama")
    with pytest.raises(UserError, match=r"called 'mlp.1'"):
        load_all(["neurons:mlp.1", "neurons:mlp.1"], subject)
    both = load_all(["neurons:mlp.1", "again=neurons:mlp.1"], subject)
    assert [d.facts.name for d in both] == ["mlp.1", "again"]
    with pytest.raises(UserError, match="at least one dictionary"):
        load_all([], subject)


def test_unknown_k_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cfg.json").write_text(json.dumps({"architecture": "topk", "metadata": {"hook_name": "blocks.0.hook_resid_pre"}}))
    with pytest.raises(UserError, match="needs k"):
        SaeConfig.read(tmp_path / "cfg.json")
