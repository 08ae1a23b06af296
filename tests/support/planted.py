"""A world in which all is known: features that are organism concepts, what their steers write, and a reader that knows them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from dragoman.evals.judge.reader import Passage
from dragoman.evals.judge.scripted import Knowing
from dragoman.evals.organism.concepts import CONCEPTS
from dragoman.evals.organism.load import corpus_documents
from dragoman.evals.scorers.exam import Exam
from dragoman.evals.scorers.laboratory import Altered, Steer, Tuned, Values
from dragoman.evals.scorers.sample import Sizes, draw
from dragoman.store.tokens import TokenTable
from tests.evals.tables import table

NAMES = ("symptom", "geo.state", "geo.capital", "town", "compare.adjective", "ioi.verb", "induction.header", "person.last")
"""Concepts that their wording tells, so that a rule over texts finds them again."""
WINDOW = 64
THRESHOLD = 0.5


@dataclass
class PlantedWorld:
    """Some features, each a concept: 1 on the tokens of its spans, 0 elsewhere. Feature i is `NAMES[i]`."""

    documents: int = 600
    vocabulary: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        texts = corpus_documents(self.documents)
        spans: dict[str, set[str]] = {name: set() for name in NAMES}
        windows: list[list[int]] = []
        owners: list[int] = []
        active: list[list[list[float]]] = []
        self.sentences: list[str] = []
        for number, document in enumerate(texts):
            marked = np.zeros((len(NAMES), len(document.text)), bool)
            for span in document.spans:
                if span.concept in spans:
                    spans[span.concept].add(document.text[span.start : span.end].casefold())
                    marked[NAMES.index(span.concept), span.start : span.end] = True
            pieces = pieces_of(document.text)
            self.sentences += [s for s in re.split(r"(?<=[.!?])\s+|\n", document.text) if len(s.split()) > 3]
            ends = np.cumsum([len(piece) for piece in pieces])
            begins = ends - [len(piece.lstrip()) for piece in pieces]
            on = [[bool(row[a:b].any()) for a, b in zip(begins, ends, strict=True)] for row in marked]
            for first in range(0, len(pieces), WINDOW):
                windows.append([self.id(piece) for piece in pieces[first : first + WINDOW]])
                owners.append(number)
                active.append([[float(v) for v in row[first : first + WINDOW]] for row in on])
        self.forms = [sorted(spans[name], key=len, reverse=True) for name in NAMES]
        self.rules = [re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, found)) + r")(?!\w)", re.I) for found in self.forms]
        self.words = tuple(piece.strip() for piece in self.vocabulary if piece.strip().isalpha())
        self.tokens: TokenTable = table(windows, owners, list(self.vocabulary))
        flat = [value for feature in range(len(NAMES)) for window in active for value in window[feature]]
        self.real = np.array(flat, np.float32).reshape(len(NAMES), -1)

    def id(self, piece: str) -> int:
        """The id of a token, a new one where it is new."""
        return self.vocabulary.setdefault(piece, len(self.vocabulary))

    def claim(self, feature: int) -> str:
        """What is true of a feature."""
        return CONCEPTS[NAMES[feature]].description

    def passage(self, text: str) -> Passage:
        """A text as this world reads it."""
        pieces = tuple(pieces_of(text))
        return Passage(pieces, tuple(self.id(piece) for piece in pieces))

    def values(self, feature: int, passage: Passage) -> Values:
        """1 on every token of a wording of the concept."""
        ends = np.cumsum([len(piece) for piece in passage.strings])
        found = np.zeros(len(passage.strings), np.float32)
        for match in self.rules[feature].finditer(passage.text):
            found[(ends > match.start()) & (ends - [len(p.lstrip()) for p in passage.strings] < match.end())] = 1
        return found

    def other(self, feature: int) -> str:
        """What is true of another feature: a shuffled label."""
        return self.claim((feature + 3) % len(NAMES))

    def fires(self, feature: int, text: str) -> bool:
        """Whether a text holds a wording of the concept."""
        return bool(self.rules[feature].search(text))

    def reader(self) -> Knowing:
        """Knows the feature of every claim; writes sentences of the corpus."""
        feature = {self.claim(number): number for number in range(len(NAMES))}

        def activity(claim: str, passage: Passage) -> Sequence[float]:
            values: list[float] = self.values(feature[claim], self.passage(passage.text)).tolist()
            return values

        def author(claim: str, fires: bool, n: int) -> list[str]:
            return [s for s in dict.fromkeys(self.sentences) if self.fires(feature[claim], s) == fires][:n]

        return Knowing(activity, author)

    def exam(self, feature: int, seed: int = 0) -> Exam:
        """What a feature is examined on; truth are the spans themselves."""
        real = self.real[feature]
        flat = np.flatnonzero(real)
        none = np.zeros(0, np.int64)
        sample = draw(self.tokens, flat, real[flat], THRESHOLD, [], none, seed, feature, Sizes())
        return Exam(feature, self.tokens, real, sample, THRESHOLD, 1.0, False, (), seed)


class PlantedLaboratory:
    """What generative and causal scores need, in a planted world. `steered` keeps what was asked to be continued."""

    def __init__(
        self, world: PlantedWorld, effect: float = 0.9, rivals: Sequence[int] = range(len(NAMES)), reached: float = 9.0
    ) -> None:
        """
        Args:
            world: its features.
            effect: probability that a continuation under a feature's steer holds one of its concept's wordings.
            rivals: features that can be steered.
            reached: the largest KL that any strength reaches.
        """
        self.world, self.effect, self.rivals, self.reached = world, effect, rivals, reached
        self.steered: list[Steer | None] = []

    async def passages(self, texts: Sequence[str]) -> list[Passage]:
        """Texts as this world reads them, cut to a window."""
        whole = [self.world.passage(text) for text in texts]
        return [Passage(p.strings[:WINDOW], p.ids[:WINDOW]) for p in whole]

    async def activations(self, feature: int, passages: Sequence[Passage]) -> list[Values]:
        """The rule of the feature."""
        return [self.world.values(feature, passage) for passage in passages]

    async def alter(self, feature: int, passage: Passage, most: int, seed: int) -> list[Altered]:
        """Words near the end left out, replaced by others of the corpus, repeated, or in capitals."""
        random = np.random.default_rng([seed, feature, len(passage.ids)])
        pieces = list(passage.strings)
        found: dict[str, Altered] = {}
        for _ in range(4 * most):
            at = int(random.integers(max(0, len(pieces) - 6), len(pieces)))
            other = f" {self.world.words[int(random.integers(len(self.world.words)))]}"
            kind, new = [("without", []), ("other", [other]), ("twice", [pieces[at]] * 2), ("upper", [pieces[at].upper()])][
                int(random.integers(4))
            ]
            text = "".join([*pieces[:at], *new, *pieces[at + 1 :]])
            if text != passage.text and text.strip() and len(found) < most:
                found[text] = Altered(self.world.passage(text), f"{kind} {at}")
        return list(found.values())

    async def tune(self, feature: int, prompts: Sequence[Passage], kl: float, random: int | None = None) -> Tuned:
        """Every strength is right here."""
        return Tuned(1.0, min(kl, self.reached))

    async def continuations(self, prompts: Sequence[Passage], steer: Steer | None, tokens: int, seed: int) -> list[str]:
        """Words of the corpus, and under a feature's steer one of its wordings among them with the stated probability."""
        self.steered.append(steer)
        by = (0, 0) if steer is None else (1 + steer.feature, 0 if steer.random is None else 1 + steer.random)
        random = np.random.default_rng([seed, *by])
        words, found = self.world.words, []
        for _ in prompts:
            said = [words[i] for i in random.integers(0, len(words), tokens)]
            if steer is not None and steer.random is None and random.random() < self.effect:
                forms = self.world.forms[steer.feature]
                said[int(random.integers(tokens))] = forms[int(random.integers(len(forms)))]
            found.append(" ".join(said))
        return found


def pieces_of(text: str) -> list[str]:
    """Tokens: a word or a mark, with the space before it; they concatenate to the text."""
    return re.findall(r"\s*(?:\w+|[^\w\s])|\s+$", text)
