"""Generates the organism's corpus: natural-looking documents with the truth about every character."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import accumulate
from typing import Literal

from .concepts import ANCESTORS
from .document import Document, Span
from .families import FAMILIES
from .writer import Writer

__all__ = ["FAMILIES", "Split", "document", "generate", "uses_held_out_template"]

Split = Literal["train", "held_out"]

_NAMES = tuple(FAMILIES)
_CUMULATIVE = tuple(accumulate(family.weight for family in FAMILIES.values()))
_PROSE = tuple(name for name, family in FAMILIES.items() if family.prose)


def generate(seed: int, documents: int, *, split: Split) -> Iterator[Document]:
    """The first `documents` documents of a seed. Document i depends on the seed, the split and i alone, on every machine.

    Training documents hold no held-out template, two-hop combination, sum or name; held-out documents hold both sorts, and
    come from another stream. No document holds a blank line.
    """
    for number in range(documents):
        yield document(seed, number, split=split)


def document(seed: int, number: int, *, split: Split) -> Document:
    """Document `number` of a seed."""
    rng = random.Random(f"organism/{seed}/{split}/{number}")
    w = Writer(rng, held_out=split == "held_out")
    name = rng.choices(_NAMES, cum_weights=_CUMULATIVE)[0]
    _passage(w, name)
    if FAMILIES[name].prose and w.chance(0.25):
        w.line()
        _passage(w, w.pick([other for other in _PROSE if other != name]))
    spans = dict.fromkeys(w.spans)
    for start, end, concept in w.spans:
        for parent in ANCESTORS[concept]:
            spans[start, end, parent] = None
    return Document(
        text=w.text(),
        family=name,
        template="+".join(dict.fromkeys(w.templates)),
        spans=tuple(Span(*span) for span in spans if span[1] > span[0]),
        probes=tuple(w.probes),
    )


def uses_held_out_template(document: Document) -> bool:
    """Whether some part of the document was written from a template that training never uses."""
    return ".held_out." in document.template


def _passage(w: Writer, name: str) -> None:
    start = w.position
    FAMILIES[name].write(w)
    w.mark(start, f"doc.{name}")
