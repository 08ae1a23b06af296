"""Where each model family keeps the modules that hook points refer to.

A block of every supported family is one of three shapes (x is the residual stream):

- pre-norm (GPT-2, Llama, Mistral, Qwen 2 and 3, Phi-3, GPT-NeoX without parallel residual):
  `x = x + attn(norm1(x))`, `x = x + mlp(norm2(x))`.
- parallel (GPT-NeoX and Pythia as published): `x = x + attn(norm1(x)) + mlp(norm2(x))`. There is no residual stream between
  attention and MLP, so `resid_mid` does not exist.
- post-norm: OLMo 2 has `x = x + norm(attn(x))`, `x = x + norm(mlp(x))`; Gemma 2 and 3 have norms on both sides. What is added to
  the residual stream is the norm's output, and that is what `attn_out` and `mlp_out` mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from dragoman.store.errors import UserError

NormKind = Literal["layer", "rms", "rms_plus_one"]
"""`layer` subtracts the mean and has a bias; `rms` multiplies by w; `rms_plus_one` multiplies by 1 + w (Gemma)."""


@dataclass(frozen=True)
class Family:
    """Module names of one family, relative to the decoder (`decoders`, `embedding`, `final_norm`) or to a block (the rest)."""

    name: str
    """Name written to the store."""
    decoders: tuple[str, ...]
    """Where the decoder sits in the causal LM; the first that exists counts."""
    blocks: str
    """The list of blocks."""
    final_norm: str
    """The norm before the LM head."""
    attention: str
    """The attention module."""
    attention_added: str
    """The module whose output is added to the residual stream after attention."""
    attention_projection: str
    """The output projection of attention; its input is `z`."""
    mlp: str
    """The MLP module."""
    mlp_added: str
    """The module whose output is added to the residual stream after the MLP."""
    mlp_projection: str
    """The down projection; its input are the MLP's hidden units."""
    mlp_norm: str | None
    """The norm before the MLP; None where there is none."""
    norm: NormKind
    """What the norms compute."""
    transposed: bool = False
    """Whether projections are stored as [in, out] (GPT-2's Conv1D) instead of [out, in]."""

    def parallel(self, config: Any) -> bool:
        """Whether attention and MLP read the same residual stream."""
        return self.name == "gpt_neox" and bool(config.use_parallel_residual)


_GPT2 = Family(
    name="gpt2",
    decoders=("transformer",),
    blocks="h",
    final_norm="ln_f",
    attention="attn",
    attention_added="attn",
    attention_projection="attn.c_proj",
    mlp="mlp",
    mlp_added="mlp",
    mlp_projection="mlp.c_proj",
    mlp_norm="ln_2",
    norm="layer",
    transposed=True,
)
_GPT_NEOX = Family(
    name="gpt_neox",
    decoders=("gpt_neox",),
    blocks="layers",
    final_norm="final_layer_norm",
    attention="attention",
    attention_added="attention",
    attention_projection="attention.dense",
    mlp="mlp",
    mlp_added="mlp",
    mlp_projection="mlp.dense_4h_to_h",
    mlp_norm="post_attention_layernorm",
    norm="layer",
)


def _llama_like(
    name: str,
    *,
    attention_added: str = "self_attn",
    mlp_added: str = "mlp",
    mlp_norm: str | None = "post_attention_layernorm",
    norm: NormKind = "rms",
) -> Family:
    return Family(
        name=name,
        decoders=("model.language_model", "model"),
        blocks="layers",
        final_norm="norm",
        attention="self_attn",
        attention_added=attention_added,
        attention_projection="self_attn.o_proj",
        mlp="mlp",
        mlp_added=mlp_added,
        mlp_projection="mlp.down_proj",
        mlp_norm=mlp_norm,
        norm=norm,
    )


def _gemma(name: str) -> Family:
    return _llama_like(
        name,
        attention_added="post_attention_layernorm",
        mlp_added="post_feedforward_layernorm",
        mlp_norm="pre_feedforward_layernorm",
        norm="rms_plus_one",
    )


FAMILIES: dict[str, Family] = {
    "gpt2": _GPT2,
    "gpt_neox": _GPT_NEOX,
    "llama": _llama_like("llama"),
    "mistral": _llama_like("mistral"),
    "qwen2": _llama_like("qwen2"),
    "qwen3": _llama_like("qwen3"),
    "phi3": _llama_like("phi3"),
    "gemma2": _gemma("gemma2"),
    "gemma3": _gemma("gemma3"),
    "gemma3_text": _gemma("gemma3"),
    "olmo2": _llama_like(
        "olmo2", attention_added="post_attention_layernorm", mlp_added="post_feedforward_layernorm", mlp_norm=None
    ),
}
"""Family by the `model_type` of a Hugging Face config."""


def family_of(model_type: str) -> Family:
    """The family of a Hugging Face `model_type`.

    Raises:
        UserError: the architecture is not supported.
    """
    try:
        return FAMILIES[model_type]
    except KeyError:
        raise UserError(
            f"The model's architecture {model_type!r} is not supported; supported are {', '.join(sorted(FAMILIES))}."
        ) from None
