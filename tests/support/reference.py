"""Forward passes of four families written out in float64, with nothing of ours and no hooks, for edits in the middle.

`point(name, x)` is called with every tensor that has a hook point's name, (position, width), and returns what takes its place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu, silu

Point = Callable[[str, Tensor], Tensor]


@dataclass
class Held:
    """Attention patterns and norm scales of a clean pass, to be used again."""

    patterns: dict[str, Tensor] = field(default_factory=dict)
    scales: dict[str, Tensor] = field(default_factory=dict)


class Reference:
    """One model, its weights in float64."""

    def __init__(self, model: Any) -> None:
        self.config = model.config
        self.w = {name: tensor.double() for name, tensor in model.state_dict().items()}
        self.kind = model.config.model_type

    def __call__(
        self,
        ids: Tensor,
        point: Point = lambda _, x: x,
        record: Held | None = None,
        patterns: Held | None = None,
        scales: Held | None = None,
    ) -> Any:
        """Logits (position, vocabulary) of one text without padding."""
        self.point, self.record, self.patterns, self.scales = point, record, patterns, scales
        return {"gpt2": self._gpt2, "llama": self._llama, "gpt_neox": self._neox, "gemma2": self._gemma2}[self.kind](ids)

    def _gpt2(self, ids: Tensor) -> Any:
        w, c = self.w, self.config
        x = w["transformer.wte.weight"][ids] + w["transformer.wpe.weight"][: len(ids)]
        for n in range(c.n_layer):
            p = f"transformer.h.{n}."
            x = self.point(f"resid_pre.{n}", x)
            h = self._layer_norm(p + "ln_1", x, c.layer_norm_epsilon)
            q, k, v = (h @ w[p + "attn.c_attn.weight"] + w[p + "attn.c_attn.bias"]).split(c.n_embd, -1)
            size = c.n_embd // c.n_head
            z = self._attend(n, _heads(q, size), _heads(k, size), _heads(v, size), size**-0.5)
            out = self.point(f"attn_out.{n}", z @ w[p + "attn.c_proj.weight"] + w[p + "attn.c_proj.bias"])
            x = self.point(f"resid_mid.{n}", x + out)
            h = self.point(f"mlp_in.{n}", self._mlp_norm(n, p + "ln_2", x, c.layer_norm_epsilon))
            a = self.point(f"mlp_hidden.{n}", gelu(h @ w[p + "mlp.c_fc.weight"] + w[p + "mlp.c_fc.bias"], approximate="tanh"))
            out = self.point(f"mlp_out.{n}", a @ w[p + "mlp.c_proj.weight"] + w[p + "mlp.c_proj.bias"])
            x = self.point(f"resid_post.{n}", x + out)
        return self._layer_norm("transformer.ln_f", x, c.layer_norm_epsilon) @ w["lm_head.weight"].T

    def _neox(self, ids: Tensor) -> Any:
        w, c = self.w, self.config
        x = w["gpt_neox.embed_in.weight"][ids]
        size = c.hidden_size // c.num_attention_heads
        for n in range(c.num_hidden_layers):
            p = f"gpt_neox.layers.{n}."
            x = self.point(f"resid_pre.{n}", x)
            h = self._layer_norm(p + "input_layernorm", x, c.layer_norm_eps)
            mixed = h @ w[p + "attention.query_key_value.weight"].T + w[p + "attention.query_key_value.bias"]
            q, k, v = (t.transpose(0, 1) for t in mixed.view(len(ids), c.num_attention_heads, 3 * size).split(size, -1))
            turned = 2 * math.ceil(size * c.rope_parameters["partial_rotary_factor"] / 2)
            base = c.rope_parameters["rope_theta"]
            q, k = (torch.cat([_rotate(t[..., :turned], base), t[..., turned:]], -1) for t in (q, k))
            z = self._attend(n, q, k, v, size**-0.5)
            attention = self.point(f"attn_out.{n}", z @ w[p + "attention.dense.weight"].T + w[p + "attention.dense.bias"])
            assert c.use_parallel_residual
            h = self.point(f"mlp_in.{n}", self._layer_norm(p + "post_attention_layernorm", x, c.layer_norm_eps))
            a = self.point(f"mlp_hidden.{n}", gelu(h @ w[p + "mlp.dense_h_to_4h.weight"].T + w[p + "mlp.dense_h_to_4h.bias"]))
            out = self.point(f"mlp_out.{n}", a @ w[p + "mlp.dense_4h_to_h.weight"].T + w[p + "mlp.dense_4h_to_h.bias"])
            x = self.point(f"resid_post.{n}", x + attention + out)
        return self._layer_norm("gpt_neox.final_layer_norm", x, c.layer_norm_eps) @ w["lm_head.weight"].T

    def _llama(self, ids: Tensor) -> Any:
        w, c = self.w, self.config
        x = w["model.embed_tokens.weight"][ids]
        for n in range(c.num_hidden_layers):
            p = f"model.layers.{n}."
            x = self.point(f"resid_pre.{n}", x)
            h = self._rms(p + "input_layernorm", x, c.rms_norm_eps)
            q, k, v = self._qkv(p, h, c.head_dim or c.hidden_size // c.num_attention_heads)
            z = self._attend(n, q, k, v, q.shape[-1] ** -0.5)
            x = self.point(f"resid_mid.{n}", x + self.point(f"attn_out.{n}", z @ w[p + "self_attn.o_proj.weight"].T))
            h = self.point(f"mlp_in.{n}", self._mlp_norm(n, p + "post_attention_layernorm", x, c.rms_norm_eps))
            x = self.point(f"resid_post.{n}", x + self.point(f"mlp_out.{n}", self._gated(n, p, h, silu)))
        return self._rms("model.norm", x, c.rms_norm_eps) @ w["lm_head.weight"].T

    def _gemma2(self, ids: Tensor) -> Any:
        w, c = self.w, self.config
        x = w["model.embed_tokens.weight"][ids] * torch.tensor(c.hidden_size**0.5, dtype=torch.float32).double()
        for n in range(c.num_hidden_layers):
            p = f"model.layers.{n}."
            x = self.point(f"resid_pre.{n}", x)
            q, k, v = self._qkv(p, self._rms(p + "input_layernorm", x, c.rms_norm_eps), c.head_dim)
            window = c.sliding_window if c.layer_types[n] == "sliding_attention" else None
            z = self._attend(n, q, k, v, c.query_pre_attn_scalar**-0.5, c.attn_logit_softcapping, window)
            attention = self._rms(p + "post_attention_layernorm", z @ w[p + "self_attn.o_proj.weight"].T, c.rms_norm_eps)
            x = self.point(f"resid_mid.{n}", x + self.point(f"attn_out.{n}", attention))
            h = self.point(f"mlp_in.{n}", self._mlp_norm(n, p + "pre_feedforward_layernorm", x, c.rms_norm_eps))
            out = self._gated(n, p, h, lambda a: gelu(a, approximate="tanh"))
            out = self._rms(p + "post_feedforward_layernorm", out, c.rms_norm_eps)
            x = self.point(f"resid_post.{n}", x + self.point(f"mlp_out.{n}", out))
        logits = self._rms("model.norm", x, c.rms_norm_eps) @ w["model.embed_tokens.weight"].T
        cap = c.final_logit_softcapping
        return cap * torch.tanh(logits / cap)

    def _qkv(self, p: str, h: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (_heads(h @ self.w[f"{p}self_attn.{name}_proj.weight"].T, size) for name in "qkv")
        base = self.config.rope_parameters
        theta = base.get("rope_theta") or next(inner["rope_theta"] for inner in base.values())
        share = q.shape[0] // k.shape[0]
        return _rotate(q, theta), _rotate(k, theta).repeat_interleave(share, 0), v.repeat_interleave(share, 0)

    def _gated(self, n: int, p: str, h: Tensor, act: Callable[[Tensor], Tensor]) -> Any:
        w = self.w
        hidden = act(h @ w[p + "mlp.gate_proj.weight"].T) * (h @ w[p + "mlp.up_proj.weight"].T)
        return self.point(f"mlp_hidden.{n}", hidden) @ w[p + "mlp.down_proj.weight"].T

    def _attend(
        self, n: int, q: Tensor, k: Tensor, v: Tensor, scale: float, cap: float | None = None, window: int | None = None
    ) -> Any:
        scores = q @ k.transpose(-1, -2) * scale
        scores = scores if cap is None else cap * torch.tanh(scores / cap)
        back = torch.arange(q.shape[1])[:, None] - torch.arange(q.shape[1])
        hidden = (back < 0) | (back >= (window or math.inf))
        pattern = torch.softmax(scores.masked_fill(hidden, -math.inf), -1)
        if self.record is not None:
            self.record.patterns[str(n)] = pattern
        if self.patterns is not None:
            pattern = self.patterns.patterns[str(n)]
        return self.point(f"z.{n}", (pattern @ v).transpose(0, 1).flatten(1))

    def _mlp_norm(self, n: int, name: str, x: Tensor, epsilon: float) -> Any:
        """The norm before the MLP, with the place between its scale and its weight."""
        weight, bias = self.w[f"{name}.weight"], self.w.get(f"{name}.bias")
        weight = 1 + weight if self.kind == "gemma2" else weight
        bare = self.point(f"mlp_normalized.{n}", self._bare(name, x, epsilon, centred=bias is not None))
        return bare * weight + (0 if bias is None else bias)

    def _layer_norm(self, name: str, x: Tensor, epsilon: float) -> Any:
        return self._bare(name, x, epsilon, centred=True) * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def _rms(self, name: str, x: Tensor, epsilon: float) -> Any:
        weight = self.w[f"{name}.weight"]
        return self._bare(name, x, epsilon, centred=False) * (1 + weight if self.kind == "gemma2" else weight)

    def _bare(self, name: str, x: Tensor, epsilon: float, centred: bool) -> Any:
        x = x - x.mean(-1, keepdim=True) if centred else x
        scale = (x.square().mean(-1, keepdim=True) + epsilon).rsqrt()
        if self.record is not None:
            self.record.scales[name] = scale
        if self.scales is not None:
            scale = self.scales.scales[name]
        return x * scale


def _heads(x: Tensor, size: int) -> Any:
    """(position, heads * size) as (heads, position, size)."""
    return x.view(len(x), -1, size).transpose(0, 1)


def _rotate(x: Tensor, theta: float) -> Any:
    """Rotary position embedding (Su et al. 2021), halves side by side."""
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[-2]).double()[:, None] * theta ** (-torch.arange(half).double() / half)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)
