"""A text as the subject reads it: token ids with the strings and the character offsets behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dragoman.store.display import visible

from .speaking import Tokens
from .windows import without

SHOWN = 80
"""Characters of a text that stand in its repr."""


class Speaker(Protocol):
    """Something with a tokenizer: a subject, or a planted program's."""

    @property
    def vocabulary(self) -> list[str]:
        """The text of each token id as it stands in the middle of a text."""
        ...

    def special_ids(self, include_special: bool = False) -> frozenset[int]:
        """Token ids that are no part of a text."""
        ...

    def tokenize(self, text: str) -> Tokens:
        """Tokens of a text, no special tokens added."""
        ...

    def tokenize_many(self, texts: Sequence[str]) -> Iterator[Tokens]:
        """Tokens of each text."""
        ...

    def tokenize_inside(self, text: str) -> list[int]:
        """Token ids of a piece of text that stands in the middle of one."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some token ids."""
        ...


@dataclass(frozen=True)
class Prompt:
    """A tokenized text without BOS, EOS and PAD."""

    text: str
    """The text."""
    ids: tuple[int, ...]
    """Token ids."""
    strings: tuple[str, ...]
    """What each token contributes to the text."""
    offsets: tuple[tuple[int, int], ...]
    """Character range of each token in the text."""
    canonical: bool = True
    """Whether tokenizing `text` gives `ids`; edited tokens may be such as the tokenizer would never put side by side."""

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        said = visible(self.text[:SHOWN]) + "…" * (len(self.text) > SHOWN)
        return f"Prompt({len(self):,} tokens: {said!r})"

    @classmethod
    def from_text(cls, speaker: Speaker, text: str, include_special: bool = False) -> Prompt:
        """Tokenize a text as a harvest does; special tokens that stand in it are taken out."""
        special = np.array(sorted(speaker.special_ids(include_special)), np.int32)
        tokens = without(speaker.tokenize(text), special)
        offsets = tuple(zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True))
        return cls(text, tuple(tokens.ids.tolist()), tuple(text[a:b] for a, b in offsets), offsets)

    @classmethod
    def from_ids(cls, speaker: Speaker, ids: Sequence[int]) -> Prompt:
        """The text of some token ids; strings are exact where the text leads back to the same ids, else each token's own."""
        ids = tuple(int(i) for i in ids)
        prompt = cls.from_text(speaker, speaker.decode(ids), include_special=True)
        if prompt.ids == ids:
            return prompt
        strings = tuple(speaker.vocabulary[i] for i in ids)
        ends = np.cumsum([len(s) for s in strings]).tolist()
        return cls("".join(strings), ids, strings, tuple(zip([0, *ends[:-1]], ends, strict=True)), canonical=False)
