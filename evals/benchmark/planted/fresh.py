"""Texts that are in no store, on which a rule and what it could be mistaken for differ.

True texts end soon after a token on which the feature fires, or at a token that only a relaxed rule takes for one; in half of
them words are changed that do not matter. Near ones fire nowhere: in half of them a relaxed rule or a sibling
fires (`relaxing.py`), the others are true texts after one small edit: a token taken out, put in or replaced, or the beginning cut
off. Edits that leave the token alone on which the feature fired are preferred. The program itself is asked about every text.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest

import numpy as np

from dragoman.evals.benchmark.records import FreshText, Kind
from dragoman.tools.programs import Lexicon, Reading, Term
from dragoman.tools.programs.reading import Mask
from dragoman.tools.prompt import Prompt
from dragoman.tools.speaking import Voice
from dragoman.tools.windows import without

from .relaxing import atoms, relaxed

_AFTER = 8
"""Most tokens that follow the one on which a true text fires."""
_EDITS = 64
"""Edits of a text that are tried."""
_CHANGES = 8
"""Changes without consequence that are tried on a true text."""


class Pool:
    """Texts that are in no store, as windows."""

    def __init__(self, voice: Voice, lexicon: Lexicon, texts: Sequence[str], window: int) -> None:
        self.voice, self.lexicon, self.window = voice, lexicon, window
        self._special = np.array(sorted(voice.special_ids()), np.int32)
        self.prompts = [prompt for prompt in self._prompts(texts) if len(prompt)]

    @cached_property
    def reading(self) -> Reading:
        """The first window of every text."""
        return Reading(self.lexicon, [prompt.ids for prompt in self.prompts])

    def made(self, text: str, term: Term, kind: Kind) -> FreshText:
        """A text with the truth about it."""
        return self.all_made([text], term, kind)[0]

    def all_made(self, texts: Sequence[str], term: Term, kind: Kind) -> list[FreshText]:
        """Texts with the truth about them."""
        prompts = self._prompts(texts)
        reading = Reading(self.lexicon, [prompt.ids for prompt in prompts])
        fires = np.split(term.on(reading), reading.starts[1:-1]) if prompts else []
        return [
            FreshText(prompt.ids, prompt.text, tuple(mask.tolist()), kind, prompt.offsets)
            for prompt, mask in zip(prompts, fires, strict=True)
        ]

    @cached_property
    def words(self) -> list[str]:
        """Tokens that stand in the texts as whole words, with the space before them; as often as they do."""
        return [prompt.strings[at] for prompt in self.prompts for at in range(len(prompt)) if whole(prompt.strings, at)]

    def _prompts(self, texts: Sequence[str]) -> list[Prompt]:
        """The first window of each text."""
        found = []
        for text, tokens in zip(texts, self.voice.tokenize_many(texts), strict=True):
            kept = without(tokens, self._special)
            offsets = tuple(zip(kept.starts[: self.window].tolist(), kept.ends[: self.window].tolist(), strict=True))
            short = text[: offsets[-1][1]] if len(kept.ids) > self.window else text
            found.append(Prompt(short, tuple(kept.ids[: self.window].tolist()), tuple(text[a:b] for a, b in offsets), offsets))
        return found


def whole(strings: Sequence[str], at: int) -> bool:
    """Whether a token is a word by itself: letters after a space, and no letters after it."""
    follows = strings[at + 1][:1] if at + 1 < len(strings) else ""
    return strings[at][:1] == " " and strings[at][1:].isalpha() and not follows.isalnum()


@dataclass(frozen=True)
class Fresh:
    """Makes fresh texts for one feature."""

    pool: Pool
    """What they are made from."""
    term: Term
    """The truth."""
    siblings: Sequence[Term]
    """The truths of features that a vague label takes for this one."""
    rng: random.Random
    """Chance."""

    def texts(self, n: int) -> list[FreshText]:
        """At most n of each kind: true, near, random."""
        return [*self.true(n), *self.near(n), *self.random(n)]

    def true(self, n: int) -> list[FreshText]:
        """Texts on which it fires; several of one document where few have any. One half reaches up to where it could be thought
        to fire and does not, if there is such a place; in every second text words were changed that do not matter."""
        found: dict[str, FreshText] = {}
        both = self._contrasted()
        for row, at in self._places(self._mask, 4 * n):
            end = next(both, None) if len(found) % 2 else None
            made = self._cut(*end, "true") if end else self._cut(row, at + 1 + self.rng.randint(0, _AFTER), "true")
            if len(found) % 4 >= 2:
                made = self._stirred(made)
            if any(made.fires):
                found[made.text] = made
            if len(found) == n:
                break
        return list(found.values())

    def _contrasted(self) -> Iterator[tuple[int, int]]:
        """Windows and lengths: the last token fires the relaxed rule and not the feature, which fired before."""
        reading = self.pool.reading
        after = ~self._mask & (reading.count_before(self._mask) > 0)
        streams = [self._places(other.on(reading) & after, 64) for other in self._wider]
        for places in zip_longest(*streams):
            yield from ((row, at + 1) for row, at in (place for place in places if place is not None))

    def _stirred(self, made: FreshText) -> FreshText:
        """The text after a few changes of single tokens that leave it as true as it was."""
        for _ in range(_CHANGES):
            pieces = [made.text[a:b] for a, b in made.offsets]
            silent = [n for n, fires in enumerate(made.fires) if not fires and whole(pieces, n)]
            if not silent:
                break
            at = self.rng.choice(silent)
            new = "" if self.rng.random() < 0.5 else self._other(pieces[at])
            other = self.pool.made("".join([*pieces[:at], new, *pieces[at + 1 :]]), self.term, made.kind)
            if sum(other.fires) == sum(made.fires):
                made = other
        return made

    def near(self, n: int) -> list[FreshText]:
        """Texts on which it does not fire and another concept does."""
        found: dict[str, FreshText] = {}
        for one in (one for pair in zip_longest(self._edited(), self._mistaken()) for one in pair if one is not None):
            found[one.text] = one
            if len(found) == n:
                break
        return list(found.values())

    def random(self, n: int) -> list[FreshText]:
        """Beginnings of any texts."""
        prompts = self.pool.prompts
        rows = self.rng.sample(range(len(prompts)), min(n, len(prompts)))
        return [self._cut(row, self.rng.randint(1, len(prompts[row])), "random") for row in rows]

    @cached_property
    def _mask(self) -> Mask:
        return self.term.on(self.pool.reading)

    @cached_property
    def _wider(self) -> list[Term]:
        """What the feature could be mistaken for, in any order."""
        wider = [*self.siblings, *relaxed(self.term)]
        self.rng.shuffle(wider)
        return wider

    def _places(self, mask: Mask, most: int) -> Iterator[tuple[int, int]]:
        """Marked tokens as window and position, every window once before any comes a second time."""
        reading = self.pool.reading
        flat = np.random.default_rng(self.rng.getrandbits(32)).permutation(np.flatnonzero(mask))
        rows = reading.row[flat]
        order = np.argsort(rows, kind="stable")
        first = np.searchsorted(rows[order], rows[order])
        turn = np.empty(len(flat), np.int64)
        turn[order] = np.arange(len(flat)) - first
        for token in flat[np.argsort(turn, kind="stable")[:most]].tolist():
            yield int(reading.row[token]), int(reading.position[token])

    def _cut(self, row: int, length: int, kind: Kind) -> FreshText:
        prompt = self.pool.prompts[row]
        return self.pool.made(prompt.text[: prompt.offsets[min(length, len(prompt)) - 1][1]], self.term, kind)

    # Near ones

    def _mistaken(self) -> Iterator[FreshText]:
        """Texts of which the last token fires a sibling or the relaxed rule, and none the feature."""
        reading = self.pool.reading
        silent_so_far = reading.count_before(self._mask) == 0
        streams = [self._places(other.on(reading) & ~self._mask & silent_so_far, 64) for other in self._wider]
        for places in zip_longest(*streams):
            for place in places:
                if place is not None:
                    made = self._cut(place[0], place[1] + 1, "near")
                    if not any(made.fires):
                        yield made

    def _edited(self) -> Iterator[FreshText]:
        """Texts that one edit silenced: the beginning of a document up to the first token on which the feature fires."""
        reading = self.pool.reading
        first = self._mask & (reading.count_before(self._mask) == 0)
        for row, at in self._places(first, 256):
            prompt = self.pool.prompts[row]
            kept, lost = self._variants(prompt, at)
            for variants in (kept, lost):
                silent = [one for one in self.pool.all_made(variants, self.term, "near") if one.ids and not any(one.fires)]
                if silent:
                    yield self.rng.choice(silent)
                    break

    def _variants(self, prompt: Prompt, at: int) -> tuple[list[str], list[str]]:
        """The text up to token `at` after edits that leave that token, and after edits of it."""
        pieces = list(prompt.strings[: at + 1])
        put = list(atoms(self.term))
        places = [p for p in range(at) if whole(pieces, p) or not pieces[p].strip().isalpha()] or list(range(at))
        before = self.rng.sample(places, min(len(places), _EDITS // 2))
        kept = ["".join([*pieces[:p], *pieces[p + 1 :]]) for p in before]
        kept += ["".join([*pieces[:p], self._other(pieces[p]), *pieces[p + 1 :]]) for p in before[: _EDITS // 4]]
        if put:
            places = [*before[: _EDITS // 4], at]
            kept += ["".join([*pieces[:p], self.rng.choice(put), *pieces[p:]]) for p in places]
        ends = [p + 1 for p in range(at) if any(mark in pieces[p] for mark in ".!?\n")]
        kept += ["".join(pieces[p:]).lstrip() for p in ends]
        lost = ["".join([*pieces[:at], self._other(pieces[at])]) for _ in range(8)]
        return kept, lost

    def _other(self, piece: str) -> str:
        """Another word for a word, another digit for a digit, another token for any other."""
        if piece.strip().isdigit():
            return piece[: len(piece) - 1] + str((int(piece[-1]) + self.rng.randint(1, 9)) % 10)
        for _ in range(20):
            other = self.rng.choice(self.pool.words) if piece.strip().isalpha() else self.rng.choice(self._any.strings)
            other = other if piece[:1].isspace() else other.lstrip()
            if other != piece and other.strip():
                return other
        return piece + "s"

    @property
    def _any(self) -> Prompt:
        return self.rng.choice(self.pool.prompts)
