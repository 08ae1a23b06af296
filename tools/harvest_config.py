"""What decides about the contents of a store: the settings of a harvest, resolved against the subject and its dictionaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dragoman.store.errors import UserError

from .dictionaries import Dictionary
from .documents import Corpus
from .fingerprint import files_hash
from .subject import Subject

SHARD_TOKENS = 65_536
"""Tokens of a shard; it ends with the document that reaches this."""
_DEFAULT_WINDOW = 128


@dataclass(frozen=True)
class HarvestConfig:
    """What decides about the contents of a store; two harvests with equal configurations make equal stores."""

    text: Corpus
    """The documents."""
    window: int
    """Tokens of a window, BOS not counted."""
    prepend_bos: bool
    """Whether BOS stands before every window."""
    include_special: bool
    """Whether special tokens other than BOS, EOS and PAD stay in the documents."""
    limit_tokens: int | None
    """Stop after the document that reaches so many tokens."""
    max_per_feature: int | None
    """Keep at most about so many activations a feature."""
    batch_size: int
    """Windows a forward pass."""
    shard_tokens: int
    """Tokens of a shard."""

    def describe(self, subject: Subject, dictionaries: Sequence[Dictionary]) -> dict[str, object]:
        """The configuration as JSON, with hashes of everything it was made from."""
        files = self.text.files
        return {
            "format": 1,
            "model": subject.info.name,
            "model_hash": subject.info.weights_hash,
            "tokenizer_hash": subject.info.tokenizer_hash,
            "device": subject.device.type,
            "dtype": str(subject.dtype).removeprefix("torch."),
            "dictionaries": [[d.facts.name, d.facts.source, d.facts.hook_in, d.facts.weights_hash] for d in dictionaries],
            "text": self.text.place,
            "text_hash": files_hash(files) if files else None,
            "separator": self.text.separator,
            "text_field": self.text.text_field,
            "window": self.window,
            "prepend_bos": self.prepend_bos,
            "include_special": self.include_special,
            "limit_tokens": self.limit_tokens,
            "max_per_feature": self.max_per_feature,
            "batch_size": self.batch_size,
            "shard_tokens": self.shard_tokens,
        }


def resolve(
    subject: Subject,
    dictionaries: Sequence[Dictionary],
    text: Corpus,
    *,
    window: int | None,
    include_special: bool,
    limit_tokens: int | None,
    max_per_feature: int | None,
    batch_size: int | None,
    shard_tokens: int,
) -> HarvestConfig:
    """Fill in what the user left open: window and BOS from the dictionaries or the tokenizer, batch size from the device.

    Raises:
        UserError: the dictionaries contradict each other or the model, or a number makes no sense.
    """
    for name, number in (("limit-tokens", limit_tokens), ("max-per-feature", max_per_feature), ("batch-size", batch_size)):
        if number is not None and number < 1:
            raise UserError(f"--{name} must be at least 1, not {number}.")
    prepend_bos = _prepend_bos(subject, dictionaries)
    return HarvestConfig(
        text=text,
        window=_window(subject, dictionaries, window, prepend_bos),
        prepend_bos=prepend_bos,
        include_special=include_special,
        limit_tokens=limit_tokens,
        max_per_feature=max_per_feature,
        batch_size=batch_size or (64 if subject.device.type == "cuda" else 16),
        shard_tokens=shard_tokens,
    )


def _prepend_bos(subject: Subject, dictionaries: Sequence[Dictionary]) -> bool:
    wanted = {d.facts.prepend_bos for d in dictionaries if d.facts.prepend_bos is not None}
    if len(wanted) > 1:
        raise UserError("Some of the dictionaries were trained with BOS and some without: harvest them into separate stores.")
    prepend = wanted.pop() if wanted else subject.prepends_bos
    if prepend and subject.bos_id is None:
        raise UserError(f"The dictionary expects BOS before every window, but the tokenizer of {subject.name} has no BOS token.")
    return prepend


def _window(subject: Subject, dictionaries: Sequence[Dictionary], window: int | None, prepend_bos: bool) -> int:
    longest = min(subject.max_positions - prepend_bos, 65_535)
    if window is not None:
        if not 1 <= window <= longest:
            raise UserError(f"A window of {window} tokens is not possible: {subject.name} takes 1 to {longest}.")
        return window
    sizes = [d.facts.context_size - prepend_bos for d in dictionaries if d.facts.context_size]
    return max(1, min([*sizes, longest] if sizes else [_DEFAULT_WINDOW, longest]))
