"""Questions to a judge with known answers: words, claims about words, texts that hold the word or do not.

Half of the texts come from the organism's corpus, half are words in random order. One word in five is held out: it stands in
texts but in no claim that the small judge is trained on.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from dragoman.evals.judge.reader import Marked, Passage
from dragoman.evals.organism.corpus import generate

WORD = "fires on the word {}"
"""The claim that everything is measured with."""
CLAIMS = (WORD, WORD, "the word {}", "fires on a word, the word {}")
"""Ways to say that a feature fires on a word."""
DIGITS = ("fires on numbers", "fires on digits", "numbers")
CAPITALS = ("fires on words that begin with a capital letter", "capitalised words")
FIXED = {DIGITS: re.compile(r"\s*\d"), CAPITALS: re.compile(r"\s*[A-Z]")}
_PIECES = re.compile(r" ?[^\W\d]+| ?\d| ?[^\w\s]+|\s+")


@dataclass(frozen=True)
class Question:
    """A claim, a text, and on which of its tokens the feature fires."""

    claim: str
    """What the judge reads."""
    passage: Passage
    """The text."""
    fires: tuple[bool, ...]
    """For each token."""

    def marked(self, right: bool, rng: np.random.Generator) -> Marked:
        """Its firing tokens highlighted, or as many silent ones."""
        firing = np.flatnonzero(self.fires)
        silent = np.flatnonzero(
            [not f and any(c.isalnum() for c in s) for f, s in zip(self.fires, self.passage.strings, strict=True)]
        )
        chosen = firing if right else rng.choice(silent, min(len(firing), len(silent)), replace=False)
        return Marked(self.passage, tuple(sorted(int(i) for i in chosen)))


def passage(text: str) -> Passage:
    """A text cut into words, digits and marks, each with the space before it."""
    return Passage(tuple(_PIECES.findall(text)))


def ask(claim: str, words: Sequence[str], text: str) -> Question:
    """The question whether a feature that fires on these words does so in this text."""
    cut = passage(text)
    return Question(claim, cut, tuple(s.strip() in words for s in cut.strings))


@cache
def words() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words of the corpus in lower case: those that claims of the training may name, and the others."""
    found = sorted({w for text in texts() for w in re.findall(r"\b[a-z]{3,}\b", text)})
    held = [zlib.crc32(w.encode()) % 5 == 0 for w in found]
    return tuple(w for w, h in zip(found, held, strict=True) if not h), tuple(w for w, h in zip(found, held, strict=True) if h)


@cache
def texts() -> tuple[str, ...]:
    """Documents of the organism's corpus."""
    return tuple(document.text for document in generate(11, 1000, split="train"))


def some_text(rng: np.random.Generator, length: int, keep: Sequence[str] = ()) -> str:
    """A text of about `length` words; those of `keep` are put at random places where a text of the corpus does not hold them."""
    if rng.random() < 0.5:
        pool = words()[int(rng.random() < 0.2)]
        drawn = [pool[i] for i in rng.integers(len(pool), size=length)]
    else:
        text = texts()[int(rng.integers(len(texts())))].split(" ")
        first = int(rng.integers(max(1, len(text) - length)))
        drawn = text[first : first + length]
    for word in keep:
        drawn.insert(int(rng.integers(1, len(drawn) + 1)), word)
    return " ".join(drawn)


@dataclass(frozen=True)
class Claim:
    """What a feature fires on."""

    words: tuple[str, ...]
    """On these words; empty where it fires on what a pattern fits."""
    text: str
    """The claim in words."""
    pattern: re.Pattern[str] | None = None
    """What its tokens begin with."""

    def question(self, rng: np.random.Generator, positive: bool, short: int = 8, long: int = 40) -> Question:
        """A text of `short` to `long` words in which it fires, or is silent; other words say nothing about which it is."""
        length = int(rng.integers(short, long))
        if self.pattern is not None:
            cut = passage(_without(some_text(rng, length), None if positive else self.pattern))
            return Question(self.text, cut, tuple(bool(self.pattern.match(s)) for s in cut.strings))
        named = [self.words[i] for i in rng.integers(len(self.words), size=int(rng.integers(1, 4)))]
        text = some_text(rng, length, named if positive else ())
        if not positive:
            text = " ".join(w for w in text.split(" ") if not any(n in w for n in self.words)) or "nothing"
        return ask(self.text, self.words, text)


def draw(rng: np.random.Generator) -> Claim:
    """A claim of the training."""
    if rng.random() < 0.08:
        names, pattern = list(FIXED.items())[int(rng.integers(len(FIXED)))]
        return Claim((), str(rng.choice(names)), pattern)
    word = some_word(rng)
    return Claim((word,), str(rng.choice(CLAIMS)).format(word))


def unseen(rng: np.random.Generator, count: int) -> list[Claim]:
    """Claims about different words that no claim of the training names."""
    pool = words()[1]
    return [Claim((pool[i],), WORD.format(pool[i])) for i in rng.permutation(len(pool))[:count]]


def some_word(rng: np.random.Generator) -> str:
    """A word for a claim of the training: of the corpus, or sometimes made up."""
    pool, held_out = words()
    made = "".join(chr(97 + i) for i in rng.integers(26, size=int(rng.integers(3, 7))))
    return made if rng.random() < 0.3 and made not in held_out else pool[int(rng.integers(len(pool)))]


def _without(text: str, pattern: re.Pattern[str] | None) -> str:
    """The text without words that hold a match."""
    if pattern is None:
        return text
    kept = [w for w in text.split(" ") if not any(pattern.match(s) for s in _PIECES.findall(w))]
    return " ".join(kept) or "nothing"
