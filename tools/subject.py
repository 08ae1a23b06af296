"""The subject: a Hugging Face causal LM with hook points, read by plain torch hooks.

Loading never runs code from a model's repository. A forward pass stops as soon as the last wanted tensor has been seen and never
computes the LM head. What each hook point means in which family is said in `hooks.py` and `families.py`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from dragoman.store.errors import UserError
from dragoman.store.records import SubjectInfo

from .families import Family, family_of
from .fingerprint import files_hash, tensors_hash
from .hooks import HookPoint, parse_hook_point
from .linear import PackedModules
from .loading import choose_device, choose_dtype, load_model, locate, weight_files
from .speaking import TokenizerSpeaker
from .watching import watch


class _Stop(Exception):
    """Raised by a hook when everything wanted has been captured."""


@dataclass
class Subject(TokenizerSpeaker):
    """A causal LM and its tokenizer.

    Load one with `Subject.load`; the constructor is for models that are already in memory.
    """

    model: Any
    """The `transformers` causal LM, in evaluation mode."""
    tokenizer: Any
    """Its fast tokenizer."""
    name: str
    """Folder or hub id, as the user gave it."""
    folder: Path | None = None
    """Where the weights' files are, if there are any; they are hashed for `info`."""

    def __post_init__(self) -> None:
        self.model.eval().requires_grad_(False)
        self.family: Family = family_of(self.model.config.model_type)
        if not getattr(self.tokenizer, "is_fast", False):
            raise UserError(f"The tokenizer of {self.name} has no tokenizer.json: convert it to a fast tokenizer first.")

    @classmethod
    def load(cls, path_or_hub_id: str | Path, device: str | None = None, dtype: str | torch.dtype | None = None) -> Subject:
        """Load a model and its tokenizer from a folder or from the Hugging Face hub.

        Args:
            path_or_hub_id: folder with config.json, weights and tokenizer.json, or a hub id such as `EleutherAI/pythia-70m`.
            device: `cuda`, `mps`, `cpu` or `cuda:1` …; by default the first of these that exists.
            dtype: `float32`, `bfloat16` or `float16`; by default float32, except on CUDA for models of more than 4 GB.

        Raises:
            UserError: nothing is there, the hub cannot be reached, the files are corrupt, or the architecture is not supported.
        """
        name = str(path_or_hub_id)
        folder = locate(name)
        model, tokenizer = load_model(name, folder, choose_device(device), choose_dtype(dtype))
        return cls(model, tokenizer, name, folder)

    # What it is

    @cached_property
    def info(self) -> SubjectInfo:
        """What the store keeps about the model, with the hashes of its weights and tokenizer."""
        config = self.text_config
        weights = files_hash(weight_files(self.folder)) if self.folder else tensors_hash(self.model.state_dict())
        return SubjectInfo(
            name=self.name,
            family=self.family.name,
            layers=self.layers,
            d_model=self.d_model,
            vocabulary=int(config.vocab_size),
            weights_hash=weights,
            tokenizer_hash=self.tokenizer_hash,
            prepend_bos=self.prepends_bos,
        )

    @property
    def text_config(self) -> Any:
        """The config of the language part."""
        return self.model.config.get_text_config()

    @property
    def entries(self) -> int:
        """Token ids that the model has."""
        return int(self.text_config.vocab_size)

    @property
    def layers(self) -> int:
        """Number of transformer blocks."""
        return len(self.blocks)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.text_config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device  # type: ignore[no-any-return]

    @property
    def dtype(self) -> torch.dtype:
        """The model's dtype."""
        return next(self.model.parameters()).dtype  # type: ignore[no-any-return]

    @property
    def max_positions(self) -> int:
        """Longest input the model takes, BOS included."""
        return int(getattr(self.text_config, "max_position_embeddings", 2**31 - 1))

    def width(self, hook_point: str | HookPoint) -> int:
        """Width of the tensors at a hook point.

        Raises:
            UserError: the model has no such hook point.
        """
        kind = self.check(hook_point).kind
        if kind == "z":
            return int(self.projection(hook_point, "attention").shape[0])
        if kind == "mlp_hidden":
            return int(self.projection(hook_point, "mlp").shape[0])
        return self.d_model

    # Modules

    @cached_property
    def decoder(self) -> nn.Module:
        """The part of the model below the LM head."""
        for path in self.family.decoders:
            with contextlib.suppress(AttributeError):
                return self.model.get_submodule(path)  # type: ignore[no-any-return]
        raise UserError(f"{self.name} has none of the modules {', '.join(self.family.decoders)}; load it as a causal LM.")

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer blocks."""
        return self.decoder.get_submodule(self.family.blocks)  # type: ignore[return-value]

    def projection(self, hook_point: str | HookPoint, which: str) -> Float[Tensor, "inputs outputs"]:
        """Weight of a layer's down projection (`mlp`) or attention output projection (`attention`): a row for each input unit."""
        layer = self.check(hook_point).layer
        path = self.family.mlp_projection if which == "mlp" else self.family.attention_projection
        weight: Tensor = self.blocks[layer].get_submodule(path).weight  # type: ignore[assignment]
        return weight if self.family.transposed else weight.T

    @property
    def heads(self) -> int:
        """Number of attention heads (query heads) of a block."""
        return int(self.text_config.num_attention_heads)

    def unembedding(self) -> Float[Tensor, "vocabulary d_model"]:
        """The LM head's weight."""
        return self.model.get_output_embeddings().weight  # type: ignore[no-any-return]

    def final_norm_weight(self) -> Float[Tensor, " d_model"]:
        """What the final norm multiplies the normalised residual stream by: w, or 1 + w in Gemma. float32."""
        norm: Any = self.decoder.get_submodule(self.family.final_norm)
        weight: Tensor = norm.weight.float()
        return 1 + weight if self.family.norm == "rms_plus_one" else weight

    def check(self, hook_point: str | HookPoint) -> HookPoint:
        """The hook point, parsed.

        Raises:
            UserError: this model has no such layer, or its family has no such point.
        """
        point = hook_point if isinstance(hook_point, HookPoint) else parse_hook_point(hook_point)
        if not 0 <= point.layer < self.layers:
            raise UserError(f"Hook point {point}: {self.name} has layers 0 to {self.layers - 1}.")
        if point.kind in ("resid_mid", "mlp_normalized") and self.family.parallel(self.model.config):
            other = "resid_pre" if point.kind == "resid_mid" else "mlp_in"
            raise UserError(
                f"Hook point {point}: in {self.name} attention and MLP read the same residual stream, so there is none "
                f"between them; use {other}.{point.layer}."
            )
        if point.kind == "mlp_normalized" and self.family.mlp_norm is None:
            raise UserError(f"Hook point {point}: {self.family.name} has no norm before the MLP; use mlp_in.{point.layer}.")
        return point

    # Reading activations

    def capture(
        self, ids: Int[Tensor, "batch position"], hook_points: Sequence[str | HookPoint], stop: bool = True
    ) -> dict[str, Float[Tensor, "batch position width"]]:
        """Run the model on token ids and return the tensors at the hook points, under the names they were asked for.

        Args:
            ids: token ids with BOS where the model wants it; shorter rows are padded on the right with any id, which changes
                nothing before the padding because attention is causal.
            hook_points: names or HookPoints.
            stop: end the forward pass once everything has been captured.
        """
        with self.reading(hook_points, stop) as read:
            return read(ids)

    @contextlib.contextmanager
    def reading(
        self, hook_points: Sequence[str | HookPoint], stop: bool = True
    ) -> Iterator[Callable[[Int[Tensor, "batch position"]], dict[str, Float[Tensor, "batch position width"]]]]:
        """Inside, a function that does what `capture` does, for many batches; several threads may call it at a time."""
        with self.packed(), self._hooked(hook_points, stop) as run:

            @torch.inference_mode()
            def read(ids: Tensor) -> dict[str, Tensor]:
                return run(input_ids=ids.to(self.device))

            yield read

    def embed(self, ids: Int[Tensor, "batch position"]) -> Float[Tensor, "batch position d_model"]:
        """The token embeddings as the first block is given them, before positions are added in the families that add them."""
        return self.decoder.get_input_embeddings()(ids.to(self.device))  # type: ignore[operator, no-any-return]

    def capture_embedded(
        self, embeddings: Float[Tensor, "batch position d_model"], hook_points: Sequence[str | HookPoint]
    ) -> dict[str, Float[Tensor, "batch position width"]]:
        """As `capture`, from embeddings (see `embed`) instead of ids, so that gradients can flow to them."""
        with torch.inference_mode(False), torch.enable_grad(), self._hooked(hook_points, True) as run:
            return run(inputs_embeds=embeddings)

    @contextlib.contextmanager
    def _hooked(self, hook_points: Sequence[str | HookPoint], stop: bool) -> Iterator[Callable[..., dict[str, Tensor]]]:
        """Inside, a function that runs the model on its keyword arguments and returns what passed the hook points."""
        names = {str(name): self.check(name) for name in hook_points}
        wanted = set(names.values())
        own = threading.local()

        def keep(point: HookPoint, tensor: Tensor) -> None:
            held: dict[HookPoint, Tensor] | None = getattr(own, "captured", None)
            if held is None:  # this forward pass is another thread's, or somebody else's
                return
            held[point] = tensor
            if stop and len(held) == len(wanted):
                raise _Stop

        def run(**inputs: Tensor) -> dict[str, Tensor]:
            captured: dict[HookPoint, Tensor] = {}
            own.captured = captured
            try:
                with contextlib.suppress(_Stop):
                    self.decoder(**inputs, use_cache=False)
            finally:
                own.captured = None
            return {name: captured[point] for name, point in names.items()}

        handles = [watch(self.family, self.blocks[point.layer], point, keep) for point in wanted]
        try:
            yield run
        finally:
            for handle in handles:
                handle.remove()

    @torch.inference_mode()
    def logits(
        self, ids: Int[Tensor, "batch position"], last: int = 0, **inputs: Any
    ) -> Float[Tensor, "batch position vocabulary"]:
        """Run the whole model and return its logits in float32.

        Args:
            ids: token ids with BOS where the model wants it.
            last: only the logits of so many positions at the end; 0 for all.
            inputs: further arguments of the model, such as `attention_mask`, `position_ids` and `past_key_values`.
        """
        inputs.setdefault("use_cache", False)
        with self.packed():
            return self.model(input_ids=ids.to(self.device), logits_to_keep=last, **inputs).logits.float()  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def packed(self) -> Iterator[None]:
        """Inside, the linear layers of the blocks run through oneDNN where that is possible (see linear.py)."""
        with self._packed.active():
            yield

    @cached_property
    def _packed(self) -> PackedModules:
        return PackedModules(self.blocks)
