"""Which token carries which concept, and which concepts are no more than a word."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from dragoman.evals.organism.tokens import TokenizedDocument

NEXT = "next:"
"""Prefix of a derived concept: the token that comes next is the first of a span of the concept."""


@dataclass(frozen=True, slots=True)
class TokenLabels:
    """The truth about the tokens of some documents, one after the other."""

    concepts: tuple[str, ...]
    """Names of the columns: every concept, then every concept with `next:` before it."""
    matrix: csr_matrix
    """1 where a token carries a concept, uint8 [tokens, concepts]."""
    strings: NDArray[np.object_]
    """Each token's text, case folded and without surrounding space [tokens]."""
    document: NDArray[np.int32]
    """Which document, by its place in the list, a token belongs to [tokens]."""


def label_tokens(documents: Sequence[TokenizedDocument], concepts: Sequence[str]) -> TokenLabels:
    """Label every token with the concepts it carries.

    A token carries a concept when at least one of its characters that are not white space lies in one of the concept's spans (for
    a token of white space only: when at least one of its characters does). A token carries `next:X` when the token after it is
    the first that carries a span of X.
    """
    column = {name: i for i, name in enumerate(concepts)}
    width = len(concepts)
    rows: list[NDArray[np.int64]] = []
    columns: list[NDArray[np.int64]] = []
    strings: list[str] = []
    owner: list[NDArray[np.int32]] = []
    base = 0
    for number, item in enumerate(documents):
        text, count = item.document.text, len(item.ids)
        first, last, words = _cores(text, item.starts, item.ends)
        strings.extend(words)
        spans = item.document.spans
        if spans and count:
            begin = np.searchsorted(last, np.array([s.start for s in spans]), side="right")
            stop = np.searchsorted(first, np.array([s.end for s in spans]), side="left")
            which = np.array([column[s.concept] for s in spans])
            keep = stop > begin
            begin, stop, which = begin[keep], stop[keep], which[keep]
            sizes = stop - begin
            inside = np.repeat(begin, sizes) + np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            before = begin > 0
            rows.extend((base + inside, base + begin[before] - 1))
            columns.extend((np.repeat(which, sizes), width + which[before]))
        owner.append(np.full(count, number, dtype=np.int32))
        base += count
    r, c = np.concatenate([np.zeros(0, np.int64), *rows]), np.concatenate([np.zeros(0, np.int64), *columns])
    matrix = csr_matrix((np.ones(len(r), dtype=np.int32), (r, c)), shape=(base, 2 * width))
    matrix.sum_duplicates()
    matrix.data = np.ones_like(matrix.data, dtype=np.uint8)
    names = (*concepts, *(NEXT + name for name in concepts))
    belongs = np.concatenate([np.zeros(0, np.int32), *owner])
    return TokenLabels(names, matrix.astype(np.uint8), np.array(strings, dtype=object), belongs)


def identity_concepts(documents: Sequence[TokenizedDocument], labels: TokenLabels, level: float = 0.9) -> frozenset[str]:
    """Concepts that a look at the token alone, or at one fixed text, would name; finding them shows nothing: they do not count.

    A concept is one of these when "the token's text is w" finds its tokens with an F1 of at least `level` for some single w (case
    and surrounding space ignored), or when all its spans have the same text and at least a share of `level` of that text's
    occurrences are its spans. The second rule catches words of several tokens. `next:X` is judged by the first rule alone.
    """
    by_token = _single_string(labels, level)
    texts: dict[str, set[str]] = defaultdict(set)
    counts: Counter[str] = Counter()
    for item in documents:
        for span in {(s.start, s.end, s.concept) for s in item.document.spans}:
            counts[span[2]] += 1
            if len(texts[span[2]]) < 2:
                texts[span[2]].add(item.document.text[span[0] : span[1]].strip().casefold())
    everything = "\n".join(item.document.text.casefold() for item in documents)
    by_text = set()
    for name, found in texts.items():
        if len(found) == 1 and (only := next(iter(found))):
            occurrences = len(re.findall(rf"(?<!\w){re.escape(only)}(?!\w)", everything))
            if counts[name] >= level * occurrences:
                by_text.add(name)
    return frozenset(by_token | by_text)


def _single_string(labels: TokenLabels, level: float) -> set[str]:
    words, codes = np.unique(labels.strings.astype(str), return_inverse=True)
    frequency = np.bincount(codes, minlength=len(words))
    positives = np.asarray(labels.matrix.sum(axis=0)).ravel().astype(np.int64)
    indicator = csr_matrix((np.ones(len(codes), dtype=np.int32), (codes, np.arange(len(codes)))), shape=(len(words), len(codes)))
    hits = (indicator @ labels.matrix.astype(np.int32)).tocoo()
    f1 = 2 * hits.data / np.maximum(frequency[hits.row] + positives[hits.col], 1)
    return {labels.concepts[c] for c in set(hits.col[f1 >= level].tolist())}


def _cores(
    text: str, starts: NDArray[np.int32], ends: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32], list[str]]:
    """Bounds of each token without surrounding white space, unless it is nothing else, and its folded text."""
    first, last, words = starts.copy(), ends.copy(), []
    for i, (a, b) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        piece = text[a:b]
        core = piece.strip()
        if core:
            first[i] = a + len(piece) - len(piece.lstrip())
            last[i] = first[i] + len(core)
        words.append(core.casefold() if core else piece)
    return first, last, words
