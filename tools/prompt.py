"""A text as the subject reads it: token ids with the strings and the character offsets behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .subject import Subject
from .windows import without


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

    @classmethod
    def from_text(cls, subject: Subject, text: str, include_special: bool = False) -> Prompt:
        """Tokenize a text as a harvest does; special tokens that stand in it are taken out."""
        special = np.array(sorted(subject.special_ids(include_special)), np.int32)
        tokens = without(subject.tokenize(text), special)
        offsets = tuple(zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True))
        return cls(text, tuple(tokens.ids.tolist()), tuple(text[a:b] for a, b in offsets), offsets)

    @classmethod
    def from_ids(cls, subject: Subject, ids: Sequence[int]) -> Prompt:
        """The text of some token ids; strings are exact where the text leads back to the same ids, else each token's own."""
        ids = tuple(int(i) for i in ids)
        text = subject.tokenizer.backend_tokenizer.decode(list(ids), skip_special_tokens=False)
        prompt = cls.from_text(subject, text, include_special=True)
        if prompt.ids == ids:
            return prompt
        strings = tuple(subject.vocabulary[i] for i in ids)
        ends = np.cumsum([len(s) for s in strings]).tolist()
        return cls("".join(strings), ids, strings, tuple(zip([0, *ends[:-1]], ends, strict=True)), canonical=False)
