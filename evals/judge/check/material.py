"""Claims about texts of which the truth is known: the organism's corpus, which says where what is expressed."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dragoman.evals.judge.reader import Passage
from dragoman.evals.organism.concepts import CONCEPTS
from dragoman.evals.organism.corpus import generate
from dragoman.evals.organism.document import Document

DOCUMENTS = 600
"""Documents that texts are cut from."""
WINDOW = 40
"""Tokens of a text, at most: words and marks."""
SHORTEST = 15
"""Tokens of a text, at least."""
KINDS = ("bird", "price", "month", "weekday", "colour", "animal", "instrument", "plant")
"""Concepts that claims are made of, besides single words."""
FEWEST = 8
"""Texts in which a claim holds, at least."""

_TOKEN = re.compile(r"\s*(?:\w+|[^\w\s])")


@dataclass(frozen=True)
class Text:
    """A text with the truth about a claim."""

    passage: Passage
    """What is shown."""
    where: tuple[int, ...]
    """Tokens on which the claim says that the feature fires; none where it is false of the text."""


@dataclass(frozen=True)
class Known:
    """A claim with texts of which it is true and texts of which it is false."""

    claim: str
    """As a label would say it."""
    kind: Literal["word", "concept"]
    """Whether it names a word or describes a concept."""
    true: tuple[Text, ...]
    """It holds somewhere in each."""
    false: tuple[Text, ...]
    """It holds nowhere in them."""


def known_claims(claims: int, texts: int, seed: int = 0) -> list[Known]:
    """About half of the claims name a word, half a concept; each comes with `texts` texts of either sort, drawn at random.

    A text counts as false only where nothing that ever expresses the concept occurs in it, in whatever sense.
    """
    rng = random.Random(f"judge check {seed}")
    windows = [window for document in generate(seed + 1000, DOCUMENTS, split="held_out") for window in _windows(document)]
    rng.shuffle(windows)
    kinds = [name for name in rng.sample(KINDS, len(KINDS)) if _often(windows, name)][: claims // 2]
    known = [_known(CONCEPTS[name].description, "concept", _concept(windows, name), texts, rng) for name in kinds]
    for word in rng.sample(_words(windows), claims - len(known)):
        sides = [(window, tuple(i for i, t in enumerate(window.tokens) if t.strip() == word), False) for window in windows]
        known.append(_known(f'the word "{word}"', "word", sides, texts, rng))
    return known


@dataclass(frozen=True)
class _Window:
    """A part of a document, and which tokens express which concept."""

    tokens: tuple[str, ...]
    concepts: dict[str, tuple[int, ...]]


_Sides = Sequence[tuple[_Window, tuple[int, ...], bool]]
"""Windows, where the claim holds, and whether the window may hold it in a way that is not noted."""


def _windows(document: Document) -> list[_Window]:
    tokens = list(_TOKEN.finditer(document.text))
    found = []
    for begin in range(0, len(tokens), WINDOW):
        part = tokens[begin : begin + WINDOW]
        if len(part) < SHORTEST:
            continue
        cores = [(m.start() + len(m.group()) - len(m.group().lstrip()), m.end()) for m in part]
        concepts: dict[str, set[int]] = defaultdict(set)
        for span in document.spans:
            concepts[span.concept] |= {i for i, (start, end) in enumerate(cores) if start < span.end and end > span.start}
        strings = tuple(m.group() for m in part)
        found.append(_Window(strings, {name: tuple(sorted(places)) for name, places in concepts.items() if places}))
    return found


def _concept(windows: Sequence[_Window], name: str) -> _Sides:
    forms = {window.tokens[i].strip().casefold() for window in windows for i in window.concepts.get(name, ())}
    return [(w, w.concepts.get(name, ()), bool(forms & {token.strip().casefold() for token in w.tokens})) for w in windows]


def _often(windows: Sequence[_Window], name: str) -> bool:
    return sum(name in window.concepts for window in windows) >= FEWEST


def _words(windows: Sequence[_Window]) -> list[str]:
    """Words that occur in some texts and are missing in most, always written alike."""
    counts = Counter(word for window in windows for word in {token.strip() for token in window.tokens})
    alike = Counter(word.casefold() for word in counts)
    fitting = FEWEST, len(windows) // 10
    plain = [word for word, n in counts.items() if word.isalpha() and len(word) > 3 and fitting[0] <= n <= fitting[1]]
    return sorted(word for word in plain if word.islower() and alike[word] == 1)


def _known(claim: str, kind: Literal["word", "concept"], sides: _Sides, texts: int, rng: random.Random) -> Known:
    true = [Text(Passage(window.tokens), where) for window, where, _ in sides if where]
    false = [Text(Passage(window.tokens), ()) for window, where, doubtful in sides if not where and not doubtful]
    return Known(claim, kind, *(tuple(rng.sample(side, min(texts, len(side)))) for side in (true, false)))
