"""Find labels by their words."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from .records import Label


def search_labels(labels: Sequence[Label], text: str, n: int) -> list[Label]:
    """The labels that hold words of `text`, best first: rare words count more than common ones, the name counts twice.

    Words are compared without case; a word of the query also finds words that begin with it.
    """
    query = set(_words(text))
    bags = [
        _words(label.name) * 2 + _words(" ".join([label.description, *(facet.description for facet in label.facets)]))
        for label in labels
    ]
    found = {word: sum(any(other.startswith(word) for other in bag) for bag in bags) for word in query}
    scored = []
    for label, bag in zip(labels, bags, strict=True):
        counts = Counter(word for word in query for other in bag if other.startswith(word))
        score = sum(math.log(1 + len(labels) / found[word]) * math.sqrt(count) for word, count in counts.items())
        if score > 0:
            scored.append((-score, label.feature, label.id, label))
    return [label for _, _, _, label in sorted(scored, key=lambda entry: entry[:3])[:n]]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
