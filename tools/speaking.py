"""What cuts texts into tokens: a subject, or a tokenizer by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dragoman.store.errors import UserError

from .fingerprint import tensors_hash


class Tokens(NamedTuple):
    """A tokenized text, special tokens not added."""

    ids: np.ndarray
    """int32 (tokens,)."""
    starts: np.ndarray
    """int32 (tokens,): where what the token contributes to the text begins; equal to the previous token's end."""
    ends: np.ndarray
    """int32 (tokens,): where it ends, in characters."""


class TokenizerSpeaker:
    """Speaks with a fast tokenizer; see `prompt.Speaker`."""

    tokenizer: Any
    """The fast tokenizer."""
    name: str
    """Folder or hub id, as the user gave it."""

    @property
    def entries(self) -> int:
        """Token ids that there are at least."""
        return 0

    @property
    def tokenizer_hash(self) -> str:
        """SHA-256 of the tokenizer."""
        return tensors_hash({"tokenizer": self.tokenizer.backend_tokenizer.to_str()})

    @cached_property
    def bos_id(self) -> int | None:
        """Token id of BOS, if the tokenizer has one."""
        bos = self.tokenizer.bos_token_id
        return None if bos is None else int(bos)

    @cached_property
    def prepends_bos(self) -> bool:
        """The tokenizer's habit: whether it puts BOS before a text by itself."""
        ids = self.tokenizer("a").input_ids
        return self.bos_id is not None and len(ids) > 0 and ids[0] == self.bos_id

    def special_ids(self, include_special: bool = False) -> frozenset[int]:
        """Token ids that are taken out of documents: BOS, EOS and PAD, and unless `include_special` all other special tokens.

        An unknown-token that is not one of the first three stands for text and is kept.
        """
        tokenizer = self.tokenizer
        always = {i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) if i is not None}
        others = set() if include_special else set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
        return frozenset(always | others)

    def tokenize(self, text: str) -> Tokens:
        """Tokens of a text, no special tokens added."""
        return next(iter(self.tokenize_many([text])))

    def tokenize_many(self, texts: Sequence[str]) -> Iterator[Tokens]:
        """Tokens of each text. What the tokens contribute to the text is contiguous: nothing between them is lost."""
        for encoding in self.tokenizer.backend_tokenizer.encode_batch(list(texts), add_special_tokens=False):
            ends = np.fromiter((end for _, end in encoding.offsets), np.int32, len(encoding.ids))
            ends = np.maximum.accumulate(ends)
            starts = np.concatenate([np.zeros(min(1, len(ends)), np.int32), ends[:-1]])
            yield Tokens(np.array(encoding.ids, np.int32), starts, ends)

    def tokenize_inside(self, text: str) -> list[int]:
        """Token ids of a piece of text that stands in the middle of one, so that no space is put before it."""
        backend = self.tokenizer.backend_tokenizer
        for lead in ("\n", "a", "."):
            before = backend.encode(lead, add_special_tokens=False).ids
            ids = backend.encode(lead + text, add_special_tokens=False).ids
            if before and ids[: len(before)] == before:
                return list(ids[len(before) :])
        return list(backend.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some token ids, special tokens included."""
        return str(self.tokenizer.backend_tokenizer.decode(list(ids), skip_special_tokens=False))

    @cached_property
    def vocabulary(self) -> list[str]:
        """The text of each token id as it stands in the middle of a text; a part of a character reads U+FFFD."""
        backend = self.tokenizer.backend_tokenizer
        size = max(self.entries, backend.get_vocab_size())
        lead = backend.encode("a", add_special_tokens=False).ids[:1]
        lead_text = backend.decode(lead, skip_special_tokens=False) if lead else ""
        known = [i for i in range(size) if backend.id_to_token(i) is not None]
        texts = backend.decode_batch([[*lead, i] for i in known], skip_special_tokens=False)
        words = [""] * size
        for i, text in zip(known, texts, strict=True):
            words[i] = text[len(lead_text) :] if text.startswith(lead_text) else text
        return words


@dataclass
class Voice(TokenizerSpeaker):
    """A tokenizer without a model."""

    tokenizer: Any
    """The fast tokenizer."""
    name: str
    """Where it is from."""

    @classmethod
    def load(cls, folder: Path | str, name: str = "") -> Voice:
        """Read a tokenizer that lies in a folder, by itself or beside a model.

        Raises:
            UserError: there is no tokenizer.json, or it cannot be read.
        """
        from transformers import PreTrainedTokenizerFast

        if not (Path(folder) / "tokenizer.json").is_file():
            raise UserError(f"{folder} holds no tokenizer.json: give the folder of a model or of a fast tokenizer.")
        try:
            tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(str(folder))
        except Exception as error:  # the library raises its own, json's and plain ones
            raise UserError(f"The tokenizer in {folder} cannot be read ({type(error).__name__}): save it again.") from None
        return cls(tokenizer, name or str(folder))

    def save(self, folder: Path) -> None:
        """Write it so that `load` reads it."""
        self.tokenizer.save_pretrained(str(folder))
